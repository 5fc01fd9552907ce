/** The client, as its users see it. */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { BreakerOptions } from '../network/breaker'
import type { Coordination } from '../network/coordinated-fetch'
import type { Limits } from '../network/limits'
import type { Policy } from '../network/request'
import type { CacheOptions } from '../network/response-cache'
import type { HeaderSource, RequestRecord } from '../network/settings'
import type { Alert } from '../primitives/alerts'
import type { BackoffOptions } from '../primitives/backoff'
import type { Clock, PendingTimer } from '../primitives/clock'
import type { Environment } from '../primitives/environment'
import type { MillraceError } from '../primitives/errors'
import type { Some } from '../primitives/plain'
import type { ChannelState } from '../registry/channel-state'
import type { Channel, StreamEvent } from '../registry/define-channel'
import type { EventsOptions } from '../registry/event-iterator'
import type { SubscriberRecord } from '../registry/registry'
import type { Rollout } from '../registry/registry-context'
import type { Observer, SubscribeOptions, Subscription } from '../registry/subscriber'

/** When to tell of trouble. */
export interface Thresholds {
  /** Failures among the last 100 requests of an endpoint, 0..1. @defaultValue 0.05 */
  errorRate: number
  /** Bytes in the SDK's own caches and queues. @defaultValue 50 MB */
  memory: number
  /** ms that timers come late, three times in a row, in a visible page. @defaultValue 500 */
  lag: number
  /** ms between two alerts of the same code and endpoint. @defaultValue 60_000 */
  alertEvery: number
}

/** Single parts, switched at run time by `configure()`. All are on by default. */
export interface Flags {
  /** Streams; without them channels with a snapshot poll, the others pause. */
  streaming?: boolean | undefined
  /** Sharing sources across tabs. */
  tabs?: boolean | undefined
  /** The response cache. */
  cache?: boolean | undefined
  breaker?: boolean | undefined
  /** The runaway guard and the background budget. */
  guard?: boolean | undefined
  /** `false` makes `client.fetch` the plain one. */
  coordination?: boolean | undefined
}

/** How a client is set up. */
export interface ClientOptions {
  /** What relative URLs are relative to. @defaultValue the document's base */
  baseUrl?: string | URL | undefined
  /** Chooses the defaults. @defaultValue detected */
  environment?: Environment | undefined
  /** Who is signed in: part of every source, cache and tab channel. @defaultValue null */
  identity?: string | null | undefined
  /**
   * Origins that are the client's own beside that of `baseUrl` (else of the page): only they are sent its `headers` and
   * `credentials`, and only their 401 calls `onUnauthorized`. A request to any other goes without, which is told once by
   * an alert `config`; headers of the request itself go wherever it goes. Where there is neither a page nor a `baseUrl`
   * nor this, the first origin that is asked is the client's own.
   * @defaultValue none
   * @throws MillraceError `config` for what is no absolute URL
   *
   * @example
   * ```ts
   * import { createClient } from 'millrace'
   *
   * const client = createClient({ baseUrl: 'https://example.com', origins: ['https://live.example.com'] })
   * ```
   */
  origins?: readonly (string | URL)[] | undefined
  /**
   * Headers for every request to an origin of its own: fixed, or a function that is asked again at every attempt, and
   * waited for 15 s at most.
   */
  headers?: HeaderSource | undefined
  /**
   * Called on 401 from an origin of its own: `true` means refreshed, try once more. One call for all requests that wait
   * for it; 15 s at most.
   */
  onUnauthorized?: ((error: MillraceError) => boolean | Promise<boolean>) | undefined
  credentials?: RequestCredentials | undefined
  /** @defaultValue the platform's, looked up at every call */
  fetch?: typeof fetch | undefined
  /** @defaultValue the platform's */
  clock?: Clock | undefined
  /** ms between polls. @defaultValue 5_000 in development, 10_000 in production, 8_000 in docker, 1_000 in test */
  interval?: number | undefined
  backoff?: Some<BackoffOptions> | undefined
  breaker?: Some<BreakerOptions> | undefined
  limits?: Some<Limits> | undefined
  cache?: Some<CacheOptions> | undefined
  thresholds?: Some<Thresholds> | undefined
  rollout?: Rollout | undefined
  flags?: Flags | undefined
  /** Prints alerts in production too; `verbose` prints every change of status as well. @defaultValue false */
  debug?: boolean | 'verbose' | undefined
}

/** What `client.on` tells of. */
export interface ClientEvents {
  alert: Alert
  status: { key: string; state: ChannelState<unknown> }
  request: RequestRecord
  subscribe: SubscriberRecord
  unsubscribe: SubscriberRecord
  event: { key: string; event: StreamEvent }
  switch: { enabled: boolean; reason?: string }
  /** Somebody signed in or out, here or in another tab: what was shown of the one before is to be forgotten. */
  identity: { identity: string | null | undefined }
  /** What `stats()` says, four times a second while somebody listens, and at the switch. */
  stats: Stats
}

/** Everything that a client knows about itself, at one moment. */
export interface Stats {
  /** ms since the epoch, when the client was made. */
  readonly since: number
  readonly enabled: boolean
  readonly subscriptions: {
    readonly active: number
    readonly total: number
    readonly rejected: number
    readonly averageLifetime: number
  }
  readonly channels: readonly ChannelStats[]
  /** `saved`: the share of what was asked that cost no request. */
  readonly requests: {
    readonly asked: number
    readonly sent: number
    readonly shared: number
    readonly cached: number
    readonly failed: number
    readonly refused: number
    readonly saved: number
  }
  readonly endpoints: readonly EndpointStats[]
  readonly cache: { readonly entries: number; readonly bytes: number }
  readonly timers: readonly PendingTimer[]
  readonly tabs: { readonly shared: boolean; readonly leading: number; readonly following: number }
  /** Bytes in the SDK's own caches and queues, estimated. */
  readonly memory: number
}

export interface ChannelStats {
  readonly key: string
  readonly status: string
  readonly role?: string
  /** The endpoint that feeds it, without a query. */
  readonly source: string
  readonly subscribers: readonly { readonly id: string; readonly label?: string; readonly since: number }[]
  readonly events: number
  readonly perSecond: number
  readonly duplicates: number
  readonly outOfOrder: number
  readonly invalid: number
  readonly ignored: number
  readonly overflowed: number
  readonly reconnects: number
  readonly lastEventId?: string
}

export interface EndpointStats {
  readonly endpoint: string
  readonly lastMinute: number
  readonly budget: number
  readonly inFlight: number
  readonly queued: number
  readonly p50: number
  readonly p95: number
  readonly errorRate: number
  readonly breaker: 'closed' | 'open' | 'half-open'
}

/** A channel as an external store, for frameworks. */
export interface ChannelStore<S> {
  subscribe(onChange: () => void): () => void
  getSnapshot(): ChannelState<S>
  getServerSnapshot(): ChannelState<S>
}

/**
 * Composes everything: one registry, one gate, one clock. Most pages need only the one of {@link getClient}.
 *
 * @example
 * ```ts
 * import { createClient, defineChannel } from 'millrace'
 *
 * const prices = defineChannel<{ last: number }>({ key: 'prices', stream: 'https://example.com/prices' })
 * const client = createClient({ environment: 'production' })
 * const subscription = client.subscribe(prices, { state: ({ status, data }) => console.log(status, data) })
 * subscription.unsubscribe()
 * client.close()
 * ```
 */
export interface Client {
  /**
   * Joins a channel; opens its source if nobody else has. Nothing is told before this returns; then `state` is told
   * once, and again at every change.
   *
   * @throws MillraceError `config` for a key with another target, `rejected` by an `exclusive` subscriber, `closed`
   */
  subscribe<S, E>(
    channel: Channel<S, E>,
    observer: Observer<S, E> | ((event: E) => void),
    options?: SubscribeOptions,
  ): Subscription<S>
  /** A stream, with its URL as the key: what may be secret of it is hashed, as `urlKey` does. */
  subscribe(
    url: string | URL,
    observer: Observer<unknown, StreamEvent> | ((event: StreamEvent) => void),
    options?: SubscribeOptions,
  ): Subscription<unknown>
  /** The channel's events, for `for await`. Subscribes with the first call of `next`. */
  events<S, E>(channel: Channel<S, E>, options?: EventsOptions<E>): AsyncIterableIterator<E>
  /** What is known of a channel now. Never opens anything. */
  getState<S, E>(channel: Channel<S, E>): ChannelState<S>
  /** For `useSyncExternalStore` and its like; changes of data come at most once a frame. */
  store<S, E>(channel: Channel<S, E>, options?: SubscribeOptions): ChannelStore<S>
  /** A drop-in for `fetch`; each caller gets a readable `Response` of its own. Shares what is in flight; caches only where `ttl` is given. */
  fetch(input: RequestInfo | URL, init?: RequestInit, coordination?: Coordination): Promise<Response>
  /**
   * Parsed once for all callers; equal data keeps its reference. Cached for `cache.ttl` unless `ttl` says otherwise.
   * Rejects with `http` or `unauthorized` for an answer that is no success, `invalid-body` for one that is not JSON or does not fit.
   */
  json<T>(
    input: RequestInfo | URL,
    init?: RequestInit,
    coordination?: Coordination & { schema?: StandardSchemaV1<unknown, T> | undefined },
  ): Promise<T>
  /**
   * The snapshot now, shared and within the budget; starts a failed or complete channel again. Resolves when the attempt
   * has ended: how it went is in the state. Rejects only if the client is closed or disabled.
   */
  refresh<S, E>(channel: Channel<S, E>): Promise<void>
  /** A URL, or a channel's key or the beginning of it: forgets cached responses, resyncs channels. */
  invalidate(match: string | URL | readonly unknown[]): void
  /** Who is signed in now. Leaving an identity closes and clears all that was its. */
  setIdentity(identity: string | null): void
  /** Closes every connection and timer of this page before it returns. */
  disable(reason?: string): void
  /** Brings all back, spread out over a second. */
  enable(): void
  readonly enabled: boolean
  /** Who is signed in. `undefined`: it was left in another tab, and nobody has said since who it is now. */
  readonly identity: string | null | undefined
  stats(): Stats
  health(): { status: 'healthy' | 'degraded' | 'unhealthy'; reasons: string[] }
  on<K extends keyof ClientEvents>(type: K, listener: (event: ClientEvents[K]) => void): () => void
  /**
   * From now on `policy` stands around every request that is about to be sent, streams too: outside of the guard, the
   * budget and the breaker, and inside of `headers` and `onUnauthorized`; the first one is the outermost. What is shared
   * with a request in flight or answered from the cache is no request. Returns the end of it.
   *
   * @throws MillraceError `config` for what is no function
   */
  use(policy: Policy): () => void
  /** Final: ends every subscription with `closed`. `stats()` may still be read. */
  close(): void
}
