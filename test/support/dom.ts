import { Window } from 'happy-dom'

// A document for frameworks that look for one when they are loaded, so this is imported before them. Only what is of
// the DOM: fetch, streams and aborts stay Node's own, and so does everything that meets a server.
const window = new Window({ url: 'http://127.0.0.1/' })

const taken = [
  'document',
  'navigator',
  'Node',
  'Element',
  'HTMLElement',
  'SVGElement',
  'ShadowRoot',
  'Text',
  'Comment',
] as const
for (const [name, value] of [['window', window] as const, ...taken.map((name) => [name, window[name]] as const)])
  Object.defineProperty(globalThis, name, { value, configurable: true, writable: true })
