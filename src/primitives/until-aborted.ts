/**
 * Settles as the promise does, or rejects with the signal's reason as soon as that aborts, even if the promise never
 * settles. `onAbort` runs if, and only if, the abort came first.
 */
export function untilAborted<T>(promise: Promise<T>, signal: AbortSignal, onAbort?: () => void): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      onAbort?.()
      reject(signal.reason)
    }
    const settle =
      <A>(how: (outcome: A) => void) =>
      (outcome: A) => {
        signal.removeEventListener('abort', abort)
        how(outcome)
      }
    promise.then(settle(resolve), settle(reject))
    signal.addEventListener('abort', abort)
    if (signal.aborted) abort()
  })
}
