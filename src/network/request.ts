/** A request on its way to the server, and the policies that it passes. */
import type { Endpoint } from './endpoint'

export type Priority = 'high' | 'normal' | 'low'

/** A request that is about to be sent, as a policy is given it. */
export interface PolicyRequest {
  /** What `fetch` will be called with. */
  readonly input: string | Request
  /** How, but for `headers` and `signal`. */
  readonly init: RequestInit
  /** All that it will be sent with; a policy may set others. */
  readonly headers: Headers
  /** Method, origin and path, or a group of such: the unit of breakers, budgets and concurrency. */
  readonly endpoint: string
  /**
   * `foreground`: somebody asked just now; counted by the runaway guard. `background`: polls, reconnects, retries; paced
   * by the budget. `refresh`: what a user's write calls for, which comes in handfuls, and in loops: counted by the guard,
   * and paced once it has used up a minute's budget of its own.
   */
  readonly kind: 'foreground' | 'refresh' | 'background'
  /** A stream keeps to its own backoff and limit: no breaker, no queue. */
  readonly stream?: boolean
  /** Who asks, for alerts. */
  readonly label: string
  readonly channel?: string | undefined
  /** Failed attempts before this one. */
  readonly attempt: number
  /** Aborts when nobody waits for the answer any more. */
  readonly signal: AbortSignal
}

/** What only we are told of a request. */
export interface OwnRequest extends PolicyRequest {
  /** One that somebody more urgent joins while it waits is as urgent as that. */
  priority?(): Priority
  /** Since when somebody waits for it, if that is not since now: of a wait for its turn the server knows nothing. */
  readonly since?: number | undefined
  /** It leaves for the server now. */
  readonly onSent?: (() => void) | undefined
}

/** One that is inside of the gate. */
export interface Passing extends OwnRequest {
  /** All that is known of its endpoint. */
  readonly at: Endpoint
}

export type Next<R> = (request: R) => Promise<Response>

/** One of our own policies. */
export type Step = (request: Passing, next: Next<Passing>) => Promise<Response>

/**
 * What stands around every request of a client, streams too: it may look at it, change it, answer in its place, send it
 * by `next` (again, if it likes: each time passes guard, budget and breaker), and look at the answer. Its time is part of
 * the request's `timeout`. What it throws itself rejects with `callback`.
 *
 * @example
 * ```ts
 * import { createClient, type Policy } from 'millrace'
 *
 * const traced: Policy = (request, next) => {
 *   request.headers.set('x-request-id', crypto.randomUUID())
 *   return next(request)
 * }
 * const stop = createClient().use(traced)
 * stop()
 * ```
 */
export type Policy = (request: PolicyRequest, next: (request: PolicyRequest) => Promise<Response>) => Promise<Response>
