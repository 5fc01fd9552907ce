/**
 * `fetch` and `json` for many callers: what is in flight is shared, answers are cached where that was asked for, stale
 * ones stand in while the server cannot answer, and everything else goes through the gate.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { backoffDelay } from '../primitives/backoff'
import { check } from '../primitives/check'
import { isMillraceError } from '../primitives/errors'
import { isRetryableStatus, retryAfterOf, statusError } from '../primitives/http'
import { isSecretHeader } from '../primitives/secret-headers'
import { shareStructure } from '../primitives/structural-sharing'
import { endpointOf, resolveUrl } from '../primitives/url'
import { readBody, readJson, validateBody } from './body'
import { DEFAULT_TIMEOUT, type Gate, type Passage, platformFetch } from './gate'
import { createInFlight, type Flight } from './in-flight'
import { type CacheEntry, createResponseCache } from './response-cache'
import { discard, ownResponse, rebuild } from './response-copies'
import { isRepeatable, type Sender } from './sender'
import type { HeaderSource, NetworkContext } from './settings'
import type { Priority } from './slots'

/** How one request is coordinated with the others. */
export interface Coordination {
  /** ms that the answer may be reused. @defaultValue none for `fetch`, 2_000 for `json` */
  ttl?: number
  /** Join an equal GET or HEAD that is in flight. @defaultValue true */
  dedupe?: boolean
  /** ms after `ttl` that an old answer stands in while a new one cannot be had. @defaultValue 300_000 */
  staleIfError?: number
  /** ms until the answer's head, and again until the end of a body that is read for the cache. @defaultValue 15_000 */
  timeout?: number
  /** How often an idempotent request is tried again, with backoff, within the background budget. @defaultValue 0 */
  retry?: number
  /** Who goes first when requests have to wait; nobody starves. @defaultValue 'normal' */
  priority?: Priority
  /** Breaker, budget and concurrency of this name instead of the endpoint's own. */
  group?: string
  /** Names the caller in alerts and statistics. */
  label?: string
}

/** RFC 9110 section 9.2.2. */
const IDEMPOTENT = /^(GET|HEAD|OPTIONS|TRACE|PUT|DELETE)$/
const UNSAFE = /^(POST|PUT|PATCH|DELETE)$/
/** Headers that differ with every request and change no answer. */
const TRACING = /^(traceparent|tracestate|baggage|x-request-id|x-correlation-id)$/
/** What else may change an answer, and what it is where nobody says otherwise. */
const MODE = {
  credentials: 'same-origin',
  cache: 'default',
  redirect: 'follow',
  mode: 'cors',
  integrity: '',
  referrerPolicy: '',
} as const satisfies RequestInit
/** URLs that mean the same wherever the page has moved to. */
const SETTLED = /^(https?:\/\/|\/)/

/** A coordinated request of a source: its own endpoint's background, and the channel that it is for. */
export interface Errand extends Coordination {
  readonly kind?: Passage['kind']
  readonly channel?: string
  /** Past the browser's cache, or through it: changes nothing about which requests are equal. */
  readonly cache?: RequestCache
  /** ms: a cached answer that is younger will do. @defaultValue 0 */
  readonly maxAge?: number
  /** What is asked from now on may be newer than the answer to this. */
  readonly onSent?: () => void
  /** Other tabs are told of the answer in another way. */
  readonly isTold?: boolean
}

/** A JSON answer, and the head it came with. */
export interface JsonAnswer {
  readonly value: unknown
  readonly headers: Headers
  /** 204, 205, 304: the server has nothing new to say. */
  readonly isEmpty?: boolean
  /** What equal requests have in common. */
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

/** Hands an answer to one caller; undefined if it was a stream and somebody else has it. */
type Take = (signal: AbortSignal | undefined) => Response | undefined

interface Described {
  readonly input: string | Request
  readonly init: RequestInit
  readonly url: string
  readonly method: string
  readonly endpoint: string
  /** The request's own headers, and all that it will be sent with. */
  readonly headers: HeadersInit | undefined
  readonly ready: Headers | undefined
  readonly signal: AbortSignal | undefined
  /** What equal requests have in common; undefined where none is equal to another. */
  readonly key: string | undefined
  /** Sent with credentials of its own: the answer is not for other tabs. */
  readonly isSecret: boolean
}

/** What `json` knows of a URL, while the settings are the same: no URL need be parsed and no header object built. */
interface Shortcut {
  readonly key: string
  readonly endpoint: string
  readonly headers: HeaderSource | undefined
  readonly identity: string | null
}

type Schema<T> = StandardSchemaV1<unknown, T>

/** One for all calls that give none. */
const noCoordination: Coordination = {}

export interface CoordinatedFetch {
  fetch(input: RequestInfo | URL, init?: RequestInit, coordination?: Coordination): Promise<Response>
  json<T>(
    input: RequestInfo | URL,
    init?: RequestInit,
    coordination?: Coordination & { schema?: StandardSchemaV1<unknown, T> },
  ): Promise<T>
  /** Asks now, past what is cached, and caches the answer; equal questions in flight are shared unless `dedupe` is false. */
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

export function createCoordinatedFetch(context: NetworkContext, gate: Gate, sender: Sender): CoordinatedFetch {
  const { clock, settings, counters } = context
  const cache = createResponseCache(context.account)
  const inFlight = createInFlight(gate, counters)
  const shortcuts = new Map<string, Shortcut>()
  const validated = new WeakMap<StandardSchemaV1, { value: unknown; output: unknown }>()
  const followers = new Map<string, Set<(answer: JsonAnswer) => void>>()

  return {
    fetch: coordinatedFetch,
    json,
    async ask(url, init, given) {
      const request = await describe('json', url, init)
      // Not before: whether what is under way will do may have changed.
      const { maxAge = 0, ...errand } = given
      const known = recall(request.key, maxAge)
      if (!known || !isWithin(known, maxAge))
        return share(request, { ttl: Math.max(settings.cache.ttl, maxAge), ...errand }, readValue)
      counters.cached++
      return known.value as JsonAnswer
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
      const known = cache.get(key)
      const before = known?.value as JsonAnswer | undefined
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
      cache.set(key, { url, value: answer, bytes, at: clock.now() - age }, settings.cache)
      tellFollowers(answer)
    },
    get cache() {
      return cache.figures()
    },
  }

  async function coordinatedFetch(
    input: RequestInfo | URL,
    init: RequestInit = {},
    coordination: Coordination = {},
  ): Promise<Response> {
    check('', coordination)
    if (!settings.flags.coordination) return (settings.fetch ?? platformFetch)(input, init)
    counters.asked++
    const request = await describe(coordination.ttl ? 'kept response' : 'response', input, init)
    const finish = (take: Take, canStandIn: boolean) => {
      const response = take(request.signal)
      if (!response || !canStandIn || !isRetryableStatus(response.status)) return response
      discard(response)
      throw statusError(request.endpoint, response, clock.now())
    }
    const response = await obtain(request, coordination, readResponse, finish)
    if (response) return response
    // A stream is for one reader: the others ask for themselves.
    counters.shared--
    return (await share(request, { ...coordination, dedupe: false }, readResponse))(request.signal) as Response
  }

  function json<T>(
    input: RequestInfo | URL,
    init?: RequestInit,
    coordination: Coordination & { schema?: Schema<T> } = noCoordination,
  ): Promise<T> {
    if (coordination !== noCoordination)
      try {
        check('', coordination)
      } catch (error) {
        return Promise.reject(error)
      }
    const { schema, ttl = settings.cache.ttl } = coordination
    counters.asked++
    const shortcut = init ? undefined : shortcuts.get(String(input))
    if (shortcut && shortcut.headers === settings.headers && shortcut.identity === settings.identity) {
      const known = recall(shortcut.key, ttl)
      if (known && isWithin(known, ttl)) {
        counters.cached++
        const { value } = known.value as JsonAnswer
        return schema ? validate(schema, value, shortcut.endpoint) : Promise.resolve(value as T)
      }
    }
    return askForJson(input, init, { ...coordination, ttl })
  }

  async function askForJson<T>(
    input: RequestInfo | URL,
    init: RequestInit | undefined,
    coordination: Coordination & { schema?: Schema<T> },
  ): Promise<T> {
    const request = await describe('json', input, init ?? {})
    const { key, endpoint } = request
    const { headers, identity } = settings
    const name = String(input)
    if (!init && key && typeof headers !== 'function' && SETTLED.test(name)) {
      if (shortcuts.size >= settings.cache.entries) shortcuts.clear()
      shortcuts.set(name, { key, endpoint, headers, identity })
    }
    const { schema } = coordination
    return obtain(request, coordination, readValue, ({ value, isEmpty }) =>
      schema && !isEmpty ? validate(schema, value, endpoint) : (value as T),
    )
  }

  /** From the cache while it is fresh, else from the network; if that cannot answer now, from the cache again. */
  async function obtain<T, R>(
    request: Described,
    coordination: Coordination,
    read: (request: Described, errand: Errand, flight: Flight) => Promise<T>,
    finish: (answer: T, canStandIn: boolean) => R | Promise<R>,
  ): Promise<R> {
    const { ttl = 0, staleIfError = settings.cache.staleIfError } = coordination
    const known = recall(request.key, ttl)
    const fromCache = (entry: CacheEntry) => {
      counters.cached++
      return finish(entry.value as T, false)
    }
    if (known && isWithin(known, ttl)) return fromCache(known)
    const canStandIn = () => known !== undefined && isWithin(known, ttl + staleIfError)
    try {
      return await finish(await share(request, coordination, read), canStandIn())
    } catch (error) {
      if (!known || !canStandIn() || !isMillraceError(error) || !error.retryable) throw error
      return fromCache(known)
    }
  }

  /** Whether an answer to this may come from the cache, and go into it. */
  function isKept(key: string | undefined, ttl: number | undefined): key is string {
    return key !== undefined && (ttl ?? 0) > 0 && settings.flags.cache
  }

  function recall(key: string | undefined, ttl: number): CacheEntry | undefined {
    return isKept(key, ttl) ? cache.get(key) : undefined
  }

  function isWithin({ at }: CacheEntry, ms: number): boolean {
    return clock.now() - at < ms
  }

  /** Joins what is in flight for an equal request, or starts it. */
  function share<T>(
    request: Described,
    errand: Errand,
    read: (request: Described, errand: Errand, flight: Flight) => Promise<T>,
  ): Promise<T> {
    const { key, url, signal } = request
    const shared = errand.dedupe === false ? undefined : key
    // Whoever began it may have sent it.
    if (shared && inFlight.has(shared)) errand.onSent?.()
    return inFlight.join(shared ?? Symbol(), url, signal, (flight) => read(request, errand, flight))
  }

  async function readResponse(request: Described, errand: Errand, flight: Flight): Promise<Take> {
    const { key, url, endpoint } = request
    const response = await exchange(request, errand, flight.signal)
    const { headers } = response
    const isStream = /^text\/event-stream\b/i.test(headers.get('content-type') ?? '')
    const limit = settings.cache.bytes
    const fits = response.ok && !isStream && !(Number(headers.get('content-length')) > limit)
    if (fits && isKept(key, errand.ttl)) {
      const { timeout = DEFAULT_TIMEOUT } = errand
      // One that outgrows the limit after all is handed on as it is.
      const reading = readBody(response.clone(), endpoint, clock, timeout, limit)
      const body = await reading.catch((error) => {
        discard(response)
        throw error
      })
      if (body) {
        discard(response)
        const take = () => rebuild(response, body.length > 0 ? body : null)
        keep(key, url, flight, headers, take, body.length)
        return take
      }
    }
    let left = isStream ? 1 : flight.land()
    return (signal) =>
      left > 0 ? ownResponse(--left > 0 ? response.clone() : response, signal, gate.enter) : undefined
  }

  async function readValue(request: Described, errand: Errand, flight: Flight): Promise<JsonAnswer> {
    const { key, url, endpoint, isSecret } = request
    let sentAt = clock.elapsed()
    const onSent = () => {
      sentAt = clock.elapsed()
      errand.onSent?.()
    }
    const response = await exchange(request, { ...errand, onSent }, flight.signal)
    const { headers, status } = response
    if (status === 304 || status === 204 || status === 205) {
      discard(response)
      return { value: undefined, headers, isEmpty: true, key, at: clock.elapsed(), sentAt }
    }
    if (!response.ok) throw statusError(endpoint, response, clock.now())
    const { value, bytes } = await readJson(response, endpoint, clock, errand.timeout ?? DEFAULT_TIMEOUT)
    const known = key === undefined ? undefined : (cache.get(key)?.value as JsonAnswer | undefined)
    const at = clock.elapsed()
    const shared = shareStructure(known?.value, value)
    const answer: JsonAnswer = { value: shared, headers, key, url, bytes, isSecret, at, sentAt }
    if (key === undefined || !flight.isCurrent() || isOlder(answer, known)) return answer
    if (isKept(key, errand.ttl) && keep(key, url, flight, headers, answer, bytes) && !isSecret && !errand.isTold)
      context.onKept({
        key,
        url,
        value,
        headers: [...headers],
        bytes,
        age: 0,
        sentAgo: at - sentAt,
        toldAt: clock.now(),
      })
    tellFollowers(answer)
    return answer
  }

  /** What was asked before it, and took longer, is older. */
  function isOlder({ sentAt = 0 }: Pick<JsonAnswer, 'sentAt'>, known: JsonAnswer | undefined): boolean {
    return known?.sentAt !== undefined && sentAt < known.sentAt
  }

  function tellFollowers(answer: JsonAnswer): void {
    for (const tell of [...(followers.get(answer.key as string) ?? [])]) tell(answer)
  }

  function keep(key: string, url: string, flight: Flight, headers: Headers, value: unknown, bytes: number): boolean {
    // RFC 9111 section 4.1: an answer that varies by everything fits no other request.
    if (!flight.isCurrent() || headers.get('vary')?.trim() === '*') return false
    cache.set(key, { url, value, bytes, at: clock.now() }, settings.cache)
    return true
  }

  function forget(matches: (url: string) => boolean): void {
    cache.forget(matches)
    inFlight.forget(matches)
  }

  /** One schema and one parsed value give one output, so that equal data keeps its reference here too. */
  async function validate<T>(schema: Schema<T>, value: unknown, endpoint: string): Promise<T> {
    const last = validated.get(schema)
    if (last?.value === value) return last?.output as T
    const output = shareStructure(last?.output, await validateBody(schema, value, endpoint, clock))
    validated.set(schema, { value, output })
    return output
  }

  /** Sends through the gate, and again as often as `retry` allows. */
  async function exchange(request: Described, errand: Errand, signal: AbortSignal): Promise<Response> {
    const { method, url } = request
    const { timeout = DEFAULT_TIMEOUT, priority = 'normal', label = 'client.fetch', retry = 0, channel } = errand
    const endpoint = errand.group ?? request.endpoint
    const retries = IDEMPOTENT.test(method) && isRepeatable(request) ? retry : 0
    for (let attempt = 0; ; attempt++) {
      const isLast = attempt >= retries
      const kind = attempt > 0 ? 'background' : (errand.kind ?? 'foreground')
      const ready = attempt > 0 ? undefined : request.ready
      const passage = { endpoint, kind, label, channel, priority, timeout, signal } as const
      let floor: number | undefined
      try {
        const init = errand.cache ? { ...request.init, cache: errand.cache } : request.init
        const response = await sender.send({ ...request, ...passage, init, onSent: errand.onSent, ready, attempt })
        if (isLast || !isRetryableStatus(response.status)) {
          if (response.ok && UNSAFE.test(method)) {
            forget((cached) => cached === url)
            context.onChanged(url)
          }
          return response
        }
        discard(response)
        floor = retryAfterOf(response.headers, clock.now())
      } catch (error) {
        if (isLast || signal.aborted || !isMillraceError(error) || !error.retryable) throw error
        floor = error.retryAfter
      }
      await gate.wait(backoffDelay(settings.backoff, attempt, clock.random(), floor), `retry ${endpoint}`, signal)
    }
  }

  /** `purpose` keeps apart what is read in different ways. */
  async function describe(purpose: string, input: RequestInfo | URL, given: RequestInit): Promise<Described> {
    const asked = input instanceof Request ? input : undefined
    const target = resolveUrl(asked?.url ?? (input as string | URL), settings.baseUrl)
    target.hash = ''
    const url = target.href
    const { credentials, identity } = settings
    const init = { ...(credentials && !asked && { credentials }), ...given }
    const method = (init.method ?? asked?.method ?? 'GET').toUpperCase()
    const headers = init.headers ?? asked?.headers
    const signal = init.signal ?? asked?.signal
    signal?.throwIfAborted()
    const described = { input: asked ?? url, init, url, method, endpoint: endpointOf(method, target), headers, signal }
    if (!/^(GET|HEAD)$/.test(method) || init.body)
      return { ...described, ready: undefined, key: undefined, isSecret: true }

    const ask = () => sender.headersFor({ url, attempt: 0, headers })
    // A function is waited for in flight, so that an abort and the switch end the wait.
    const isWait = typeof settings.headers === 'function'
    const ready = await (isWait ? inFlight.join(Symbol(), url, signal, ask) : ask())
    const shown = [...ready].filter(([name]) => !TRACING.test(name))
    const mode = Object.entries(MODE).map(([name, usual]) => {
      const part = name as keyof typeof MODE
      return init[part] ?? asked?.[part] ?? usual
    })
    const isSecret = shown.some(([name]) => isSecretHeader(name))
    return { ...described, ready, isSecret, key: JSON.stringify([purpose, method, url, identity, shown, mode]) }
  }
}
