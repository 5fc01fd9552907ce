import { platformFetch } from './network/send'
import { type BackoffOptions, defaultBackoff } from './primitives/backoff'
import { ask } from './primitives/callback'
import { check, withDefaults } from './primitives/check'
import { timers } from './primitives/clock'
import { configError, type MillraceError } from './primitives/errors'
import { unsendable } from './primitives/http'
import { backoffOptions, eventSourceOptions, requestOptions } from './primitives/options'
import { type PageSignal, watchPage } from './primitives/page-signals'
import type { Some } from './primitives/plain'
import { EventTargetIfAny } from './primitives/platform'
import { endpointOf, pageUrl } from './primitives/url'
import { createEventStream, type EventStream, type Reconnect, reconnectOf } from './stream/event-stream'
import { streamHeaders } from './stream/stream-http'

/** What a {@link ReconnectingEventSource} can be given besides its URL. */
export interface ReconnectingEventSourceInit {
  /** Send cookies across origins too. @defaultValue false */
  withCredentials?: boolean | undefined
  /** @defaultValue 'GET' */
  method?: string | undefined
  /** Fixed headers, or a function that is asked again at every attempt (for tokens that expire), and has 15 s to answer. */
  headers?: HeadersInit | (() => HeadersInit | Promise<HeadersInit>) | undefined
  /** The request's body, or a function that is asked again at every attempt. */
  body?: string | (() => BodyInit | Promise<BodyInit>) | undefined
  /** @defaultValue the platform's `fetch` */
  fetch?: typeof fetch | undefined
  /** @defaultValue base 1 s, factor 2, cap 30 s, full jitter, anew after a connection that has lived for 5 s */
  backoff?: Some<BackoffOptions> | undefined
  /** ms without an answer or a byte before a connection counts as dead. @defaultValue false: never */
  idleTimeout?: number | false | undefined
  /** ms that an answer's head is waited for, before it counts as a failure. @defaultValue none: as long as it takes */
  connectTimeout?: number | undefined
  /**
   * Whether a stream that broke off is asked again: `resume` only from an id that the server has named, `never` not at all;
   * else it closes, with an `error` event that says `interrupted`. @defaultValue `always` for `GET`, `resume` for other methods
   */
  reconnect?: Reconnect | undefined
  /** The id to resume from with the first request. @defaultValue '' */
  lastEventId?: string | undefined
  /** The largest event that is accepted, in characters of its data. @defaultValue 1 MiB */
  maxEventBytes?: number | undefined
  /** Closes the source when it aborts. */
  signal?: AbortSignal | undefined
}

/** The source's own `error` event: `error` says why, `retryAt` (ms since the epoch) when the next attempt is, if there is one. */
export interface ReconnectingEventSourceErrorEvent extends Event {
  readonly error: MillraceError
  readonly retryAt: number | undefined
  readonly data?: undefined
  readonly lastEventId?: undefined
}

/** An event of the server's that has the name of one of the source's own: it carries data. */
export interface ReconnectingEventSourceServerEvent extends MessageEvent<string> {
  readonly error?: undefined
  readonly retryAt?: undefined
}

/**
 * The events of a {@link ReconnectingEventSource} that it names itself. A server may name one of its own `open` or `error`
 * too, and it is heard there, as by the browser's `EventSource`: an `error` with `data`, and without `error`, is such a one.
 */
export interface ReconnectingEventSourceEventMap {
  open: Event
  message: MessageEvent<string>
  error: ReconnectingEventSourceErrorEvent | ReconnectingEventSourceServerEvent
}

type Handler<E> = ((event: E) => void) | null
type Attribute = keyof ReconnectingEventSourceEventMap

/**
 * A drop-in for the browser's `EventSource` (WHATWG HTML 9.2) that survives bad servers and works alone, in browsers,
 * workers and Node: full-jitter backoff that begins anew only after a while of life, `Retry-After`, an optional watchdog for
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
 * source.onerror = ({ error, retryAt, data }) => console.warn(error?.message ?? data, retryAt)
 * ```
 */
// biome-ignore lint/suspicious/noUnsafeDeclarationMerging: the interface below types methods that EventTarget has
export class ReconnectingEventSource extends EventTargetIfAny {
  static readonly CONNECTING = 0
  static readonly OPEN = 1
  static readonly CLOSED = 2
  readonly CONNECTING = 0
  readonly OPEN = 1
  readonly CLOSED = 2
  /** The URL that was asked for, resolved. */
  readonly url: string
  readonly withCredentials: boolean
  #stream: EventStream

  /** @throws DOMException `SyntaxError` if the URL cannot be resolved, as the browser's does */
  constructor(url: string | URL, init: ReconnectingEventSourceInit = {}) {
    super()
    if (!('dispatchEvent' in this)) throw configError('a platform with `EventTarget`', 'one without')
    const target = resolve(url)
    const { method = 'GET', idleTimeout, connectTimeout, maxEventBytes = 2 ** 20, signal: closing } = init
    check(requestOptions, init)
    check(eventSourceOptions, init)
    check(backoffOptions, init.backoff, 'backoff.')
    const endpoint = endpointOf(method, target)
    let { origin } = target
    this.url = target.href
    this.withCredentials = !!init.withCredentials
    this.#defineHandlers()

    const stream = createEventStream({
      clock: timers,
      backoff: withDefaults(defaultBackoff, init.backoff),
      lastEventId: init.lastEventId,
      endpoint: () => endpoint,
      maxEventBytes: () => maxEventBytes,
      idleTimeout: () => idleTimeout,
      connectTimeout: () => connectTimeout,
      reconnect: () => init.reconnect ?? reconnectOf(method.toUpperCase()),
      connect: async (signal, lastEventId, _failures, sent) => {
        const headers = streamHeaders(await ask('headers', init.headers, timers, endpoint), lastEventId)
        const body = (await ask('body', init.body, timers, endpoint)) ?? null
        if (signal.aborted) throw signal.reason
        sent()
        const request: RequestInit = {
          method,
          headers,
          body,
          signal,
          cache: 'no-store',
          credentials: this.withCredentials ? 'include' : 'same-origin',
        }
        const response = await (init.fetch ?? platformFetch)(target.href, request).catch((cause) => {
          throw unsendable(endpoint, target.href, request) ?? cause
        })
        // A `fetch` of one's own may answer with a response that has no URL.
        if (!signal.aborted) origin = new URL(response.url || target, target).origin
        return response
      },
      onMessages: (messages) => {
        for (const { event, data, lastEventId } of messages) {
          // A listener may have closed it.
          if (stream.state().name === 'idle') return
          emit(new MessageEvent(event || 'message', { data, lastEventId, origin }))
        }
      },
      onChange: (state) => {
        if (state.name === 'open') emit(new Event('open'))
        else if (state.name === 'waiting') emitError(state.error, state.retryAt)
        else if (state.name === 'failed' || state.name === 'complete') {
          close()
          emitError(state.error)
        } else if (state.name === 'idle') {
          stopWatching()
          closing?.removeEventListener('abort', close)
        }
      },
    })
    this.#stream = stream
    const close = () => stream.send('stop')
    const emit = (event: Event) => void this.dispatchEvent(event)
    const emitError = (error: MillraceError | undefined, retryAt?: number) =>
      emit(Object.assign(new Event('error'), { error, retryAt }))
    if (closing?.aborted) return

    closing?.addEventListener('abort', close)
    const stopWatching = watchPage((signal) => {
      const command = COMMANDS[signal]
      if (command) stream.send(command)
    })
    stream.send('start')
  }

  /** `CONNECTING` (0) also while it waits to reconnect, `OPEN` (1), `CLOSED` (2). */
  get readyState(): 0 | 1 | 2 {
    const { name } = this.#stream.state()
    return name === 'idle' ? 2 : name === 'open' ? 1 : 0
  }

  /** Closes for good: no event is dispatched after it, not even the rest of a chunk. */
  close(): void {
    this.#stream.send('stop')
  }

  /** A handler keeps its place among the listeners when it is replaced, and gives it up with null (WHATWG HTML 8.1.8.1). */
  #defineHandlers(): void {
    for (const type of ['open', 'message', 'error']) {
      let handler: Handler<Event> = null
      const listener = (event: Event) => handler?.call(this, event)
      Object.defineProperty(this, `on${type}`, {
        get: () => handler,
        set: (given: unknown) => {
          handler = typeof given === 'function' ? (given as Handler<Event>) : null
          super[handler ? 'addEventListener' : 'removeEventListener'](type, listener)
        },
      })
    }
  }
}

/** `open`, `message` and `error` with their types; any other name is an event that the server names. */
export interface ReconnectingEventSource {
  onopen: Handler<Event>
  onmessage: Handler<MessageEvent<string>>
  onerror: Handler<ReconnectingEventSourceEventMap['error']>
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

/** What the page's life means for a connection: what a freeze has cut never moves again. */
const COMMANDS: { readonly [signal in PageSignal]?: 'pause' | 'resume' | 'due' } = {
  freeze: 'pause',
  resume: 'resume',
  online: 'due',
}

function resolve(url: string | URL): URL {
  try {
    return new URL(url, pageUrl())
  } catch {
    throw new DOMException('Expected an absolute URL, or a relative one in a page.', 'SyntaxError')
  }
}
