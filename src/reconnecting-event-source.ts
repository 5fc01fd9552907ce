import { platformFetch } from './network/gate'
import { type BackoffOptions, defaultBackoff } from './primitives/backoff'
import { checkNumbers } from './primitives/check-numbers'
import { systemClock } from './primitives/clock'
import { MillraceError } from './primitives/errors'
import { watchPage } from './primitives/page-signals'
import { endpointOf, resolveUrl } from './primitives/url'
import { createEventStream } from './stream/event-stream'
import { encodeLastEventId, type Message } from './stream/messages'

/** What a {@link ReconnectingEventSource} can be given besides its URL. */
export interface ReconnectingEventSourceInit {
  /** Send cookies across origins too. @defaultValue false */
  withCredentials?: boolean
  /** @defaultValue 'GET' */
  method?: string
  /** Fixed headers, or a function that is asked again at every attempt (for tokens that expire). */
  headers?: HeadersInit | (() => HeadersInit | Promise<HeadersInit>)
  /** The request's body, or a function that is asked again at every attempt. */
  body?: string | (() => BodyInit | Promise<BodyInit>)
  /** @defaultValue the platform's `fetch` */
  fetch?: typeof fetch
  /** @defaultValue base 1 s, factor 2, cap 30 s, full jitter, reset after 5 s of life */
  backoff?: Partial<BackoffOptions>
  /** ms without an answer or a byte before a connection counts as dead. @defaultValue false: never */
  idleTimeout?: number | false
  /** The id to resume from with the first request. @defaultValue '' */
  lastEventId?: string
  /** The largest event that is accepted, in characters of its data. @defaultValue 1 MiB */
  maxEventBytes?: number
  /** Closes the source when it aborts. */
  signal?: AbortSignal
}

/** The `error` event: `error` says why, `retryAt` (ms since the epoch) when the next attempt is, if there is one. */
export interface ReconnectingEventSourceErrorEvent extends Event {
  readonly error: MillraceError
  readonly retryAt?: number
}

/** The events of a {@link ReconnectingEventSource} that are not named by the server. */
export interface ReconnectingEventSourceEventMap {
  open: Event
  message: MessageEvent<string>
  error: ReconnectingEventSourceErrorEvent
}

type Handler<E> = ((event: E) => void) | null
type Attribute = keyof ReconnectingEventSourceEventMap

const CONNECTING = 0
const OPEN = 1
const CLOSED = 2

/**
 * A drop-in for the browser's `EventSource` (WHATWG HTML 9.2) that survives bad servers and works alone, in browsers,
 * workers and Node: full-jitter backoff that resets only after a while of life, `Retry-After`, an optional watchdog for
 * silence, methods, headers and bodies, and errors that say what happened.
 *
 * A final answer (204, most 4xx, another content type) closes it, as in browsers, with an `error` event whose
 * `readyState` is `CLOSED`; after any other failure it reconnects by itself, resuming with `Last-Event-ID`.
 *
 * @example
 * ```ts
 * import { ReconnectingEventSource } from 'millrace'
 *
 * const source = new ReconnectingEventSource('https://example.com/prices', { headers: { authorization: 'Bearer …' } })
 * source.addEventListener('price', (event) => console.log(event.lastEventId, JSON.parse(event.data)))
 * source.onerror = ({ error, retryAt }) => console.warn(error.message, retryAt)
 * ```
 */
// biome-ignore lint/suspicious/noUnsafeDeclarationMerging: the interface below types methods that EventTarget has
export class ReconnectingEventSource extends EventTarget {
  static readonly CONNECTING: 0 = CONNECTING
  static readonly OPEN: 1 = OPEN
  static readonly CLOSED: 2 = CLOSED
  readonly CONNECTING: 0 = CONNECTING
  readonly OPEN: 1 = OPEN
  readonly CLOSED: 2 = CLOSED
  /** The URL that was asked for, resolved. */
  readonly url: string
  readonly withCredentials: boolean
  #readyState: 0 | 1 | 2 = CONNECTING
  #handlers: { [K in Attribute]?: Handler<Event> } = {}
  #close: () => void

  /** @throws DOMException `SyntaxError` if the URL cannot be resolved, as the browser's does */
  constructor(url: string | URL, init: ReconnectingEventSourceInit = {}) {
    super()
    const target = resolve(url)
    const { method = 'GET', idleTimeout, maxEventBytes = 2 ** 20, signal } = init
    const { jitter, ...backoff } = init.backoff ?? {}
    checkNumbers('backoff.', backoff)
    checkNumbers('', { maxEventBytes, idleTimeout: idleTimeout || undefined })
    const endpoint = endpointOf(method, target)
    let origin = target.origin
    this.url = target.href
    this.withCredentials = init.withCredentials ?? false

    const stream = createEventStream({
      clock: systemClock,
      backoff: { ...defaultBackoff, ...init.backoff },
      maxEventBytes,
      lastEventId: init.lastEventId ?? '',
      endpoint: () => endpoint,
      idle: () => (idleTimeout ? { after: idleTimeout, from: 'request' } : undefined),
      connect: async ({ lastEventId, signal }) => {
        const given = typeof init.headers === 'function' ? await init.headers() : init.headers
        const body = typeof init.body === 'function' ? await init.body() : init.body
        const headers = new Headers(given)
        headers.set('accept', 'text/event-stream')
        const id = encodeLastEventId(lastEventId)
        if (id) headers.set('last-event-id', id)
        return (init.fetch ?? platformFetch)(target.href, {
          method,
          headers,
          signal,
          cache: 'no-store',
          credentials: this.withCredentials ? 'include' : 'same-origin',
          ...(body !== undefined && { body }),
        })
      },
      onOpen: (response) => {
        origin = response.url ? new URL(response.url).origin : target.origin
      },
      onMessages: (messages) => {
        for (const message of messages) {
          if (this.#readyState === CLOSED) return
          this.dispatchEvent(messageEvent(message, origin))
        }
      },
      onChange: (state) => {
        if (this.#readyState === CLOSED) return
        if (state.name === 'open') {
          this.#readyState = OPEN
          this.dispatchEvent(new Event('open'))
        } else if (state.name === 'waiting') {
          this.#readyState = CONNECTING
          this.dispatchEvent(errorEvent(state.error, state.retryAt))
        } else if (state.name === 'failed' || state.name === 'complete') {
          this.close()
          this.dispatchEvent(errorEvent(state.name === 'failed' ? state.error : ended(endpoint)))
        } else this.#readyState = CONNECTING
      },
    })

    const stopWatching = watchPage((sign) => {
      if (sign === 'freeze') stream.send({ type: 'pause' })
      else if (sign === 'resume') stream.send({ type: 'resume' })
      else if (sign === 'online') stream.send({ type: 'due' })
    })
    const close = () => this.close()
    this.#close = () => {
      stopWatching()
      signal?.removeEventListener('abort', close)
      stream.send({ type: 'stop' })
    }
    signal?.addEventListener('abort', close)
    if (signal?.aborted) close()
    else stream.send({ type: 'start' })
  }

  /** `CONNECTING` (0) also while it waits to reconnect, `OPEN` (1), `CLOSED` (2). */
  get readyState(): 0 | 1 | 2 {
    return this.#readyState
  }

  get onopen(): Handler<Event> {
    return this.#handlers.open ?? null
  }
  set onopen(handler: Handler<Event>) {
    this.#setHandler('open', handler)
  }
  get onmessage(): Handler<MessageEvent<string>> {
    return this.#handlers.message ?? null
  }
  set onmessage(handler: Handler<MessageEvent<string>>) {
    this.#setHandler('message', handler as Handler<Event>)
  }
  get onerror(): Handler<ReconnectingEventSourceErrorEvent> {
    return this.#handlers.error ?? null
  }
  set onerror(handler: Handler<ReconnectingEventSourceErrorEvent>) {
    this.#setHandler('error', handler as Handler<Event>)
  }

  /** Closes for good: no event is dispatched after it, not even the rest of a chunk. */
  close(): void {
    if (this.#readyState === CLOSED) return
    this.#readyState = CLOSED
    this.#close()
  }

  /** A handler attribute keeps the place in the order that it took when it was first set (WHATWG HTML 8.1.8.1). */
  #setHandler(type: Attribute, handler: Handler<Event>): void {
    if (!(type in this.#handlers)) super.addEventListener(type, (event) => this.#handlers[type]?.call(this, event))
    this.#handlers[type] = typeof handler === 'function' ? handler : null
  }
}

/** `open`, `message` and `error` with their types; any other name is an event that the server names. */
// biome-ignore lint/suspicious/noUnsafeDeclarationMerging: as above
export interface ReconnectingEventSource {
  addEventListener<K extends Attribute>(
    type: K,
    listener: (event: ReconnectingEventSourceEventMap[K]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void
  addEventListener(
    type: string,
    listener: (event: MessageEvent<string>) => void,
    options?: boolean | AddEventListenerOptions,
  ): void
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void
  removeEventListener<K extends Attribute>(
    type: K,
    listener: (event: ReconnectingEventSourceEventMap[K]) => void,
    options?: boolean | EventListenerOptions,
  ): void
  removeEventListener(
    type: string,
    listener: (event: MessageEvent<string>) => void,
    options?: boolean | EventListenerOptions,
  ): void
  removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | EventListenerOptions,
  ): void
}

function resolve(url: string | URL): URL {
  try {
    return resolveUrl(url)
  } catch {
    throw new DOMException('Expected an absolute URL, or a relative one in a page.', 'SyntaxError')
  }
}

function messageEvent({ event, data, lastEventId }: Message, origin: string): MessageEvent<string> {
  return new MessageEvent(event || 'message', { data, lastEventId, origin })
}

function errorEvent(error: MillraceError, retryAt?: number): Event {
  return Object.assign(new Event('error'), { error }, retryAt !== undefined && { retryAt })
}

function ended(endpoint: string): MillraceError {
  const message = `${endpoint} answered 204: the server has ended the stream for good. Not reconnecting.`
  return new MillraceError('http', message, { status: 204, endpoint })
}
