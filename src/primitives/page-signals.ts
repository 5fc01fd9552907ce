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
  const stops: (() => void)[] = []
  const listen = (target: EventTarget | undefined, type: string, signal: (event: Event) => PageSignal | undefined) => {
    const listener = (event: Event) => {
      const found = signal(event)
      if (found) callback(found)
    }
    target?.addEventListener?.(type, listener)
    stops.push(() => target?.removeEventListener?.(type, listener))
  }

  const page = typeof document === 'undefined' ? undefined : document
  const scope = globalThis as unknown as EventTarget
  listen(page, 'visibilitychange', () => (isHidden() ? 'hidden' : 'visible'))
  listen(page, 'freeze', () => 'freeze')
  listen(page, 'resume', () => 'resume')
  listen(scope, 'pagehide', () => 'freeze')
  listen(scope, 'pageshow', (event) => ((event as PageTransitionEvent).persisted ? 'resume' : undefined))
  listen(scope, 'offline', () => 'offline')
  listen(scope, 'online', () => 'online')

  return () => {
    for (const stop of stops) stop()
  }
}
