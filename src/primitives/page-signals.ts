/**
 * What the page tells about its life, as one callback. Never `unload` or `beforeunload`: they keep a page out of the
 * back/forward cache. Where there is no page (Node, workers without a document) the missing parts are silent.
 *
 * - `freeze`: frozen, or on its way out (perhaps into the back/forward cache): timers and fetch callbacks stop.
 * - `resume`: back from there. A fetch stream never moves again after a freeze, so whoever held one replaces it.
 */
import { listen } from './platform'

export type PageSignal = 'hidden' | 'visible' | 'offline' | 'online' | 'freeze' | 'resume'

/** Calls `callback` at every signal until the returned function is called. */
export function watchPage(callback: (signal: PageSignal) => void): () => void {
  const page = typeof document === 'undefined' ? undefined : document
  const stops = [
    ...['visibilitychange', 'freeze', 'resume'].map((type) => listen(page, type, tell)),
    ...['pagehide', 'pageshow', 'online', 'offline'].map((type) => listen(globalThis, type, tell)),
  ]
  return () => {
    for (const stop of stops) stop()
  }

  function tell({ type, persisted }: Event & { persisted?: boolean }): void {
    if (type === 'visibilitychange') callback(document.visibilityState as PageSignal)
    else if (type === 'pagehide') callback('freeze')
    else if (type !== 'pageshow') callback(type as PageSignal)
    else if (persisted) callback('resume')
  }
}
