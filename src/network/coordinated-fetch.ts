/**
 * `fetch` and `json` for many callers: what is in flight is shared, answers are cached where that was asked for, stale
 * ones stand in while the server cannot answer, and everything else goes through the gate.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { backoffDelay } from '../primitives/backoff'
import { callbackError } from '../primitives/callback'
import { check } from '../primitives/check'
import { isMillraceError, type MillraceError } from '../primitives/errors'
import {
  headersOf,
  isRetryableStatus,
  isSecretHeader,
  networkError,
  retryAfterOf,
  statusError,
} from '../primitives/http'
import { coordinationOptions } from '../primitives/options'
import { attempt as attempted } from '../primitives/platform'
import { shareStructure } from '../primitives/structural-sharing'
import { untilAborted } from '../primitives/until-aborted'
import { isReadable, readBody, readJson, validateBody } from './body'
import { DEFAULT_TIMEOUT, type Gate, type Passage, platformFetch } from './gate'
import { type Caller, createInFlight, type Flight } from './in-flight'
import { createPatience } from './patience'
import { type Asked, type Call, understand } from './request'
import { createResponseCache, type Reads } from './response-cache'
import { copiesOf, discard, rebuild, restOf, type Take } from './response-copies'
import { GUARD_WINDOW } from './runaway-guard'
import type { Sender } from './sender'
import type { NetworkContext } from './settings'
import { createShortcuts } from './shortcuts'
import type { Priority } from './slots'

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

/** RFC 9110 section 9.2.2. */
const IDEMPOTENT = /^(GET|HEAD|OPTIONS|TRACE|PUT|DELETE)$/
const UNSAFE = /^(POST|PUT|PATCH|DELETE)$/
/** What says that there is no body, and that what was known holds (RFC 9110 section 15). */
const BODILESS = [204, 205, 304]
/** Headers that differ with every request and change no answer. */
const TRACING = /^(traceparent|tracestate|baggage|x-request-id|x-correlation-id)$/
/** What else may change an answer, and what it is where nobody says otherwise. */
const MODE = {
  credentials: 'same-origin',
  redirect: 'follow',
  mode: 'cors',
  integrity: '',
  referrerPolicy: '',
} as const satisfies RequestInit
/** What is asked past our own cache, too. */
const PAST_CACHE = /^(no-store|reload|no-cache)$/
/** A read of the cache costs no request: this many times what may be sent is a loop all the same. */
const READS_PER_REQUEST = 50

/** A coordinated request of a source: its own endpoint's background, and the channel that it is for. */
export interface Errand extends Coordination {
  readonly kind?: Passage['kind']
  readonly channel?: string | undefined
  /** It is on its way, or what it has joined is: what the server says may be from before this moment. */
  readonly onSent?: () => void
  /** ms: a cached answer that is younger will do. @defaultValue 0 */
  readonly maxAge?: number
  /** Other tabs are told of the answer in another way. */
  readonly isTold?: boolean
}

/** A JSON answer, and the head it came with. */
export interface JsonAnswer {
  readonly value: unknown
  readonly headers: Headers
  /** It had no body (204, 205, 304, or nothing for what is no GET): what was known before holds. */
  readonly isEmpty?: boolean
  /** What its answer is cached by. */
  readonly key?: string | undefined
  readonly url?: string
  readonly bytes?: number
  /** It was asked with credentials of its own: not for other tabs to know by. */
  readonly isSecret?: boolean
  /** By the second hand, when it came. */
  readonly at?: number
  /** By the second hand, when it was asked: of two answers this one's is newer, whichever came first. */
  readonly sentAt?: number
}

interface Described extends Asked {
  /** All that it will be sent with. */
  readonly ready: Headers | undefined
  /** What equal requests in flight have in common, the best first; undefined where none is equal to another. */
  readonly keys: readonly string[] | undefined
  /** What its answer is cached by; undefined if it is not. */
  readonly key: string | undefined
  /** It is not to be answered from the cache. */
  readonly isPastCache: boolean
  /** Since when whoever has begun it waits. */
  readonly since?: number
  /** Sent with credentials of its own: the answer is not for other tabs. */
  readonly isSecret: boolean
}

type Schema<T> = StandardSchemaV1<unknown, T>
type Init = RequestInit | null | undefined
type Read<T> = (request: Described, errand: Errand, attempt: number, flight: Flight) => Promise<T>

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
  ask(url: string, init: RequestInit, errand: Errand): Promise<JsonAnswer>
  /** Tells of every answer to these equal requests, whoever asked, until the returned function is called. */
  follow(key: string, onAnswer: (answer: JsonAnswer) => void): () => void
  /** Forgets what is cached for these URLs, and does not keep what is under way. */
  forget(matches: (url: string) => boolean): void
  /** Keeps what another tab was answered, unless something newer is known. */
  learn(answer: KeptAnswer): void
  readonly cache: { readonly entries: number; readonly bytes: number }
}

/** A cached answer, as tabs tell each other of it. */
export interface KeptAnswer {
  readonly key: string
  readonly url: string
  readonly value: unknown
  readonly headers: readonly (readonly [string, string])[]
  readonly bytes: number
  /** ms, when it was told: a clock may be set meanwhile, so no moment is compared with another tab's. */
  readonly age: number
  /** ms from when it was asked to when it was told. */
  readonly sentAgo: number
  /** ms since the epoch: a tab that was frozen hears of it late. */
  readonly toldAt: number
}

/** One for all calls that give none. */
const noCoordination: Coordination = {}
/** A stream is for one reader: who finds it taken asks alone. */
const taken: unique symbol = Symbol()

export function createCoordinatedFetch(context: NetworkContext, gate: Gate, sender: Sender): CoordinatedFetch {
  const { clock, settings, counters } = context
  const cache = createResponseCache(context.account)
  const inFlight = createInFlight(gate, clock)
  const shortcuts = createShortcuts(settings)
  const followers = new Map<string, Set<(answer: JsonAnswer) => void>>()
  const validated = new WeakMap<StandardSchemaV1, { last: unknown; readonly outputs: WeakMap<object, unknown> }>()
  /** Those who have failed together wait together, and try again together. */
  const retries = new WeakMap<Flight, { readonly draw: number; readonly waits: symbol[] }>()

  return {
    fetch: coordinatedFetch,
    json,
    ask(url, init, errand) {
      return obtain('json', url, { cache: 'no-cache', ...init }, errand, readValue, (answer) => answer)
    },
    follow(key, onAnswer) {
      const all = followers.get(key) ?? new Set()
      followers.set(key, all.add(onAnswer))
      return () => {
        if (all.delete(onAnswer) && all.size === 0 && followers.get(key) === all) followers.delete(key)
      }
    },
    forget,
    learn({ key, url, value, headers, bytes, age, sentAgo, toldAt }) {
      const before = cache.get(key)?.value as JsonAnswer | undefined
      const now = clock.elapsed() - Math.max(0, clock.now() - toldAt)
      const sentAt = now - sentAgo
      if (!settings.flags.cache || isOlder({ sentAt }, before)) return
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

  async function coordinatedFetch(
    input: RequestInfo | URL,
    init?: Init,
    coordination: Coordination = {},
  ): Promise<Response> {
    check(coordinationOptions, coordination)
    if (!settings.flags.coordination) return (settings.fetch ?? platformFetch)(input, init ?? undefined)
    counters.asked++
    const purpose = coordination.ttl ? 'kept response' : 'response'
    return obtain(purpose, input, init, coordination, readResponse, (take, { endpoint, signal }, isOtherwise) => {
      const response = take(signal)
      if (!response) return taken
      const isRefused = isRetryableStatus(response.status)
      if (!isRefused || !isOtherwise(retryAfterOf(headersOf(response), clock.now()))) return response
      discard(response)
      throw statusError(endpoint, response, clock.now())
    })
  }

  function json<T>(
    input: RequestInfo | URL,
    init?: Init,
    coordination: Coordination & { schema?: Schema<T> } = noCoordination,
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
      counters.cached++
      countRead(known.reads, shortcut.endpoint, coordination)
      const { value } = known.value as JsonAnswer
      if (!schema) return Promise.resolve(value as T)
      const outputs = validated.get(schema)?.outputs
      return outputs?.has(value as object)
        ? Promise.resolve(outputs.get(value as object) as T)
        : validate(schema, value, shortcut.endpoint)
    }
    return obtain('json', input, init, { ...coordination, ttl }, readValue, ({ value, isEmpty }, { endpoint, key }) => {
      if (key) shortcuts.learn(input, init, key, endpoint)
      return schema && !isEmpty ? validate(schema, value, endpoint) : (value as T)
    })
  }

  /**
   * From the cache while it is fresh, else from the network, as often as this caller tries; if that cannot answer in its
   * time, from the cache again. `finish` makes of an answer what the caller is given; it is told whether there is a way
   * on, or something that can stand in, if it refuses the answer.
   */
  async function obtain<T, R>(
    purpose: string,
    input: RequestInfo | URL,
    init: Init,
    errand: Errand,
    read: Read<T>,
    finish: (
      answer: T,
      request: Described,
      isOtherwise: (retryAfter: number | undefined) => boolean,
    ) => R | typeof taken | Promise<R>,
  ): Promise<R> {
    const {
      ttl = 0,
      staleIfError = settings.cache.staleIfError,
      timeout = DEFAULT_TIMEOUT,
      priority = 'normal',
    } = errand
    const asked = await understand(input, init, settings.baseUrl)
    const { endpoint, url } = asked
    const most = IDEMPOTENT.test(asked.method) ? (errand.retry ?? 0) : 0
    if (most > 0 || sender.mayRefresh(url)) asked.prepareAgain()
    const since = clock.elapsed()
    let attempt = 0
    let isAlone = false
    let hasShared = false
    let call: Call | undefined = asked
    let flight: Flight | undefined
    let known: ReturnType<typeof recall>
    let last: Described | undefined
    const canStandIn = () => known !== undefined && isWithin(known, ttl + staleIfError)
    const fromCache = (request: Described) => {
      counters.cached++
      countRead((known as { reads: Reads }).reads, endpoint, errand)
      return finish(known?.value as T, request, () => false) as R
    }
    /** ms until the next attempt; undefined if there is none, or none in time. */
    const pauseBefore = (retryAfter: number | undefined) => {
      if (attempt >= most || !asked.again()) return undefined
      const pause = backoffDelay(settings.backoff, attempt, retryOf(flight).draw, retryAfter)
      return pause < patience.left() ? pause : undefined
    }
    const patience = createPatience(clock, timeout, asked.signal, `timeout ${endpoint}`, () =>
      lateError(last, endpoint, timeout, attempt, flight),
    )
    const caller = (): Caller => ({
      signal: patience.signal,
      kind: attempt > 0 ? 'background' : (errand.kind ?? 'foreground'),
      priority,
      ttl,
    })
    try {
      for (;;) {
        flight = last = undefined
        try {
          const request: Described = await describe(purpose, { ...asked, ...call }, attempt, caller())
          last = request
          const maxAge = request.isPastCache ? (errand.maxAge ?? 0) : ttl
          known = recall(request.key, maxAge)
          if (known && isWithin(known, maxAge)) return fromCache(request)
          // What is asked past the caches is not answered by them when it fails.
          if (request.isPastCache) known = undefined
          const answer = await inFlight.join(
            (!isAlone && errand.dedupe !== false && request.keys) || [Symbol()],
            url,
            caller(),
            (joined) => read({ ...request, since }, errand, attempt, joined),
            (joined, isShared) => {
              flight = joined
              if (isShared && !hasShared) counters.shared++
              hasShared ||= isShared
              if (errand.onSent) joined.whenSent(errand.onSent)
            },
          )
          const isOtherwise = (retryAfter: number | undefined) => canStandIn() || pauseBefore(retryAfter) !== undefined
          const result = await untilAborted(Promise.resolve(finish(answer, request, isOtherwise)), patience.signal)
          if (result !== taken) return result
          counters.shared--
          hasShared = false
          isAlone = true
        } catch (error) {
          const isWorthIt = isMillraceError(error) && error.retryable && !patience.signal.aborted
          const pause = isWorthIt ? pauseBefore(error.retryAfter) : undefined
          call = pause === undefined ? undefined : asked.again()
          if (pause === undefined || !call) throw error
          const { waits } = retryOf(flight)
          waits[attempt] ??= Symbol()
          const wait = waits[attempt] as symbol
          attempt++
          flight = last = undefined
          await inFlight.join([wait], url, caller(), ({ signal }) => gate.wait(pause, `retry ${endpoint}`, signal))
        }
      }
    } catch (error) {
      const request = last as Described | undefined
      if (!request || !canStandIn() || !isMillraceError(error) || !error.retryable) throw error
      return fromCache(request)
    } finally {
      patience.end()
    }
  }

  function retryOf(flight: Flight | undefined): { readonly draw: number; readonly waits: symbol[] } {
    const known = flight && retries.get(flight)
    if (known) return known
    const retry = { draw: clock.random(), waits: [] }
    if (flight) retries.set(flight, retry)
    return retry
  }

  /** Says what it has waited for. */
  function lateError(
    request: Described | undefined,
    endpoint: string,
    timeout: number,
    attempt: number,
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

  function isWithin({ at }: { readonly at: number }, ms: number): boolean {
    return clock.elapsed() - at < ms
  }

  /** It costs nobody a request; but whoever reads so often does so in a loop. */
  function countRead(reads: Reads, endpoint: string, { label = 'client.json' }: Coordination): void {
    const limit = settings.limits.fetchesPer10s * READS_PER_REQUEST
    if (++reads.count <= limit) return
    const now = clock.elapsed()
    if (now - reads.since < GUARD_WINDOW && settings.flags.guard) gate.looped(endpoint, limit, label)
    Object.assign(reads, { count: 0, since: now })
  }

  async function readResponse(request: Described, errand: Errand, attempt: number, flight: Flight): Promise<Take> {
    const { key, url, endpoint } = request
    const response = await exchange(request, errand, attempt, flight)
    const headers = headersOf(response)
    const isStream = /^text\/event-stream\b/i.test(headers.get('content-type') ?? '')
    const limit = settings.cache.bytes
    const isShort = response.ok && !isStream && !(Number(headers.get('content-length')) > limit)
    let whole = response
    // What cannot be read in pieces is read whole, or not at all.
    const copy = isReadable(response.body) ? response : attempted(() => response.clone())
    if (isShort && isKept(key, flight.ttl) && copy) {
      flight.stage = 'answered'
      // One that outgrows the limit after all is handed on as it is. Not by a clone: Node rejects a promise of its own
      // that nobody has, when one half of it is let go of after an abort.
      const body = await readBody(copy, endpoint, limit, flight.signal, false, (read, reader) => {
        whole = rebuild(response, restOf(read, reader))
      })
      if (body) {
        if (copy !== response) discard(response)
        const take = () => rebuild(response, body.length > 0 ? body : null)
        keep(key, url, flight, headers, take, body.length)
        return take
      }
    }
    return copiesOf(whole, isStream ? 1 : flight.land(), endpoint, gate.enter, clock, context.account)
  }

  async function readValue(request: Described, errand: Errand, attempt: number, flight: Flight): Promise<JsonAnswer> {
    const { key, url, endpoint, method, isSecret } = request
    const response = await exchange(request, errand, attempt, flight)
    const { status } = response
    const headers = headersOf(response)
    const before = key === undefined ? undefined : (cache.get(key)?.value as JsonAnswer | undefined)
    const { sentAt } = flight
    const empty = (value?: unknown): JsonAnswer => ({
      value,
      headers,
      isEmpty: true,
      key,
      at: clock.elapsed(),
      sentAt,
    })
    if (BODILESS.includes(status) || (response.ok && method === 'HEAD')) {
      discard(response)
      return empty(status === 304 ? before?.value : undefined)
    }
    if (status < 200 || status > 299) {
      discard(response)
      throw statusError(endpoint, response, clock.now())
    }
    flight.stage = 'answered'
    const body = await readJson(response, endpoint, method !== 'GET', flight.signal)
    if (!body) return empty()
    const { bytes } = body
    const at = clock.elapsed()
    const value = shareStructure(before?.value, body.value)
    const answer: JsonAnswer = { value, headers, key, url, bytes, isSecret, at, sentAt }
    if (key === undefined || !flight.isCurrent() || isOlder(answer, before)) return answer
    if (isKept(key, flight.ttl) && keep(key, url, flight, headers, answer, bytes) && !isSecret && !errand.isTold) {
      const told = { age: 0, sentAgo: at - sentAt, toldAt: clock.now() }
      context.onKept({ key, url, value, headers: [...headers], bytes, ...told })
    }
    tellFollowers(answer)
    return answer
  }

  function isOlder({ sentAt = 0 }: Pick<JsonAnswer, 'sentAt'>, known: JsonAnswer | undefined): boolean {
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

  /** One attempt, for all who share it. */
  async function exchange(request: Described, errand: Errand, attempt: number, flight: Flight): Promise<Response> {
    const { method, url } = request
    const { label = 'client.fetch', channel, group = request.endpoint } = errand
    const response = await sender.send({
      ...request,
      endpoint: group,
      label,
      channel,
      attempt,
      kind: attempt > 0 ? 'background' : (errand.kind ?? 'foreground'),
      get priority() {
        return flight.priority
      },
      signal: flight.signal,
      onSent: flight.sent,
    })
    if (response.ok && UNSAFE.test(method)) {
      forget((cached) => cached === url)
      context.onChanged(url)
    }
    return response
  }

  /** `purpose` keeps apart what is read in different ways. */
  async function describe(purpose: string, asked: Asked, attempt: number, caller: Caller): Promise<Described> {
    const { url, method, headers, endpoint, init, input } = asked
    const described = { ...asked, ready: undefined, keys: undefined, key: undefined, isPastCache: true, isSecret: true }
    if (asked.hasBody) return described

    const ask = ({ signal }: Pick<Flight, 'signal'>) => sender.headersFor({ url, attempt, headers, endpoint, signal })
    // A function is waited for in flight, so that an abort and the switch end the wait.
    const isWait = typeof settings.headers === 'function'
    const ready = await (isWait ? inFlight.join([Symbol()], url, caller, ask) : ask({ signal: caller.signal }))
    const shown = [...ready].filter(([name]) => !TRACING.test(name))
    const request = typeof input === 'string' ? undefined : input
    const fallback = { ...MODE, ...(!request && { credentials: sender.credentialsFor(url) ?? MODE.credentials }) }
    const mode = Object.entries(fallback).map(([name, usual]) => {
      const part = name as keyof typeof MODE
      return init[part] ?? request?.[part] ?? usual
    })
    const isSecret = shown.some(([name]) => isSecretHeader(name))
    const how = init.cache ?? request?.cache ?? 'default'
    const isPastCache = PAST_CACHE.test(how)
    const all = JSON.stringify([purpose, method, url, settings.identity, shown, mode])
    const keyOf = (cached: string) => `${all} ${cached}`
    // What goes past the caches on its way is as good for who would have taken what they hold.
    const keys = how === 'default' ? [keyOf(how), keyOf('no-cache')] : [keyOf(how)]
    const key = how === 'no-store' ? undefined : keyOf(isPastCache ? 'default' : how)
    return { ...described, ready, keys, key, isPastCache, isSecret }
  }
}
