/** All that is known of an endpoint, in one record, and how to speak of it. */
import type { Alert } from '../primitives/alerts'
import type { MillraceError, MillraceErrorCode } from '../primitives/errors'
import { requestError } from '../primitives/http'
import type { NetworkContext } from './settings'

/** Thousands are polled, and most are idle: what a policy has to remember is made when it has something to remember. */
export interface Endpoint {
  readonly name: string
  /** Foreground requests that were let through lately. */
  admitted?: { readonly at: number; readonly who: string }[] | undefined
  refusal: Refusal
  /** When its cached answers were last seen to be read in a loop. */
  loopedAt?: number
  background?: Bucket
  /** What is asked for by `refresh` has a budget of its own: polls do not wait for it. */
  refresh?: Bucket
  /** How many wait for a budget. */
  pacing: number
  /** What the sources of this endpoint need by themselves, as requests per minute. */
  claims?: Set<() => number>
  inFlight: number
  /** How many at once after its breaker has closed; doubles with each success. */
  ramp: number
  queue: readonly Waiter[]
  breaker: BreakerState
  /** The last answers and failures, streams apart, oldest first. */
  recent: readonly { readonly duration: number; readonly failed: boolean }[]
  /** How many requests were sent in each 5 s of the last minute that saw any, oldest first. */
  sent: readonly { readonly step: number; count: number }[]
}

/** Why, and until when, nothing is asked for. */
export interface Refusal {
  readonly until: number
  /** Who asked most. */
  readonly who: string
  /** For how long. */
  readonly ms: number
}

/** A budget that was spent from. */
export interface Bucket {
  spent: number
  countedAt: number
  /** Moments that were promised, and given back. */
  free: readonly number[]
}

export interface Waiter {
  /** Who has the least is next. */
  rank(): number
  run(): void
}

export type BreakerState =
  | { readonly name: 'closed'; readonly failedAt: readonly number[] }
  | { readonly name: 'open'; readonly until: number }
  | { readonly name: 'half-open' }

export const closedBreaker: BreakerState = { name: 'closed', failedAt: [] }
const none: readonly never[] = []
const neverRefused: Refusal = { until: 0, who: '', ms: 0 }

/** How many endpoints are remembered; the least recently used go first. */
const MOST_ENDPOINTS = 500

export interface Endpoints {
  of(name: string): Endpoint
  all(): Iterable<Endpoint>
}

export function createEndpoints(): Endpoints {
  const known = new Map<string, Endpoint>()

  /** Forgets those that nothing waits for and nobody claims. */
  function evict(): void {
    for (const [name, { inFlight, queue, claims, pacing }] of known) {
      if (known.size < MOST_ENDPOINTS) return
      if (inFlight + queue.length + (claims?.size ?? 0) + pacing === 0) known.delete(name)
    }
  }

  return {
    all: () => known.values(),
    of(name) {
      const found = known.get(name)
      if (found) known.delete(name)
      else evict()
      const endpoint = found ?? newEndpoint(name)
      known.set(name, endpoint)
      return endpoint
    },
  }
}

export const newEndpoint = (name: string): Endpoint => ({
  name,
  refusal: neverRefused,
  pacing: 0,
  inFlight: 0,
  ramp: Infinity,
  queue: none,
  breaker: closedBreaker,
  recent: none,
  sent: none,
})

/** Raises an alert about an endpoint. */
export function tell(
  { alert }: Pick<NetworkContext, 'alert'>,
  code: Alert['code'],
  { name }: Endpoint,
  what: string,
  details?: Partial<Alert>,
): void {
  alert({ code, message: `${name} ${what}`, endpoint: name, ...details })
}

/** The error of a request that is not sent; counts it. */
export function refused(
  { counters }: Pick<NetworkContext, 'counters'>,
  code: MillraceErrorCode,
  { name }: Endpoint,
  what: string,
  retryAfter?: number,
): MillraceError {
  counters.refused++
  return requestError(code, name, what, { retryable: true, retryAfter })
}

export const seconds = (ms: number): string => `${Math.ceil(ms / 1_000)} s`
