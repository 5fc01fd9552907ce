/**
 * `fetch` and `json` for many callers: what is in flight is shared, answers are cached where that was asked for, stale
 * ones stand in while the server cannot answer, and everything else goes through the gate.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { backoffDelay } from '../primitives/backoff'
import { isMillraceError, MillraceError } from '../primitives/errors'
import { isRetryableStatus, retryAfterOf, statusError } from '../primitives/http'
import { shareStructure } from '../primitives/structural-sharing'
import { endpointOf, resolveUrl } from '../primitives/url'
import { readBody, readJson, validateBody } from './body'
import { DEFAULT_TIMEOUT, type Gate, type Passage, platformFetch } from './gate'
import { createInFlight } from './in-flight'
import { type CacheEntry, createResponseCache, type ResponseCache } from './response-cache'
import { describeResponse, restoreResponse, type StoredResponse, shareResponse } from './response-copies'
import type { Outgoing, Sender } from './sender'
import type { NetworkContext } from './settings'
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

/** A coordinated request of a source: its own endpoint's background, and the channel that it is for. */
export interface Errand extends Coordination {
  readonly kind?: Passage['kind']
  readonly channel?: string
}

/** A JSON answer, and the head it came with. */
export interface JsonAnswer {
  readonly value: unknown
  readonly headers: Headers
}

interface Described {
  readonly input: string | Request
  readonly init: RequestInit
  readonly url: string
  readonly method: string
  readonly endpoint: string
  /** The request's own headers. */
  readonly headers: Headers
  readonly signal: AbortSignal | undefined
  readonly shareable: boolean
}

interface Landed {
  readonly take: (signal: AbortSignal | undefined) => Response
  /** A stream is for one reader: the others ask for themselves. */
  readonly single: boolean
}

export interface CoordinatedFetch {
  fetch(input: RequestInfo | URL, init?: RequestInit, coordination?: Coordination): Promise<Response>
  json<T>(
    input: RequestInfo | URL,
    init?: RequestInit,
    coordination?: Coordination & { schema?: StandardSchemaV1<unknown, T> },
  ): Promise<T>
  /** Asks now, past what is cached, and caches the answer; equal questions in flight are shared unless `dedupe` is false. */
  ask(url: string, init: RequestInit, errand: Errand): Promise<JsonAnswer>
  /** Forgets what is cached for these URLs. */
  forget(matches: (url: string) => boolean): void
  readonly cache: { readonly entries: number; readonly bytes: number }
}

export function createCoordinatedFetch(context: NetworkContext, gate: Gate, sender: Sender): CoordinatedFetch {
  const { clock, settings, counters } = context
  const responses = createResponseCache<StoredResponse>(context.account)
  const values = createResponseCache<unknown>(context.account)
  const responsesInFlight = createInFlight<Landed>()
  const valuesInFlight = createInFlight<JsonAnswer>()
  /** URL strings as given to `json` -> cache keys, so that a cached answer costs no parsing of URLs. */
  const plainKeys = new Map<string, string>()
  const validated = new WeakMap<StandardSchemaV1, { value: unknown; output: unknown }>()

  return {
    fetch: coordinatedFetch,
    json,
    async ask(url, init, errand) {
      const request = describe(url, init)
      return answerTo(request, await keyOf(request), { ttl: settings.cache.ttl, ...errand })
    },
    forget(matches) {
      responses.forget(matches)
      values.forget(matches)
    },
    get cache() {
      return { entries: responses.entries + values.entries, bytes: responses.bytes + values.bytes }
    },
  }

  async function coordinatedFetch(
    input: RequestInfo | URL,
    init: RequestInit = {},
    coordination: Coordination = {},
  ): Promise<Response> {
    if (!settings.flags.coordination) return (settings.fetch ?? platformFetch)(input, init)
    const request = describe(input, init)
    counters.asked++
    request.signal?.throwIfAborted()
    if (!request.shareable) return sendUnshared(request, coordination)

    const key = await keyOf(request)
    const { ttl = 0 } = coordination
    const reusable = ttl > 0 && settings.flags.cache
    const known = reusable ? responses.get(key, clock.now()) : undefined
    if (known && clock.now() < known.freshUntil) {
      counters.cached++
      return restoreResponse(known.value)
    }
    try {
      const response = await land(request, key, coordination, reusable)
      return known && isRetryableStatus(response.status) ? restoreResponse(served(known)) : response
    } catch (error) {
      if (known && standsIn(error)) return restoreResponse(served(known))
      throw error
    }
  }

  /** Joins the request in flight, or sends it. */
  async function land(request: Described, key: string, coordination: Coordination, store: boolean): Promise<Response> {
    const { signal } = request
    if (coordination.dedupe === false) return sendUnshared(request, coordination)
    const flightKey = store ? `${coordination.ttl} ${key}` : key
    if (responsesInFlight.has(flightKey)) counters.shared++
    let first = false
    const landed = await responsesInFlight.join(flightKey, signal, async (work, land) => {
      first = true
      const response = await exchange(request, coordination, work)
      const single = isEventStream(response)
      if (!store || single || !response.ok) {
        const waiting = land()
        return { single, take: shareResponse(response, single ? 1 : waiting) }
      }
      return { single, take: await keep(response, request, key, coordination, work, land) }
    })
    if (landed.single && !first) return sendUnshared(request, coordination)
    return landed.take(signal)
  }

  /** Reads the answer into the cache; one that is too large for it is handed on as it is. */
  async function keep(
    response: Response,
    { url, endpoint }: Described,
    key: string,
    coordination: Coordination,
    signal: AbortSignal,
    land: () => number,
  ): Promise<Landed['take']> {
    const { timeout = DEFAULT_TIMEOUT } = coordination
    const limit = settings.cache.bytes
    const fits = !(Number(response.headers.get('content-length')) > limit) && response.type !== 'opaque'
    const body = fits ? await readBody(response.clone(), { endpoint, clock, timeout, limit, signal }) : undefined
    if (!body) return shareResponse(response, land())
    void response.body?.cancel()
    const stored = describeResponse(response, body)
    if (isCacheable(response)) remember(responses, key, url, stored, body.byteLength, coordination)
    return () => restoreResponse(stored)
  }

  async function sendUnshared(request: Described, coordination: Coordination): Promise<Response> {
    const controller = new AbortController()
    const forward = () => controller.abort(request.signal?.reason)
    request.signal?.addEventListener('abort', forward)
    try {
      const response = await exchange(request, coordination, controller.signal)
      if (response.ok && UNSAFE.test(request.method)) {
        responses.forget((url) => url === request.url)
        values.forget((url) => url === request.url)
      }
      return shareResponse(response, 1)(request.signal)
    } finally {
      request.signal?.removeEventListener('abort', forward)
    }
  }

  function json<T>(
    input: RequestInfo | URL,
    init?: RequestInit,
    coordination: Coordination & { schema?: StandardSchemaV1<unknown, T> } = {},
  ): Promise<T> {
    const { schema, ttl = settings.cache.ttl } = coordination
    // The shortest way to a fresh answer: no URL is parsed and no header object built.
    if (
      typeof input === 'string' &&
      !init &&
      typeof settings.headers !== 'function' &&
      settings.flags.cache &&
      ttl > 0
    ) {
      const key = plainKeys.get(input)
      const known = key === undefined ? undefined : values.get(key, clock.now())
      if (known && clock.now() < known.freshUntil) {
        counters.asked++
        counters.cached++
        return schema ? validate(schema, known.value, known.url) : Promise.resolve(known.value as T)
      }
    }
    return askForJson(input, init ?? {}, { ...coordination, ttl })
  }

  async function askForJson<T>(
    input: RequestInfo | URL,
    init: RequestInit,
    coordination: Coordination & { ttl: number; schema?: StandardSchemaV1<unknown, T> },
  ): Promise<T> {
    const { schema, ttl } = coordination
    const request = describe(input, init)
    request.signal?.throwIfAborted()
    const key = await keyOf(request)
    if (typeof input === 'string' && Object.keys(init).length === 0) {
      if (plainKeys.size >= settings.cache.entries) plainKeys.clear()
      plainKeys.set(input, key)
    }
    const reusable = ttl > 0 && settings.flags.cache && request.shareable
    const known = request.shareable ? values.get(key, clock.now()) : undefined
    counters.asked++
    if (reusable && known && clock.now() < known.freshUntil) {
      counters.cached++
      return schema ? validate(schema, known.value, known.url) : (known.value as T)
    }
    try {
      const { value } = await answerTo(request, key, coordination)
      return schema ? await validate(schema, value, request.url) : (value as T)
    } catch (error) {
      if (!known || !reusable || !standsIn(error)) throw error
      return schema ? validate(schema, served(known), request.url) : (served(known) as T)
    }
  }

  function answerTo(request: Described, key: string, errand: Errand & { ttl: number }): Promise<JsonAnswer> {
    const { timeout = DEFAULT_TIMEOUT, ttl } = errand
    const read = async (signal: AbortSignal) => {
      const response = await exchange(request, errand, signal)
      const { endpoint, url } = request
      if (!response.ok) {
        void response.body?.cancel()
        throw statusError(endpoint, response, clock.now())
      }
      const { value, bytes } = await readJson(response, { endpoint, clock, timeout, signal })
      if (UNSAFE.test(request.method)) {
        responses.forget((cached) => cached === url)
        values.forget((cached) => cached === url)
      }
      const shared = shareStructure(values.get(key, clock.now())?.value, value)
      if (request.shareable && ttl > 0 && settings.flags.cache && isCacheable(response))
        remember(values, key, url, shared, bytes, errand)
      return { value: shared, headers: response.headers }
    }
    if (!request.shareable || errand.dedupe === false)
      return createInFlight<JsonAnswer>().join('', request.signal, read)
    if (valuesInFlight.has(key)) counters.shared++
    return valuesInFlight.join(key, request.signal, read)
  }

  /** One schema and one parsed value give one output, so that equal data keeps its reference here too. */
  async function validate<T>(schema: StandardSchemaV1<unknown, T>, value: unknown, url: string): Promise<T> {
    const last = validated.get(schema)
    if (last?.value === value) return last?.output as T
    const output = shareStructure(last?.output, await validateBody(schema, value, endpointOf('GET', new URL(url))))
    validated.set(schema, { value, output })
    return output
  }

  /** Sends through the gate, and again as often as `retry` allows. */
  async function exchange(request: Described, errand: Errand, signal: AbortSignal): Promise<Response> {
    const { retry = 0, timeout = DEFAULT_TIMEOUT, priority = 'normal', group, label = 'client.fetch', channel } = errand
    const endpoint = group ?? request.endpoint
    const retries = IDEMPOTENT.test(request.method) ? retry : 0
    for (let attempt = 0; ; attempt++) {
      const kind = attempt === 0 ? (errand.kind ?? 'foreground') : 'background'
      const outgoing: Outgoing = { ...request, endpoint, kind, label, channel, priority, timeout, attempt, signal }
      const outcome = await sender.send(outgoing).catch((error: unknown) => {
        if (attempt >= retries || !isMillraceError(error) || !error.retryable || signal.aborted) throw error
        return error
      })
      let floor: number | undefined
      if (outcome instanceof Response) {
        if (attempt >= retries || !isRetryableStatus(outcome.status)) return outcome
        floor = retryAfterOf(outcome.headers, clock.now())
        void outcome.body?.cancel()
      } else floor = outcome.retryAfter
      await gate.wait(backoffDelay(settings.backoff, attempt, clock.random(), floor), `retry ${endpoint}`, signal)
    }
  }

  function describe(input: RequestInfo | URL, init: RequestInit): Described {
    const request = input instanceof Request ? input : undefined
    const target = resolveUrl(request?.url ?? (input as string | URL), settings.baseUrl)
    target.hash = ''
    const method = (init.method ?? request?.method ?? 'GET').toUpperCase()
    const { signal: _, headers: own, ...rest } = init
    return {
      input: request ?? target.href,
      init: { ...(settings.credentials && !request && { credentials: settings.credentials }), ...rest },
      url: target.href,
      method,
      endpoint: endpointOf(method, target),
      headers: new Headers(own ?? request?.headers),
      signal: init.signal ?? request?.signal ?? undefined,
      shareable: /^(GET|HEAD)$/.test(method) && !init.body,
    }
  }

  /** All that may change an answer: method, URL, identity, mode and every header that is not for tracing. */
  async function keyOf({ method, url, headers, init, input }: Described): Promise<string> {
    const sent = await sender.headersFor(url, 0, headers)
    const shown = [...sent].filter(([name]) => !TRACING.test(name))
    const mode = { ...(input instanceof Request ? input : undefined), ...init }
    const { credentials, cache, redirect, integrity, referrerPolicy } = mode
    const parts = [
      method,
      url,
      settings.identity,
      shown,
      credentials,
      cache,
      redirect,
      integrity,
      mode.mode,
      referrerPolicy,
    ]
    return JSON.stringify(parts)
  }

  function remember<T>(
    cache: ResponseCache<T>,
    key: string,
    url: string,
    value: T,
    bytes: number,
    { ttl = 0, staleIfError = settings.cache.staleIfError }: Coordination,
  ): void {
    const freshUntil = clock.now() + ttl
    cache.set(key, { url, value, bytes, freshUntil, staleUntil: freshUntil + staleIfError }, settings.cache)
  }

  function served<T>({ value }: CacheEntry<T>): T {
    counters.cached++
    return value
  }
}

/** Whether a stale answer may stand in for this failure: refusals and outages, never "no". */
function standsIn(error: unknown): boolean {
  return error instanceof MillraceError && error.retryable
}

function isEventStream(response: Response): boolean {
  return /^text\/event-stream\b/i.test(response.headers.get('content-type') ?? '')
}

/** RFC 9111 section 4.1: an answer that varies by everything fits no other request. */
function isCacheable(response: Response): boolean {
  return response.headers.get('vary')?.trim() !== '*'
}
