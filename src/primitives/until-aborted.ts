/**
 * Abort signals, as they come: another realm's, a polyfill's, a simulated DOM's; and one for any number of waits, since
 * Node takes more than ten listeners of one signal for a leak.
 */
type Listener = () => void

/** Who listens to a signal: it has one listener of ours, while anybody waits. */
const waiting = new WeakMap<AbortSignal, { readonly all: Set<Listener>; readonly tell: Listener }>()

/** Calls `run` at the abort; not if that has been. To be ended by `offAbort`. */
export function onAbort(signal: AbortSignal, run: Listener): void {
  let known = waiting.get(signal)
  if (!known) {
    const all = new Set<Listener>()
    const tell = () => {
      for (const listener of [...all]) listener()
    }
    known = { all, tell }
    waiting.set(signal, known)
    signal.addEventListener('abort', tell)
  }
  known.all.add(run)
}

export function offAbort(signal: AbortSignal, run: Listener): void {
  const known = waiting.get(signal)
  if (!known?.all.delete(run) || known.all.size > 0) return
  signal.removeEventListener('abort', known.tell)
  waiting.delete(signal)
}

/** Why signals of ours have aborted, where they cannot say so themselves: a polyfill's have no reason. */
const reasons = new WeakMap<AbortSignal, unknown>()

export function abortFor(controller: AbortController, reason: unknown): void {
  const { signal } = controller
  if (!('reason' in signal)) reasons.set(signal, reason)
  controller.abort(reason)
}

/** Why it has aborted. */
export function reasonOf(signal: AbortSignal): unknown {
  return (
    signal.reason ??
    reasons.get(signal) ??
    Object.assign(new Error('This operation was aborted'), { name: 'AbortError' })
  )
}

export function throwIfAborted(signal: AbortSignal | null | undefined): void {
  if (signal?.aborted) throw reasonOf(signal)
}

/**
 * Settles as the promise does, or rejects with the signal's reason as soon as that aborts, even if the promise never
 * settles. `onLeave` runs if, and only if, the abort came first.
 */
export function untilAborted<T>(promise: PromiseLike<T>, signal: AbortSignal, onLeave?: () => void): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      offAbort(signal, abort)
      onLeave?.()
      reject(reasonOf(signal))
    }
    const settle =
      <A>(how: (outcome: A) => void) =>
      (outcome: A) => {
        offAbort(signal, abort)
        how(outcome)
      }
    promise.then(settle(resolve), settle(reject))
    onAbort(signal, abort)
    if (signal.aborted) abort()
  })
}
