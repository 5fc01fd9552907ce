/**
 * The one gate that every request passes (law 2): switch, runaway guard, breaker, concurrency slot, timeout, fetch,
 * classification.
 */
import type { Alert } from '../primitives/alerts'
import { callbackError } from '../primitives/callback'
import { configError, isMillraceError, type MillraceError, type MillraceErrorCode } from '../primitives/errors'
import { isRetryableStatus, missing, networkError, requestError, unsendable } from '../primitives/http'
import { isOffline, listen } from '../primitives/platform'
import { reasonOf, throwIfAborted, untilAborted } from '../primitives/until-aborted'
import { type BreakerEvent, closedBreaker, stepBreaker } from './breaker'
import { createEndpoints, type Endpoint, failuresPer100, recordOutcome, recordSent } from './endpoints'
import type { NetworkContext } from './settings'
import type { Priority } from './slots'

/**
 * The only place that calls `fetch`; looked up at every call, so that a polyfill or a mock may come later. A simulated
 * DOM's signal, which the runtime's `fetch` refuses before it sends anything, is left out: who waits and who reads heed
 * it themselves.
 */
export const platformFetch: typeof fetch = async (input, init) => {
  if (typeof fetch !== 'function') throw missing('fetch')
  try {
    return await fetch(input, init)
  } catch (error) {
    const { name, message } = Object(error) as Error
    if (!init?.signal || name !== 'TypeError' || !/AbortSignal/.test(message)) throw error
    return fetch(input, { ...init, signal: null })
  }
}

/** ms that an answer is waited for. */
export const DEFAULT_TIMEOUT = 15_000

/** How a request asks to be let through. */
export interface Passage {
  /** The unit of breakers, budgets and concurrency: the endpoint, or a group of them. */
  readonly endpoint: string
  /**
   * Foreground: somebody asked just now; counted by the runaway guard. Background: polls, reconnects, retries; paced by
   * the budget. Refresh: what a user's write calls for, which comes in handfuls, and in loops: counted by the guard, and
   * paced once it has used up a minute's budget of its own.
   */
  readonly kind: 'foreground' | 'refresh' | 'background'
  /** A stream keeps to its own backoff and limit: no breaker, no slot. */
  readonly stream?: boolean
  /** Who asks, for alerts. */
  readonly label: string
  readonly channel?: string | undefined
  readonly priority: Priority
  /** ms from the sending until the answer's head. @defaultValue as long as whoever asks waits */
  readonly timeout?: number
  readonly signal: AbortSignal
  /** Since when somebody waits for it, if that is not since now: of a wait for its turn the server knows nothing. */
  readonly since?: number
  /** It leaves for the server now. */
  readonly onSent?: (() => void) | undefined
}

export interface Gate {
  /** Sends one request, or rejects with the reason why not; an abort rejects with the signal's own reason. */
  send(input: string | Request, init: RequestInit, passage: Passage): Promise<Response>
  /** Waits, or rejects with the reason of the abort. */
  wait(ms: number, label: string, signal: AbortSignal): Promise<void>
  /** Work that `shut` and `abortAll` break off. Throws while the gate is shut. Returns the way out. */
  enter(breakOff: (reason: unknown) => void): () => void
  /** Breaks off all that has entered, then refuses everything until `open()`. */
  shut(reason: MillraceError): void
  open(): void
  /** Breaks off all that has entered, and goes on. */
  abortAll(reason: MillraceError): void
  /** Raises an endpoint's budget by what a source of it needs by itself, per minute. Returns the withdrawal. */
  claim(endpoint: string, perMinute: () => number): () => void
  /** Another tab refuses what is asked of this endpoint, for so many ms. */
  refuse(endpoint: string, ms: number, who: string): void
  /** Cached answers of this endpoint are read in a loop. */
  looped(endpoint: string, reads: number, who: string): void
  endpoints(): Iterable<Endpoint>
  /** Background requests per minute. */
  budgetOf(endpoint: Endpoint): number
}

/** Head-room over what polls need by themselves, for jitter and the odd refresh. */
const HEADROOM = 1.25

export function createGate(context: NetworkContext): Gate {
  const { clock, settings, counters, alert } = context
  const endpoints = createEndpoints()
  const inside = new Set<(reason: unknown) => void>()
  let refusal: MillraceError | undefined
  let stopOnline: (() => void) | undefined

  return {
    send,
    wait,
    enter(breakOff) {
      if (refusal) throw count(refusal)
      inside.add(breakOff)
      return () => inside.delete(breakOff)
    },
    shut(reason) {
      refusal = reason
      abortAll(reason)
      watchOnline()
    },
    open() {
      refusal = undefined
      watchOnline()
    },
    abortAll,
    claim(name, perMinute) {
      const { claims } = endpoints.of(name)
      claims.add(perMinute)
      return () => claims.delete(perMinute)
    },
    refuse(name, ms, who) {
      if (settings.flags.guard && settings.limits.fetchesPer10s < Infinity)
        endpoints.of(name).guard.close(clock.elapsed(), ms, who)
    },
    looped(name, reads, who) {
      const endpoint = endpoints.of(name)
      endpoint.loopedAt = clock.elapsed()
      const what = `was read over ${reads} times in 10 s, from the cache, the last time by "${who}": a loop?`
      tell('runaway', endpoint, what, { subscriber: who, value: reads + 1, limit: reads })
    },
    endpoints: endpoints.all,
    budgetOf,
  }

  function abortAll(reason: MillraceError): void {
    for (const breakOff of [...inside]) breakOff(reason)
  }

  function budgetOf({ claims }: Endpoint): number {
    let claimed = 0
    for (const claim of claims) claimed += claim()
    return Math.max(settings.limits.backgroundPerMinute, claimed * HEADROOM)
  }

  function wait(ms: number, label: string, signal: AbortSignal): Promise<void> {
    let cancel: (() => void) | undefined
    const timer = new Promise<void>((resolve) => {
      cancel = clock.after(ms, resolve, label)
    })
    return untilAborted(timer, signal, cancel)
  }

  async function send(input: string | Request, init: RequestInit, passage: Passage): Promise<Response> {
    const { signal, stream } = passage
    throwIfAborted(signal)
    if (refusal) throw count(refusal)
    checkLimits()
    const endpoint = endpoints.of(passage.endpoint)
    // Before anything is counted: what an open breaker holds back uses up no budget.
    if (!stream) throwIfOpen(endpoint)
    if (settings.flags.guard) {
      if (passage.kind !== 'background') admit(endpoint, passage)
      if (passage.kind !== 'foreground') await pace(endpoint, passage)
      throwIfAborted(signal)
    }
    const exchanged = (onOutcome: (outcome: BreakerEvent) => void) =>
      exchange(input, init, passage, endpoint, onOutcome)
    if (stream) return exchanged(() => {})
    let leaveQueue: (() => void) | undefined
    const answer = new Promise<Response>((resolve, reject) => {
      const enter = () => resolve(throughBreaker(endpoint, exchanged))
      leaveQueue = endpoint.slots.enter(() => passage.priority, clock.elapsed(), settings.limits, enter)
      if (!leaveQueue) reject(queueFull(endpoint, passage))
    })
    return untilAborted(answer, signal, leaveQueue)
  }

  /** A foreground request: refused if there were far too many. */
  function admit(endpoint: Endpoint, { label, channel }: Passage): void {
    const now = clock.elapsed()
    const limit = settings.limits.fetchesPer10s
    const wasClosed = now < endpoint.guard.closedUntil
    const closed = endpoint.guard.admit(limit, now, label)
    if (!closed) return
    const ms = closed.until - now
    const subscriber = closed.who
    const what = `was asked for over ${limit} times in 10 s, most often by "${subscriber}": a loop? Refused for ${seconds(ms)}.`
    if (!wasClosed) {
      tell('runaway', endpoint, what, { channel, subscriber, value: limit + 1, limit })
      context.onRefused(endpoint.name, ms, subscriber)
    }
    throw refused('runaway', endpoint, what, ms)
  }

  /** A background request: waits until the budget has room. */
  async function pace(endpoint: Endpoint, passage: Passage): Promise<void> {
    const { claims, name } = endpoint
    const { label, channel, signal, kind } = passage
    const bucket = kind === 'refresh' ? endpoint.refreshes : endpoint.bucket
    const budget = budgetOf(endpoint)
    if (Number.isNaN(budget)) throw configError(`a budget of ${name} that is a number`, 'NaN: look at its intervals')
    const now = clock.elapsed()
    const ms = bucket.take(budget, kind === 'refresh' ? budget : Math.max(settings.limits.burst, claims.size), now)
    if (ms === 0) return
    const limit = Math.round(budget)
    const what = `has used its budget of ${limit} background requests a minute: "${label}" waits ${seconds(ms)}. Ask less often, or raise \`limits.backgroundPerMinute\`.`
    tell('request-rate', endpoint, what, { channel, subscriber: label, value: limit + 1, limit })
    endpoint.pacing++
    try {
      if (endpoint.pacing > settings.limits.queue) throw queueFull(endpoint, passage)
      await wait(ms, `budget ${name}`, signal)
    } catch (reason) {
      bucket.giveBack(now + ms)
      throw reason
    } finally {
      endpoint.pacing--
    }
  }

  function queueFull(endpoint: Endpoint, { label }: Passage): MillraceError {
    const what = `has ${settings.limits.queue} requests waiting: "${label}" asks too much at once, or the server is too slow.`
    return refused('queue-full', endpoint, what)
  }

  function throwIfOpen(endpoint: Endpoint): void {
    const { breaker } = endpoint
    if (!settings.flags.breaker || breaker.name !== 'open') return
    const ms = breaker.until - clock.elapsed()
    if (ms > 0) throw refused('breaker-open', endpoint, `failed too often. Not asking for ${seconds(ms)}.`, ms)
  }

  /** Asks the breaker, runs, and tells how it went; whatever happens, the slot is given back. */
  async function throughBreaker(
    endpoint: Endpoint,
    run: (onOutcome: (outcome: BreakerEvent) => void) => Promise<Response>,
  ): Promise<Response> {
    const isProbe = settings.flags.breaker && step(endpoint, 'ask')
    let outcome = 'neutral' as BreakerEvent
    try {
      throwIfOpen(endpoint)
      return await run((told) => {
        outcome = told
      })
    } finally {
      // What was sent before the breaker opened says nothing about the probe.
      if (isProbe || (settings.flags.breaker && endpoint.breaker.name === 'closed')) step(endpoint, outcome)
      endpoint.slots.leave(outcome === 'success')
    }
  }

  /** True if whoever asks is the probe. */
  function step(endpoint: Endpoint, event: BreakerEvent): boolean {
    const { state, effects } = stepBreaker(settings.breaker, endpoint.breaker, event, clock.elapsed())
    endpoint.breaker = state
    if (effects.length > 0) watchOnline()
    const { cooldown } = settings.breaker
    for (const effect of effects) {
      if (effect === 'probe') endpoint.slots.rampUp()
      else if (effect === 'closed') tell('breaker-closed', endpoint, 'answers again.')
      else tell('breaker-open', endpoint, `keeps failing. Not asking for ${seconds(cooldown)}, old answers are served.`)
    }
    return effects.includes('probe')
  }

  /** What failed while there was no network says nothing about the server: its breakers close when that is back. */
  function watchOnline(): void {
    const isWanted = !refusal && [...endpoints.all()].some(({ breaker }) => breaker.name !== 'closed')
    if (isWanted) stopOnline ??= listen(globalThis, 'online', closeBreakers)
    else {
      stopOnline?.()
      stopOnline = undefined
    }
  }

  function closeBreakers(): void {
    for (const endpoint of endpoints.all()) {
      if (endpoint.breaker.name === 'closed') continue
      endpoint.breaker = closedBreaker
      tell('breaker-closed', endpoint, 'is asked again: the network is back.')
    }
    watchOnline()
  }

  /** The last line of law 2, whatever came in by another door. */
  function checkLimits(): void {
    for (const [name, value] of Object.entries(settings.limits))
      if (typeof value !== 'number' || !(value >= 0))
        throw configError(`\`limits.${name}\` to be a number`, String(value))
  }

  async function exchange(
    input: string | Request,
    init: RequestInit,
    { stream = false, signal, kind, label, timeout = Infinity, onSent, since = clock.elapsed() }: Passage,
    endpoint: Endpoint,
    onOutcome: (outcome: BreakerEvent) => void,
  ): Promise<Response> {
    const { name } = endpoint
    const startedAt = clock.now()
    const sentAt = clock.elapsed()
    const controller = new AbortController()
    // Stays until the signal is collected: an abort must reach the body too. The signal is ours, so it is short-lived.
    signal.addEventListener('abort', () => controller.abort(reasonOf(signal)))
    const late = () => controller.abort(networkError(name, `did not answer within ${timeout} ms`, undefined, 'timeout'))
    const cancelTimeout = timeout < Infinity ? clock.after(timeout, late, `timeout ${name}`) : undefined
    const outcome: { status?: number; error?: MillraceError } = {}
    counters.sent++
    recordSent(endpoint, sentAt)
    onSent?.()
    try {
      const answer: unknown = (settings.fetch ?? platformFetch)(input, { ...init, signal: controller.signal })
      // A mock or a wrapper may not heed its signal, and may answer anything.
      const response = await untilAborted(Promise.resolve(answer as Response), controller.signal)
      if (typeof response?.status !== 'number') throw callbackError('fetch', name, 'has answered no `Response`')
      outcome.status = response.status
      return response
    } catch (cause) {
      // Whoever has given up had waited for its turn for longer than for the answer: the server was hardly asked.
      const wasHurried = clock.elapsed() - sentAt < sentAt - since
      if (signal.aborted && (wasHurried || !isOutage(reasonOf(signal)))) throw reasonOf(signal)
      const { aborted } = controller.signal
      const error = aborted ? reasonOf(controller.signal) : cause
      outcome.error = isMillraceError(error)
        ? error
        : (unsendable(name, input, init) ?? networkError(name, 'could not be reached', cause))
      throw outcome.error
    } finally {
      cancelTimeout?.()
      const duration = clock.elapsed() - sentAt
      const { status = 0, error } = outcome
      const hasFailed = error !== undefined || isRetryableStatus(status)
      if (hasFailed) counters.failed++
      if (error ? isOutage(error) : status >= 500) onOutcome('failure')
      else if (status > 0 && !isRetryableStatus(status)) onOutcome('success')
      const isTold = error ? !isOffline() : !signal.aborted
      if (!stream && isTold) settle(endpoint, duration, hasFailed)
      context.onRequest({
        endpoint: name,
        kind: stream ? 'stream' : kind === 'refresh' ? 'foreground' : kind,
        label,
        startedAt,
        duration,
        ...outcome,
      })
    }
  }

  function settle(endpoint: Endpoint, duration: number, hasFailed: boolean): void {
    recordOutcome(endpoint, duration, hasFailed)
    const value = failuresPer100(endpoint)
    const limit = settings.thresholds.errorRate
    if (!hasFailed || value <= limit) return
    const what = `failed in ${Math.round(value * 100)} of its last 100 requests: look at the server.`
    tell('error-rate', endpoint, what, { value, limit })
  }

  function tell(code: Alert['code'], { name }: Endpoint, what: string, details?: Partial<Alert>): void {
    alert({ code, message: `${name} ${what}`, endpoint: name, ...details })
  }

  function refused(code: MillraceErrorCode, { name }: Endpoint, what: string, retryAfter?: number): MillraceError {
    return count(requestError(code, name, what, { retryable: true, retryAfter }))
  }

  function count(error: MillraceError): MillraceError {
    counters.refused++
    return error
  }
}

/** Tells of the server, or of the way to it; not of a device that has no network. */
const isOutage = (error: unknown): boolean =>
  isMillraceError(error) && /^(network|timeout)$/.test(error.code) && !isOffline()

const seconds = (ms: number): string => `${Math.ceil(ms / 1_000)} s`
