/**
 * What the page tells about its life, as one callback. Never `unload` or `beforeunload`: they keep a page out of the
 * back/forward cache. Where there is no page (Node, workers without a document) the missing parts are silent.
 *
 * - `freeze`: frozen, or on its way out (perhaps into the back/forward cache): timers and fetch callbacks stop.
 * - `resume`: back from there. A fetch stream never moves again after a freeze, so whoever held one replaces it.
 */
export type PageSignal = 'hidden' | 'visible' | 'offline' | 'online' | 'freeze' | 'resume'

export const isHidden = (): boolean => typeof document !== 'undefined' && document.visibilityState === 'hidden'
export const isOffline = (): boolean => typeof navigator !== 'undefined' && navigator.onLine === false

/** Calls `callback` at every signal until the returned function is called. */
export function watchPage(callback: (signal: PageSignal) => void): () => void {
  const watching = new AbortController()
  const listen = (target: EventTarget | undefined, types: string[]) => {
    for (const type of types) target?.addEventListener?.(type, tell, { signal: watching.signal })
  }
  listen(typeof document === 'undefined' ? undefined : document, ['visibilitychange', 'freeze', 'resume'])
  listen(globalThis as unknown as EventTarget, ['pagehide', 'pageshow', 'online', 'offline'])
  return () => watching.abort()

  function tell({ type, persisted }: Event & { persisted?: boolean }): void {
    if (type === 'visibilitychange') callback(document.visibilityState as PageSignal)
    else if (type === 'pagehide') callback('freeze')
    else if (type !== 'pageshow') callback(type as PageSignal)
    else if (persisted) callback('resume')
  }
}
