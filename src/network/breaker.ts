/**
 * The circuit breaker of an endpoint: a pure state machine.
 *
 * ```
 *    closed ── `failures` failures within `window` ──▶ open
 *      ▲                                                │ `cooldown` is over and somebody asks
 *      │ success of the probe                           ▼
 *      └────────────────────────────────────────── half-open (one probe in flight)
 *    half-open ── failure ──▶ open        half-open ── neutral ──▶ open, due at once: the slot is given back
 * ```
 *
 * Only answers of the server and the network count. Refusals, aborts and 4xx are `neutral`.
 */

/** When a breaker opens and for how long. */
export interface BreakerOptions {
  /** Failures within `window` that open it. @defaultValue 5 */
  failures: number
  /** ms. @defaultValue 60_000 */
  window: number
  /** ms that it stays open before one probe is let through. @defaultValue 30_000 */
  cooldown: number
}

export const defaultBreaker: BreakerOptions = { failures: 5, window: 60_000, cooldown: 30_000 }

export type BreakerState =
  | { readonly name: 'closed'; readonly failedAt: readonly number[] }
  | { readonly name: 'open'; readonly until: number }
  | { readonly name: 'half-open' }

export type BreakerEvent = 'ask' | 'success' | 'failure' | 'neutral'

/** `probe`: whoever asked is the probe. `opened`, `closed`: tell. */
export type BreakerEffect = 'probe' | 'opened' | 'closed'

export interface BreakerStep {
  readonly state: BreakerState
  readonly effects: readonly BreakerEffect[]
}

export const closedBreaker: BreakerState = { name: 'closed', failedAt: [] }

/** Outcomes in half-open are the probe's; the shell keeps those of older requests to itself. */
export function stepBreaker(
  options: BreakerOptions,
  state: BreakerState,
  event: BreakerEvent,
  now: number,
): BreakerStep {
  const open = (until: number): BreakerStep => ({ state: { name: 'open', until }, effects: ['opened'] })
  switch (state.name) {
    case 'closed': {
      if (event !== 'failure') break
      const failedAt = [...state.failedAt.filter((at) => now - at < options.window), now]
      return failedAt.length >= options.failures
        ? open(now + options.cooldown)
        : { state: { name: 'closed', failedAt }, effects: [] }
    }
    case 'open':
      if (event === 'ask' && now >= state.until) return { state: { name: 'half-open' }, effects: ['probe'] }
      break
    case 'half-open':
      if (event === 'success') return { state: closedBreaker, effects: ['closed'] }
      if (event === 'failure') return open(now + options.cooldown)
      if (event === 'neutral') return { state: { name: 'open', until: now }, effects: [] }
  }
  return { state, effects: [] }
}
