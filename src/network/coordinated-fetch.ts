/**
 * `fetch` and `json` for many callers: what is in flight is shared, answers are cached where that was asked for, stale
 * ones stand in while the server cannot answer, and everything else goes through the gate.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { backoffDelay } from '../primitives/backoff'
import { callbackError } from '../primitives/callback'
import { check } from '../primitives/check'
import { isMillraceError, type MillraceError } from '../primitives/errors'
import { headersOf, networkError, statusError } from '../primitives/http'
import { coordinationOptions } from '../primitives/options'
import { attempt as attempted } from '../primitives/platform'
import { shareStructure } from '../primitives/structural-sharing'
import { throwIfAborted, untilAborted } from '../primitives/until-aborted'
import type { JsonAnswer, KeptAnswer } from './answer'
import { type Asked, type Call, understand } from './asked'
import { isReadable, readBody, readJson, validateBody } from './body'
import type { Gate } from './gate'
import { GUARD_WINDOW } from './guard'
import { type Caller, createInFlight, type Flight } from './in-flight'
import { type Likeness, likenessOf } from './likeness'
import { createPatience, DEFAULT_TIMEOUT, wait } from './patience'
import type { PolicyRequest, Priority } from './request'
import { createResponseCache, type Reads } from './response-cache'
import { copiesOf, discard, rebuild, restOf, type Take } from './response-copies'
import { platformFetch } from './send'
import type { Sender } from './sender'
import type { NetworkContext } from './settings'
import { createShortcuts } from './shortcuts'
import type { BodyReader } from './split-body'

export type { JsonAnswer, KeptAnswer } from './answer'

/** How one request is coordinated with the others. */
export interface Coordination {
  /** ms that the answer may be reused; a request with `cache: 'no-store'`, `'reload'` or `'no-cache'` asks all the same. @defaultValue none for `fetch`, 2_000 for `json` */
  ttl?: number | undefined
  /** Join an equal GET or HEAD that is in flight. @defaultValue true */
  dedupe?: boolean | undefined
  /** ms after `ttl` that an old answer stands in while a new one cannot be had. @defaultValue 300_000 */
  staleIfError?: number | undefined
  /**
   * ms that this caller waits, whatever for: its turn, the budget, a function for headers, retries, a refresh of
   * credentials, the answer's head, and the body where it is read for the caller (`json`, `ttl`). Whoever joins a request
   * in flight has its own. `Infinity` for as long as it takes. Then it rejects with `timeout`; the request goes on while
   * somebody else waits. @defaultValue 15_000
   */
  timeout?: number | undefined
  /**
   * How often an idempotent request is tried again, with backoff, within the background budget and the `timeout`; a retry
   * that comes too late for that is not waited for. Each caller's own, joined or not. @defaultValue 0
   */
  retry?: number | undefined
  /** Who goes first when requests have to wait; nobody starves. A shared request is as urgent as the most urgent. @defaultValue 'normal' */
  priority?: Priority | undefined
  /** Breaker, budget and concurrency of this name instead of the endpoint's own. */
  group?: string | undefined
  /** Names the caller in alerts and statistics. */
  label?: string | undefined
}

/** How a source asks: its own endpoint's background, and the channel that it is for. */
export interface SourceCoordination extends Coordination {
  readonly kind?: PolicyRequest['kind']
  readonly channel?: string | undefined
  /** It is on its way, or what it has joined is: what the server says may be from before this moment. */
  readonly onSent?: () => void
  /** ms: a cached answer that is younger will do. @defaultValue 0 */
  readonly maxAge?: number
  /** Other tabs are told of the answer in another way. */
  readonly isTold?: boolean
}

type Schema<T> = StandardSchemaV1<unknown, T>
type Init = RequestInit | null | undefined

/** One attempt, for all who share it. */
interface Attempt extends Asked, Likeness {
  /** All that it will be sent with. */
  readonly ready: Headers | undefined
  readonly how: SourceCoordination
  readonly attempt: number
  /** Since when whoever has begun it waits. */
  readonly since: number
}

/** How an answer is read once for all callers, and what each of them is given of it. */
interface Reading<T, R> {
  /** Keeps apart what is read in different ways. */
  readonly purpose: string
  read(response: Response, request: Attempt, flight: Flight): Promise<T>
  /** `isOtherwise`: whether there is a way on, or something that can stand in, if it refuses the answer. */
  finish(
    answer: T,
    request: Attempt,
    isOtherwise: (error: MillraceError) => boolean,
  ): R | typeof taken | Promise<R | typeof taken>
}

export interface CoordinatedFetch {
  fetch(input: RequestInfo | URL, init?: RequestInit, coordination?: Coordination): Promise<Response>
  json<T>(
    input: RequestInfo | URL,
    init?: RequestInit,
    coordination?: Coordination & { schema?: StandardSchemaV1<unknown, T> | undefined },
  ): Promise<T>
  /**
   * Asks the server now, past all caches, and caches the answer; equal questions in flight are shared unless `dedupe` is
   * false. What it is told is looked at when it is needed, since it may change meanwhile.
   */
  ask(url: string, init: RequestInit, how: SourceCoordination): Promise<JsonAnswer>
  /** Tells of every answer to these equal requests, whoever asked, until the returned function is called. */
  follow(key: string, onAnswer: (answer: JsonAnswer) => void): () => void
  /** Forgets what is cached for these URLs, and does not keep what is under way. */
  forget(matches: (url: string) => boolean): void
  /** Keeps what another tab was answered, unless something newer is known. */
  learn(answer: KeptAnswer): void
  readonly cache: { readonly entries: number; readonly bytes: number }
}

/** RFC 9110 section 9.2.2. */
const IDEMPOTENT = /^(GET|HEAD|OPTIONS|TRACE|PUT|DELETE)$/
const UNSAFE = /^(POST|PUT|PATCH|DELETE)$/
/** What says that there is no body, and that what was known holds (RFC 9110 section 15). */
const BODILESS = [204, 205, 304]
/** A read of the cache costs no request: this many times what may be sent is a loop all the same. */
const READS_PER_REQUEST = 50

/** One for all calls that give none. */
const noCoordination: Coordination = {}
/** A stream is for one reader: who finds it taken asks alone. */
const taken: unique symbol = Symbol()

export function createCoordinatedFetch(context: NetworkContext, gate: Gate, sender: Sender): CoordinatedFetch {
  const { clock, settings, counters } = context
  const cache = createResponseCache(context.account)
  const inFlight = createInFlight(clock)
  const shortcuts = createShortcuts(settings)
  const followers = new Map<string, Set<(answer: JsonAnswer) => void>>()
  const validated = new WeakMap<StandardSchemaV1, { last: unknown; readonly outputs: WeakMap<object, unknown> }>()
  const asJson = <R>(finish: Reading<JsonAnswer, R>['finish']) => ({ purpose: 'json', read: readValue, finish })
  const wholeAnswer = asJson((answer) => answer)

  return {
    async fetch(input, init, coordination = noCoordination) {
      check(coordinationOptions, coordination)
      if (!settings.flags.coordination) return (settings.fetch ?? platformFetch)(input, init ?? undefined)
      counters.asked++
      return obtain(input, init, coordination, {
        purpose: coordination.ttl ? 'kept response' : 'response',
        read: readResponse,
        finish(take: Take, { endpoint, signal }, isOtherwise) {
          const response = take(signal)
          if (!response) return taken
          const error = response.status >= 400 ? statusError(endpoint, response, clock.now()) : undefined
          if (!error?.retryable || !isOtherwise(error)) return response
          discard(response)
          throw error
        },
      })
    },
    json,
    ask: (url, init, how) => obtain(url, { cache: 'no-cache', ...init }, how, wholeAnswer),
    follow(key, onAnswer) {
      const all = followers.get(key) ?? new Set()
      followers.set(key, all.add(onAnswer))
      return () => {
        if (all.delete(onAnswer) && all.size === 0 && followers.get(key) === all) followers.delete(key)
      }
    },
    forget,
    learn({ key, url, value, headers, bytes, age, sentAgo, toldAt }) {
      const now = clock.elapsed() - Math.max(0, clock.now() - toldAt)
      const before = knownAnswer(key)
      const sentAt = now - sentAgo
      if (!settings.flags.cache || isOlder(sentAt, before)) return
      const answer: JsonAnswer = {
        value: shareStructure(before?.value, value),
        headers: new Headers(headers as [string, string][]),
        key,
        url,
        bytes,
        at: now - age,
        sentAt,
      }
      cache.set(key, { url, value: answer, bytes, at: now - age }, settings.cache)
      tellFollowers(answer)
    },
    get cache() {
      return cache.figures()
    },
  }

  function json<T>(
    input: RequestInfo | URL,
    init?: Init,
    coordination: Coordination & { schema?: Schema<T> | undefined } = noCoordination,
  ): Promise<T> {
    if (coordination !== noCoordination)
      try {
        check(coordinationOptions, coordination)
      } catch (error) {
        return Promise.reject(error)
      }
    const { schema, ttl = settings.cache.ttl } = coordination
    counters.asked++
    const shortcut = shortcuts.find(input, init)
    const known = shortcut && recall(shortcut.key, ttl)
    if (known && isWithin(known, ttl)) {
      countRead(known.reads, shortcut.endpoint, coordination)
      const { value } = known.value as JsonAnswer
      if (!schema) return Promise.resolve(value as T)
      const outputs = validated.get(schema)?.outputs
      return outputs?.has(value as object)
        ? Promise.resolve(outputs.get(value as object) as T)
        : validate(schema, value, shortcut.endpoint)
    }
    const reading = asJson(({ value, isEmpty }, { endpoint, key }) => {
      if (key) shortcuts.learn(input, init, key, endpoint)
      return schema && !isEmpty ? validate(schema, value, endpoint) : (value as T)
    })
    return obtain(input, init, { ...coordination, ttl }, reading)
  }

  /**
   * From the cache while it is fresh, else from the network, as often as this caller tries; if that cannot answer in its
   * time, from the cache again.
   */
  async function obtain<T, R>(
    input: RequestInfo | URL,
    init: Init,
    how: SourceCoordination,
    { purpose, read, finish }: Reading<T, R>,
  ): Promise<R> {
    const {
      ttl = 0,
      staleIfError = settings.cache.staleIfError,
      timeout = DEFAULT_TIMEOUT,
      priority = 'normal',
      kind = 'foreground',
    } = how
    const asked = await understand(input, init, settings.baseUrl)
    const { endpoint, url } = asked
    const most = IDEMPOTENT.test(asked.method) ? (how.retry ?? 0) : 0
    if (most > 0 || sender.mayRefresh(url)) asked.prepareAgain()
    const since = clock.elapsed()
    let attempt = 0
    let isAlone = false
    let hasShared = false
    let call: Call | undefined = asked
    let flight: Flight | undefined
    let request: Attempt | undefined
    let known: ReturnType<typeof recall>
    const canStandIn = () => known !== undefined && isWithin(known, ttl + staleIfError)
    const fromCache = (request: Attempt) => {
      const { reads, value } = known as NonNullable<typeof known>
      countRead(reads, endpoint, how)
      return finish(value as T, request, () => false) as R
    }
    /** ms until the next attempt; undefined if there is none, or none in time. */
    const pauseBefore = ({ retryAfter }: MillraceError) => {
      if (attempt >= most || !asked.again()) return undefined
      const pause = backoffDelay(settings.backoff, attempt, retryOf(flight).draw, retryAfter)
      return pause < patience.left() ? pause : undefined
    }
    const isOtherwise = (error: MillraceError) => canStandIn() || pauseBefore(error) !== undefined
    const patience = createPatience(clock, gate.enter, timeout, asked.signal, `timeout ${endpoint}`, () =>
      lateError(endpoint, timeout, attempt, request, flight),
    )
    const { signal } = patience
    try {
      for (;;) {
        flight = request = undefined
        try {
          const caller: Caller = { signal, kind: attempt > 0 ? 'background' : kind, priority, ttl }
          const told = { ...asked, ...call, how, attempt, since }
          const described: Attempt = { ...told, ...(await describe(purpose, told, signal)) }
          request = described
          const maxAge = described.isPastCache ? (how.maxAge ?? 0) : ttl
          known = recall(described.key, maxAge)
          if (known && isWithin(known, maxAge)) return fromCache(described)
          // What is asked past the caches is not answered by them when it fails.
          if (described.isPastCache) known = undefined
          const answer = await inFlight.join(
            (!isAlone && how.dedupe !== false && described.keys) || [Symbol()],
            url,
            caller,
            async (joined) => read(await exchange(described, caller.kind, joined), described, joined),
            (joined, isShared) => {
              flight = joined
              if (isShared && !hasShared) counters.shared++
              hasShared ||= isShared
              if (how.onSent) joined.whenSent(how.onSent)
            },
          )
          const result = await untilAborted(Promise.resolve(finish(answer, described, isOtherwise)), signal)
          if (result !== taken) return result
          counters.shared--
          hasShared = false
          isAlone = true
        } catch (error) {
          const isWorthIt = isMillraceError(error) && error.retryable && !signal.aborted
          const pause = isWorthIt ? pauseBefore(error) : undefined
          call = asked.again()
          if (pause === undefined || !call) throw error
          const { waits } = retryOf(flight)
          waits[attempt] ??= Symbol()
          const key = waits[attempt] as symbol
          attempt++
          flight = request = undefined
          await inFlight.join([key], url, { signal, kind, priority, ttl }, (waiting) =>
            wait(clock, pause, `retry ${endpoint}`, waiting.signal),
          )
        }
      }
    } catch (error) {
      if (!request || !canStandIn() || !isMillraceError(error) || !error.retryable) throw error
      return fromCache(request)
    } finally {
      patience.end()
    }
  }

  function retryOf(flight: Partial<Flight> = {}): NonNullable<Flight['retry']> {
    flight.retry ??= { draw: clock.random(), waits: [] }
    return flight.retry
  }

  /** All that it is sent with, and what is equal to it. */
  async function describe(
    purpose: string,
    request: Asked & { readonly attempt: number },
    signal: AbortSignal,
  ): Promise<Likeness & { readonly ready: Headers | undefined }> {
    const { url, hasBody } = request
    if (hasBody) return { ready: undefined, isPastCache: true, isSecret: true }
    if (typeof settings.headers === 'function') throwIfAborted(signal)
    const ready = await sender.headersFor({ ...request, signal })
    return { ready, ...likenessOf(purpose, request, ready, settings.identity, sender.credentialsFor(url)) }
  }

  async function exchange(request: Attempt, kind: Caller['kind'], flight: Flight): Promise<Response> {
    const { how, method, url, endpoint } = request
    const response = await sender.send({
      ...request,
      endpoint: how.group ?? endpoint,
      label: how.label ?? 'client.fetch',
      channel: how.channel,
      kind,
      priority: () => flight.priority,
      signal: flight.signal,
      onSent: flight.sent,
    })
    if (response.ok && UNSAFE.test(method)) {
      forget((cached) => cached === url)
      context.onChanged(url)
    }
    return response
  }

  async function readResponse(response: Response, { key, url, endpoint }: Attempt, flight: Flight): Promise<Take> {
    const headers = headersOf(response)
    const isStream = /^text\/event-stream\b/i.test(headers.get('content-type') ?? '')
    const limit = settings.cache.bytes
    const isShort = response.ok && !isStream && !(Number(headers.get('content-length')) > limit)
    let begun: BodyReader | undefined
    // What cannot be read in pieces is read whole, or not at all.
    const copy = isReadable(response.body) ? response : attempted(() => response.clone())
    if (isShort && isKept(key, flight.ttl) && copy) {
      flight.stage = 'answered'
      // One that outgrows the limit after all is handed on. Not by a clone: Node rejects a promise of its own that nobody
      // has, when one half of it is let go of after an abort.
      const body = await readBody(copy, endpoint, limit, flight.signal, false, (read, reader) => {
        begun = restOf(read, reader)
      })
      if (body) {
        if (copy !== response) discard(response)
        const take = () => rebuild(response, body.length > 0 ? body : null)
        keep(key, url, flight, headers, take, body.length)
        return take
      }
    }
    return copiesOf(response, isStream ? 1 : flight.land(), endpoint, gate.enter, clock, context.account, begun)
  }

  async function readValue(response: Response, request: Attempt, flight: Flight): Promise<JsonAnswer> {
    const { key, url, endpoint, method, isSecret = true, how } = request
    const { status } = response
    const headers = headersOf(response)
    const before = knownAnswer(key)
    const { sentAt } = flight
    const isSuccess = status >= 200 && status < 300
    const hasNone = BODILESS.includes(status) || (isSuccess && method === 'HEAD')
    if (hasNone || !isSuccess) discard(response)
    if (!hasNone && !isSuccess) throw statusError(endpoint, response, clock.now())
    flight.stage = 'answered'
    const body = hasNone ? undefined : await readJson(response, endpoint, method !== 'GET', flight.signal)
    const at = clock.elapsed()
    if (!body) {
      const value = status === 304 ? before?.value : undefined
      return { value, headers, isEmpty: true, key, at, sentAt }
    }
    const { bytes } = body
    const value = shareStructure(before?.value, body.value)
    const answer: JsonAnswer = { value, headers, key, url, bytes, isSecret, at, sentAt }
    if (key === undefined || !flight.isCurrent() || isOlder(sentAt, before)) return answer
    if (isKept(key, flight.ttl) && keep(key, url, flight, headers, answer, bytes) && !isSecret && !how.isTold) {
      const told = { age: 0, sentAgo: at - sentAt, toldAt: clock.now() }
      context.onKept({ key, url, value, headers: [...headers], bytes, ...told })
    }
    tellFollowers(answer)
    return answer
  }

  /** Says what it has waited for. */
  function lateError(
    endpoint: string,
    timeout: number,
    attempt: number,
    request: Attempt | undefined,
    flight: Flight | undefined,
  ): MillraceError {
    const within = `within ${timeout} ms`
    const isAsking = !request && attempt === 0 && typeof settings.headers === 'function'
    if (isAsking) return callbackError('headers', endpoint, `has not answered ${within}`)
    const waited = Math.round(timeout - (clock.elapsed() - (flight?.sentAt ?? 0)))
    const what = {
      waiting: `was not sent ${attempt > 0 ? 'again ' : ''}${within}: it waited for its turn`,
      sent:
        waited > timeout / 2
          ? `was not answered ${within}, ${waited} of which it waited for its turn`
          : `did not answer ${within}`,
      answered: `did not finish its body ${within}`,
    }[flight?.stage ?? 'waiting']
    return networkError(endpoint, what, undefined, 'timeout')
  }

  /** Whether an answer to this may come from the cache, and go into it. */
  function isKept(key: string | undefined, ttl: number): key is string {
    return key !== undefined && ttl > 0 && settings.flags.cache
  }

  function recall(key: string | undefined, ttl: number): ReturnType<typeof cache.get> {
    return isKept(key, ttl) ? cache.get(key) : undefined
  }

  function knownAnswer(key: string | undefined): JsonAnswer | undefined {
    return key === undefined ? undefined : (cache.get(key)?.value as JsonAnswer | undefined)
  }

  function isWithin({ at }: { readonly at: number }, ms: number): boolean {
    return clock.elapsed() - at < ms
  }

  /** It costs nobody a request; but whoever reads so often does so in a loop. */
  function countRead(reads: Reads, endpoint: string, { label = 'client.json' }: Coordination): void {
    counters.cached++
    const limit = settings.limits.fetchesPer10s * READS_PER_REQUEST
    if (++reads.count <= limit) return
    const now = clock.elapsed()
    if (now - reads.since < GUARD_WINDOW && settings.flags.guard) gate.looped(endpoint, limit, label)
    Object.assign(reads, { count: 0, since: now })
  }

  function isOlder(sentAt: number, known: JsonAnswer | undefined): boolean {
    return known?.sentAt !== undefined && sentAt < known.sentAt
  }

  function tellFollowers(answer: JsonAnswer): void {
    for (const tell of [...(followers.get(answer.key as string) ?? [])]) tell(answer)
  }

  function keep(key: string, url: string, flight: Flight, headers: Headers, value: unknown, bytes: number): boolean {
    // RFC 9111 section 4.1: an answer that varies by everything fits no other request.
    if (!flight.isCurrent() || headers.get('vary')?.trim() === '*') return false
    cache.set(key, { url, value, bytes, at: clock.elapsed() }, settings.cache)
    return true
  }

  function forget(matches: (url: string) => boolean): void {
    cache.forget(matches)
    inFlight.forget(matches)
  }

  /** One schema and one parsed value give one output, so that equal data keeps its reference here too. */
  async function validate<T>(schema: Schema<T>, value: unknown, endpoint: string): Promise<T> {
    const known = validated.get(schema) ?? { last: undefined, outputs: new WeakMap() }
    validated.set(schema, known)
    const isObject = typeof value === 'object' && value !== null
    if (isObject && known.outputs.has(value)) return known.outputs.get(value) as T
    const output = shareStructure(known.last, await validateBody(schema, value, endpoint, clock))
    known.last = output
    if (isObject) known.outputs.set(value, output)
    return output
  }
}
