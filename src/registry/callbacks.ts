/** What becomes of a channel's own functions that throw: told once for each function and channel, and never in the way. */
import { callbackError, isThenable } from '../primitives/callback'
import { reportException } from '../primitives/errors'

/** A function that threw, or answered what it may not. */
export interface Mishap {
  readonly name: string
  readonly cause: unknown
}

/** Tells the platform, by the function's name and the channel's key. */
export type Report = (name: string, key: string, cause: unknown) => void

/** How many functions are remembered that were told of. */
const MOST_REMEMBERED = 1_000

export function createReport(): Report {
  const told = new Set<string>()
  return (name, key, cause) => {
    const of = `${name} ${key}`
    if (told.has(of) || told.size >= MOST_REMEMBERED) return
    told.add(of)
    reportException(callbackError(name, `channel ${key}`, 'threw', cause))
  }
}

/** What a promise that nobody may wait for rejects with is no unhandled rejection. */
export function ignoreRejection(answer: PromiseLike<unknown>): void {
  answer.then(undefined, () => {})
}

/** Whether an answer must be looked at: few are objects, and fewer promises. */
export function mayReject(answer: unknown): answer is PromiseLike<unknown> {
  return typeof answer === 'object' && answer !== null && isThenable(answer)
}

/** What a function answers that must answer at once. @throws TypeError if it is a promise, whose end nobody waits for */
export function answered<T>(answer: T, expected: string): T {
  if (!mayReject(answer)) return answer
  ignoreRejection(answer)
  throw new TypeError(`It answered a promise: expected ${expected} at once.`)
}
