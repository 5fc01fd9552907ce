/**
 * The one way to call a function of the user's. What it throws, and that it hangs, becomes an error with its name and
 * whose it is; it never ends a process, and is never taken for a failure of the network.
 */
import type { Timers } from './clock'
import { MillraceError, reportException } from './errors'
import { throwIfAborted, untilAborted } from './until-aborted'

/** ms that a function may take which is waited for. */
export const CALLBACK_TIMEOUT = 15_000

/** `of`: the channel or the endpoint that it belongs to. */
export function callbackError(name: string, of: string, what: string, cause?: unknown): MillraceError {
  return new MillraceError('callback', `\`${name}\` of ${of} ${what}.`, { retryable: true, cause })
}

/** As `answerOf`, until the signal aborts. */
export async function waitFor<T>(
  name: string,
  of: string,
  clock: Pick<Timers, 'after'>,
  run: () => T | PromiseLike<T>,
  signal?: AbortSignal,
): Promise<T> {
  try {
    return await answerOf(name, of, clock, run, signal && ((answer) => untilAborted(answer, signal)))
  } catch (error) {
    throwIfAborted(signal)
    throw error
  }
}

/**
 * Waits for a function of the user's. Rejects with `callback` if it throws, rejects, or has not answered in time; `within`
 * may give up sooner.
 */
async function answerOf<T>(
  name: string,
  of: string,
  clock: Pick<Timers, 'after'>,
  run: () => T | PromiseLike<T>,
  within = (answer: Promise<T>) => answer,
): Promise<T> {
  let cancelTimer = () => {}
  try {
    const answer = run()
    // Most answer at once: they need no timer.
    if (!isThenable(answer)) return answer
    const late = new Promise<never>((_, reject) => {
      const giveUp = () => reject(callbackError(name, of, `has not answered within ${CALLBACK_TIMEOUT} ms`))
      cancelTimer = clock.after(CALLBACK_TIMEOUT, giveUp, `${name} of ${of}`)
    })
    return await within(Promise.race([answer, late]))
  } catch (cause) {
    throw cause instanceof MillraceError && cause.code === 'callback' ? cause : callbackError(name, of, 'threw', cause)
  } finally {
    cancelTimer()
  }
}

/** Calls a handler for whose answer nobody waits: what it throws or rejects is reported. */
export function tell(name: string, of: string, run: () => unknown): void {
  const report = (cause: unknown) => reportException(callbackError(name, of, 'threw', cause))
  try {
    const answer = run()
    if (isThenable(answer)) answer.then(undefined, report)
  } catch (cause) {
    report(cause)
  }
}

export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === 'function'
}

/** What is given, or what a function of the user's gives. */
export async function ask<T>(
  name: string,
  given: T | (() => T | Promise<T>),
  clock: Pick<Timers, 'after'>,
  of: string,
): Promise<T> {
  return typeof given === 'function' ? answerOf(name, of, clock, given as () => T | Promise<T>) : given
}
