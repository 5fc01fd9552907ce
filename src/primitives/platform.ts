/**
 * What a platform may lack, or refuse by throwing (a browser that blocks cookies, a simulated DOM, an old worker runtime):
 * looked up when it is needed, never when the library is imported; absent or throwing alike lead to the plain way.
 */

/** Undefined where looking it up, or making it, throws. */
export function attempt<T>(look: () => T): T | undefined {
  try {
    return look()
  } catch {
    return undefined
  }
}

export const isHidden = (): boolean => attempt(() => document.visibilityState) === 'hidden'
export const isOffline = (): boolean => attempt(() => navigator.onLine) === false

/** Calls `run` once whatever runs now is done. Not by `queueMicrotask`: test runners' fake timers hold that back. */
export const soon = (run: () => void): void => void Promise.resolve().then(run)

/** Whether this is a page or a worker of a browser. */
export const isBrowser = (): boolean => typeof document !== 'undefined' || 'WorkerGlobalScope' in globalThis

/** Listens; returns the end of it. Not by `{ signal }`: a simulated DOM takes no other DOM's, and old browsers none. */
export function listen(target: unknown, type: string, listener: (event: Event) => void): () => void {
  const { addEventListener } = (target ?? {}) as Partial<EventTarget>
  if (typeof addEventListener !== 'function') return () => {}
  attempt(() => addEventListener.call(target, type, listener))
  return () => void attempt(() => (target as EventTarget).removeEventListener(type, listener))
}

/** What a class is made of where the platform has no `EventTarget`: an import fails of nothing. */
export const EventTargetIfAny: typeof EventTarget = /* @__PURE__ */ attempt(() => EventTarget) ?? (class {} as never)

/**
 * Node loads its `fetch` with the first use of it or of its classes, and not without a `FinalizationRegistry`: where there
 * is none, one that never tells of anything stands in for that moment. Undefined if that was not what was missing.
 */
export function loadHeaders(): unknown {
  if (typeof FinalizationRegistry !== 'undefined') return undefined
  const place = globalThis as { FinalizationRegistry?: unknown }
  place.FinalizationRegistry = class {
    register(): void {}
    unregister(): void {}
  }
  const headers = attempt(() => Headers)
  delete place.FinalizationRegistry
  return headers
}

let registry: FinalizationRegistry<() => void> | undefined

/** Runs `letGo` some time after `target` is collected, where the platform tells; else what it holds ends with its use. */
export function whenCollected(target: object, letGo: () => void): void {
  registry ??= attempt(() => new FinalizationRegistry((run) => run()))
  registry?.register(target, letGo)
}
