/** What tabs take, in a chunk of its own: a page that shares nothing does not load it. */
export { createTabControl } from './control'
export { shareSnapshot } from './snapshot-share'
export { shareStream } from './stream-share'
export { createTabSlots } from './tab-slots'
