/** How long to wait before the next attempt. */
export interface BackoffOptions {
  /** ms before the first retry, before jitter. @defaultValue 1_000 */
  base: number
  /** What each further failure multiplies the delay by. @defaultValue 2 */
  factor: number
  /** ms: the delay never grows beyond it. @defaultValue 30_000 */
  cap: number
  /** ms that a connection must have lived before earlier failures are forgotten. @defaultValue 5_000 */
  resetAfter: number
  /** `full` draws between a tenth of the delay and all of it; `none` takes all of it. @defaultValue 'full' */
  jitter: 'full' | 'none'
}

export const defaultBackoff: BackoffOptions = { base: 1_000, factor: 2, cap: 30_000, resetAfter: 5_000, jitter: 'full' }

/** What a server asks for (`Retry-After`, `retry:`) counts up to here. */
export const LONGEST_SERVER_DELAY = 300_000

/** Enough doublings for any cap, few enough that the power never overflows. */
const MOST_DOUBLINGS = 64

/**
 * The delay before attempt number `failures` + 1, in ms. Never under a tenth of the undrawn delay: a row of unlucky
 * draws near zero would be the very loop that backoff is there to prevent. `floor` (what the server asked for) is the
 * least, and the jitter comes on top of it, or all clients would come back in the same instant.
 */
export function backoffDelay(options: BackoffOptions, failures: number, random: number, floor = 0): number {
  const step = Math.min(options.cap, options.base * options.factor ** Math.min(failures, MOST_DOUBLINGS))
  const drawn = options.jitter === 'none' ? step : step * (0.1 + 0.9 * random)
  return Math.min(Math.max(floor, 0), LONGEST_SERVER_DELAY) + drawn
}
