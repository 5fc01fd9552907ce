import { type BreakerState, closedBreaker } from './breaker'
import { createRunawayGuard, type RunawayGuard } from './runaway-guard'
import { createSlots, type Slots } from './slots'
import { createTokenBucket, type TokenBucket } from './token-bucket'

/** All that is known of one endpoint. */
export interface Endpoint {
  readonly name: string
  readonly guard: RunawayGuard
  readonly bucket: TokenBucket
  /** What is asked for by `refresh` has a budget of its own: polls do not wait for it. */
  readonly refreshes: TokenBucket
  readonly slots: Slots
  breaker: BreakerState
  /** When its cached answers were last seen to be read in a loop. */
  loopedAt: number | undefined
  /** How many wait for the budget. */
  pacing: number
  /** What the sources of this endpoint need by themselves, as requests per minute. */
  readonly claims: Set<() => number>
  /** The last answers and failures, streams apart, oldest first. */
  readonly recent: { readonly duration: number; readonly failed: boolean }[]
  /** How many requests were sent in each 5 s of the last minute that saw any, oldest first. */
  readonly sent: { readonly step: number; count: number }[]
}

export interface EndpointFigures {
  readonly lastMinute: number
  /** ms. */
  readonly p50: number
  readonly p95: number
  /** 0..1 of the last 100. */
  readonly errorRate: number
}

/** How many endpoints are remembered; the least recently used go first. */
const MOST_ENDPOINTS = 500
const MOST_RECENT = 100
const STEP = 5_000
/** Of a minute. */
const STEPS = 12

export interface Endpoints {
  of(name: string): Endpoint
  all(): Iterable<Endpoint>
}

export function createEndpoints(): Endpoints {
  const known = new Map<string, Endpoint>()

  /** Forgets those that nothing waits for and nobody claims. */
  function evict(): void {
    for (const [name, { slots, claims, pacing }] of known) {
      if (known.size < MOST_ENDPOINTS) return
      if (slots.inFlight + slots.queued + claims.size + pacing === 0) known.delete(name)
    }
  }

  return {
    all: () => known.values(),
    of(name) {
      const found = known.get(name)
      if (found) known.delete(name)
      else evict()
      const endpoint = found ?? {
        name,
        guard: createRunawayGuard(),
        bucket: createTokenBucket(),
        refreshes: createTokenBucket(),
        slots: createSlots(),
        breaker: closedBreaker,
        loopedAt: undefined,
        pacing: 0,
        claims: new Set(),
        recent: [],
        sent: [],
      }
      known.set(name, endpoint)
      return endpoint
    },
  }
}

export function recordSent({ sent }: Endpoint, at: number): void {
  const step = Math.floor(at / STEP)
  const last = sent.at(-1)
  if (last?.step === step) last.count++
  else if (sent.push({ step, count: 1 }) > STEPS) sent.shift()
}

export function recordOutcome({ recent }: Endpoint, duration: number, failed: boolean): void {
  recent.push({ duration, failed })
  if (recent.length > MOST_RECENT) recent.shift()
}

const failuresOf = ({ recent }: Endpoint): number => recent.filter(({ failed }) => failed).length

/** Failures among the last 100 requests, as a share of 100: a first failure is not yet a rate. */
export const failuresPer100 = (endpoint: Endpoint): number => failuresOf(endpoint) / MOST_RECENT

/** One endpoint's figures, as `client.stats()` shows them. */
export function figuresOf(endpoint: Endpoint, now: number): EndpointFigures {
  const { recent, sent } = endpoint
  const step = Math.floor(now / STEP)
  const durations = recent.map(({ duration }) => duration).sort((a, b) => a - b)
  const percentile = (share: number) => durations[Math.floor(durations.length * share)] ?? 0
  return {
    lastMinute: sent.reduce((sum, part) => sum + (part.step > step - STEPS ? part.count : 0), 0),
    p50: percentile(0.5),
    p95: percentile(0.95),
    errorRate: recent.length && failuresOf(endpoint) / recent.length,
  }
}
