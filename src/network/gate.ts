/**
 * The one gate that every request passes (law 2): switch, runaway guard, breaker, concurrency slot, timeout, fetch,
 * classification.
 */
import { MillraceError } from '../primitives/errors'
import { isRetryableStatus, networkError } from '../primitives/http'
import { type BreakerEvent, stepBreaker } from './breaker'
import { createEndpoints, type Endpoint, failuresPer100, recordOutcome, recordSent } from './endpoints'
import { ownResponse } from './response-copies'
import type { NetworkContext } from './settings'
import type { Priority } from './slots'

/** The only place that calls `fetch`; looked up at every call, so that a polyfill or a mock may come later. */
export const platformFetch: typeof fetch = (input, init) => fetch(input, init)

/** ms until an answer's head, and again until the end of its body. */
export const DEFAULT_TIMEOUT = 15_000

/** How a request asks to be let through. */
export interface Passage {
  /** The unit of breakers, budgets and concurrency: the endpoint, or a group of them. */
  readonly endpoint: string
  /**
   * Foreground: somebody asked just now; counted by the runaway guard. Background: polls, reconnects, retries; paced by
   * the budget.
   */
  readonly kind: 'foreground' | 'background'
  /** A stream keeps to its own backoff and limit: no breaker, no slot. */
  readonly stream?: boolean
  /** Who asks, for alerts. */
  readonly label: string
  readonly channel?: string | undefined
  readonly priority: Priority
  /** ms until the answer's head. */
  readonly timeout: number
  readonly signal: AbortSignal
}

export interface Gate {
  /** Sends one request, or rejects with the reason why not; an abort rejects with the signal's own reason. */
  send(input: string | Request, init: RequestInit, passage: Passage): Promise<Response>
  /** Waits, and rejects with the reason of whatever breaks the wait off. */
  wait(ms: number, label: string, signal: AbortSignal): Promise<void>
  /** Breaks off all that is under way or waiting, then refuses everything until `open()`. */
  shut(reason: MillraceError): void
  open(): void
  /** Breaks off all that is under way or waiting, and goes on. */
  abortAll(reason: MillraceError): void
  /** Raises an endpoint's budget by what a source of it needs by itself, per minute. Returns the withdrawal. */
  claim(endpoint: string, perMinute: () => number): () => void
  endpoints(): Iterable<Endpoint>
  /** Background requests per minute. */
  budgetOf(endpoint: Endpoint): number
}

/** Head-room over what polls need by themselves, for jitter and the odd refresh. */
const HEADROOM = 1.25

export function createGate(context: NetworkContext): Gate {
  const { clock, settings, counters, alert } = context
  const endpoints = createEndpoints()
  /** Requests without an answer yet, strongly; bodies still being read, weakly: a body may be dropped unread. */
  const underWay = new Set<AbortController>()
  const bodies = new Set<WeakRef<AbortController>>()
  let refusal: MillraceError | undefined

  return {
    send,
    wait,
    shut(reason) {
      refusal = reason
      abortAll(reason)
    },
    open() {
      refusal = undefined
    },
    abortAll,
    claim(name, perMinute) {
      const { claims } = endpoints.of(name)
      claims.add(perMinute)
      return () => {
        claims.delete(perMinute)
      }
    },
    endpoints: endpoints.all,
    budgetOf,
  }

  function abortAll(reason: MillraceError): void {
    const alive = [...bodies].map((body) => body.deref())
    bodies.clear()
    for (const controller of [...underWay, ...alive]) controller?.abort(reason)
  }

  function budgetOf({ claims }: Endpoint): number {
    let claimed = 0
    for (const claim of claims) claimed += claim()
    return Math.max(settings.limits.backgroundPerMinute, claimed * HEADROOM)
  }

  async function send(input: string | Request, init: RequestInit, passage: Passage): Promise<Response> {
    const { signal } = passage
    signal.throwIfAborted()
    if (refusal) throw refuse(refusal)
    const endpoint = endpoints.of(passage.endpoint)
    const controller = new AbortController()
    // Stays until the signal is collected: an abort must reach the body too. The signal is ours, so it is short-lived.
    signal.addEventListener('abort', () => controller.abort(signal.reason))
    underWay.add(controller)
    try {
      if (passage.kind === 'background') await pace(endpoint, passage, controller.signal)
      else guard(endpoint, passage)
      const exchanged = () => exchange(input, init, passage, endpoint, controller)
      return passage.stream ? await exchanged() : await throughBreaker(endpoint, passage, controller.signal, exchanged)
    } finally {
      underWay.delete(controller)
    }
  }

  /** A foreground request: refused if there were far too many. */
  function guard(endpoint: Endpoint, { label, channel }: Passage): void {
    if (!settings.flags.guard) return
    if (isOpen(endpoint)) return
    const now = clock.now()
    const limit = settings.limits.fetchesPer10s
    const wasClosed = now < endpoint.guard.closedUntil
    const closed = endpoint.guard.admit(limit, now, label)
    if (!closed) return
    const message = `${endpoint.name} was asked for over ${limit} times in 10 s, most often by "${closed.who}": a loop? Its requests are refused for ${Math.ceil((closed.until - now) / 1_000)} s.`
    if (!wasClosed)
      alert({
        code: 'runaway',
        message,
        endpoint: endpoint.name,
        subscriber: closed.who,
        value: limit + 1,
        limit,
        ...(channel !== undefined && { channel }),
      })
    throw refuse(
      new MillraceError('runaway', message, {
        endpoint: endpoint.name,
        retryable: true,
        retryAfter: closed.until - now,
      }),
    )
  }

  /** A background request: waits until the budget has room. */
  async function pace(endpoint: Endpoint, { label, channel }: Passage, signal: AbortSignal): Promise<void> {
    if (!settings.flags.guard) return
    const budget = budgetOf(endpoint)
    const burst = Math.max(settings.limits.burst, endpoint.claims.size)
    const wait = endpoint.bucket.take(budget, burst, clock.now())
    if (wait === 0) return
    alert({
      code: 'request-rate',
      message: `${endpoint.name} has used its budget of ${Math.round(budget)} background requests a minute; "${label}" waits ${wait} ms. Ask less often, or raise \`limits.backgroundPerMinute\`.`,
      endpoint: endpoint.name,
      subscriber: label,
      value: Math.round(budget) + 1,
      limit: Math.round(budget),
      ...(channel !== undefined && { channel }),
    })
    try {
      await sleep(wait, `budget ${endpoint.name}`, signal)
    } catch (reason) {
      endpoint.bucket.giveBack()
      throw reason
    }
  }

  async function wait(ms: number, label: string, signal: AbortSignal): Promise<void> {
    const controller = new AbortController()
    const forward = () => controller.abort(signal.reason)
    signal.addEventListener('abort', forward)
    underWay.add(controller)
    try {
      await sleep(ms, label, controller.signal)
    } finally {
      underWay.delete(controller)
      signal.removeEventListener('abort', forward)
    }
  }

  function sleep(ms: number, label: string, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const abort = () => {
        cancel()
        reject(signal.reason)
      }
      const done = () => {
        signal.removeEventListener('abort', abort)
        resolve()
      }
      const cancel = clock.after(ms, done, label)
      signal.addEventListener('abort', abort)
    })
  }

  /** Whether the breaker refuses without asking. */
  function isOpen({ breaker }: Endpoint): boolean {
    return settings.flags.breaker && breaker.name === 'open' && clock.now() < breaker.until
  }

  function breakerError({ name, breaker }: Endpoint): MillraceError {
    const retryAfter = breaker.name === 'open' ? Math.max(0, breaker.until - clock.now()) : 0
    const message = `${name} failed too often: its breaker is open for another ${Math.ceil(retryAfter / 1_000)} s. Not asking until then.`
    return new MillraceError('breaker-open', message, { endpoint: name, retryable: true, retryAfter })
  }

  function stepTo(endpoint: Endpoint, event: BreakerEvent): boolean {
    const { state, effects } = stepBreaker(settings.breaker, endpoint.breaker, event, clock.now())
    endpoint.breaker = state
    for (const effect of effects) {
      if (effect === 'probe') endpoint.slots.rampUp()
      else
        alert({
          code: effect === 'opened' ? 'breaker-open' : 'breaker-closed',
          message:
            effect === 'opened'
              ? `${endpoint.name} keeps failing: its breaker is open for ${settings.breaker.cooldown} ms, cached answers are served.`
              : `${endpoint.name} answers again: its breaker is closed.`,
          endpoint: endpoint.name,
        })
    }
    return effects.includes('probe')
  }

  /** Waits for a slot, asks the breaker, runs, and tells both how it went; the slot is given back in any case. */
  function throughBreaker(
    endpoint: Endpoint,
    passage: Passage,
    signal: AbortSignal,
    run: () => Promise<Response>,
  ): Promise<Response> {
    if (isOpen(endpoint)) return Promise.reject(refuse(breakerError(endpoint)))
    return new Promise((resolve, reject) => {
      const leaveQueue = endpoint.slots.enter(passage.priority, clock.now(), settings.limits, () => {
        signal.removeEventListener('abort', abort)
        const isProbe = settings.flags.breaker && stepTo(endpoint, 'ask')
        const leave = (event: BreakerEvent) => {
          if (settings.flags.breaker && (isProbe || endpoint.breaker.name === 'closed')) stepTo(endpoint, event)
          endpoint.slots.leave(event === 'success')
        }
        if (settings.flags.breaker && endpoint.breaker.name === 'open') {
          endpoint.slots.leave(false)
          reject(refuse(breakerError(endpoint)))
          return
        }
        run().then(
          (response) => {
            leave(response.status >= 500 ? 'failure' : response.ok ? 'success' : 'neutral')
            resolve(response)
          },
          (error: unknown) => {
            leave(
              error instanceof MillraceError && (error.code === 'network' || error.code === 'timeout')
                ? 'failure'
                : 'neutral',
            )
            reject(error)
          },
        )
      })
      function abort() {
        leaveQueue?.()
        reject(signal.reason)
      }
      if (leaveQueue) signal.addEventListener('abort', abort)
      else {
        const message = `${endpoint.name} has ${settings.limits.queue} requests waiting already: "${passage.label}" asks too much at once, or the server is too slow.`
        reject(refuse(new MillraceError('queue-full', message, { endpoint: endpoint.name, retryable: true })))
      }
    })
  }

  async function exchange(
    input: string | Request,
    init: RequestInit,
    passage: Passage,
    endpoint: Endpoint,
    controller: AbortController,
  ): Promise<Response> {
    const startedAt = clock.now()
    const { timeout, kind, stream, label } = passage
    const cancelTimeout = clock.after(
      timeout,
      () => {
        const message = `${endpoint.name} did not answer within ${timeout} ms. Trying again later.`
        controller.abort(new MillraceError('timeout', message, { endpoint: endpoint.name, retryable: true }))
      },
      `timeout ${endpoint.name}`,
    )
    let status: number | undefined
    let error: MillraceError | undefined
    counters.sent++
    try {
      const response = await (settings.fetch ?? platformFetch)(input, { ...init, signal: controller.signal })
      status = response.status
      return stream ? response : withBody(response, controller)
    } catch (cause) {
      const { aborted, reason } = controller.signal
      if (aborted && !(reason instanceof MillraceError && reason.code === 'timeout')) throw reason
      error = aborted ? (reason as MillraceError) : networkError(endpoint.name, 'could not be reached', cause)
      throw error
    } finally {
      cancelTimeout()
      const failed = error !== undefined || (status !== undefined && isRetryableStatus(status))
      if (failed) counters.failed++
      if (status !== undefined || error) settle(endpoint, startedAt, failed, stream === true)
      context.onRequest({
        endpoint: endpoint.name,
        kind: stream ? 'stream' : kind,
        label,
        startedAt,
        duration: clock.now() - startedAt,
        ...(status !== undefined && { status }),
        ...(error && { error }),
      })
    }
  }

  function settle(endpoint: Endpoint, startedAt: number, failed: boolean, stream: boolean): void {
    recordSent(endpoint, startedAt)
    if (stream) return
    recordOutcome(endpoint, clock.now() - startedAt, failed)
    const share = failuresPer100(endpoint)
    const limit = settings.thresholds.errorRate
    if (!failed || share <= limit) return
    const message = `${endpoint.name} failed in ${Math.round(share * 100)} of its last 100 requests: look at the server.`
    alert({ code: 'error-rate', message, endpoint: endpoint.name, value: share, limit })
  }

  /** Lets `shut` break off the body too. */
  function withBody(response: Response, controller: AbortController): Response {
    for (const body of bodies) {
      if (bodies.size < MOST_BODIES && body.deref()) break
      bodies.delete(body)
    }
    bodies.add(new WeakRef(controller))
    return ownResponse(response, controller.signal, controller)
  }

  function refuse(error: MillraceError): MillraceError {
    counters.refused++
    return error
  }
}

/** Bodies that `shut` can still break off. */
const MOST_BODIES = 1_000
