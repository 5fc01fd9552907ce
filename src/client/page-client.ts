/**
 * The page's one client: one, even if the bundle is loaded twice (ESM, CJS and script tag). A function of the page brings
 * what it needs of the client and no more; `getClient` brings the rest, to the same one.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { Coordination } from '../network/coordinated-fetch'
import type { Channel, StreamEvent } from '../registry/define-channel'
import type { EventsOptions } from '../registry/event-iterator'
import type { Observer, SubscribeOptions, Subscription } from '../registry/subscriber'
import type { Client, ClientOptions, Stats } from './api'
import { channels, type Subscribing } from './channels'
import { createContext } from './context'
import { everything } from './create-client'
import { bring, type Carrier, canHave, carrying, type Parts } from './parts'
import { requests } from './requests'
import { type Configurable, checkOptions, reconfiguration, reconfigure } from './settings'
import { statistics } from './stats'

const place = Symbol.for('millrace')
const holder = globalThis as { [place]?: Carrier }

const asking: Parts = { fetch: requests }
const subscribing: Parts = { fetch: requests, subscribe: channels }
const counting: Parts = { stats: statistics }

/** The page's client with these parts. One of another version that cannot have them is left to who has it. */
function pageClient<C = Client>(parts: Parts, options: ClientOptions = {}): C {
  const known = holder[place]
  const client = known && canHave(known, parts) ? known : carrying(createContext(options))
  holder[place] = client
  return bring(client, parts) as C
}

/** For who subscribes and does nothing else with it. */
export const channelClient = (): Subscribing => pageClient<Subscribing>(subscribing)

/**
 * The page's singleton, made with its first use; it lives on `globalThis` under `Symbol.for('millrace')`.
 *
 * @example
 * ```ts
 * import { getClient } from 'millrace'
 *
 * getClient().on('alert', ({ code, message }) => console.warn(code, message))
 * ```
 */
export function getClient(): Client {
  return pageClient(everything)
}

/**
 * Sets the singleton up. Before its first use everything may be chosen; after it only what can change at run time
 * (headers, onUnauthorized, interval, backoff, breaker, limits, cache, thresholds, rollout, flags, debug).
 *
 * @throws MillraceError `config` for an option that cannot change any more, or that is out of range
 *
 * @example
 * ```ts
 * import { configure } from 'millrace'
 *
 * configure({ baseUrl: 'https://example.com', interval: 5_000 })
 * configure({ flags: { streaming: false } })
 * ```
 */
export function configure(options: ClientOptions): Client {
  checkOptions(options)
  if (holder[place] && Object.keys(options).length > 0)
    pageClient<Configurable>({ [reconfigure]: reconfiguration })[reconfigure](options)
  return pageClient(everything, options)
}

/**
 * Subscribes with the page's singleton: see {@link Client.subscribe}.
 *
 * @example
 * ```ts
 * import { subscribe } from 'millrace'
 *
 * const { unsubscribe } = subscribe('/api/prices', (event) => console.log(event.type, event.data))
 * ```
 */
export function subscribe<S, E>(
  channel: Channel<S, E>,
  observer: Observer<S, E> | ((event: E) => void),
  options?: SubscribeOptions,
): Subscription<S>
export function subscribe(
  url: string | URL,
  observer: Observer<unknown, StreamEvent> | ((event: StreamEvent) => void),
  options?: SubscribeOptions,
): Subscription<unknown>
export function subscribe<S, E>(
  target: Channel<S, E> | string | URL,
  observer: Observer<S, E> | ((event: E) => void),
  options?: SubscribeOptions,
): Subscription<S> {
  return channelClient().subscribe(target as Channel<S, E>, observer, options)
}

/**
 * A channel's events, with the page's singleton: see {@link Client.events}.
 *
 * @example
 * ```ts
 * import { defineChannel, events } from 'millrace'
 *
 * const orders = defineChannel({ key: 'orders', stream: '/api/orders' })
 * for await (const { type, data } of events(orders)) console.log(type, data)
 * ```
 */
export function events<S, E>(channel: Channel<S, E>, options?: EventsOptions<E>): AsyncIterableIterator<E> {
  return channelClient().events(channel, options)
}

/**
 * `fetch` with the page's singleton: see {@link Client.fetch}.
 *
 * @example
 * ```ts
 * import { coordinatedFetch } from 'millrace'
 *
 * const response = await coordinatedFetch('/api/users', { method: 'GET' }, { ttl: 5_000 })
 * ```
 */
export function coordinatedFetch(
  input: RequestInfo | URL,
  init?: RequestInit,
  coordination?: Coordination,
): Promise<Response> {
  return pageClient(asking).fetch(input, init, coordination)
}

/**
 * Parsed JSON, with the page's singleton: see {@link Client.json}.
 *
 * @example
 * ```ts
 * import { json } from 'millrace'
 *
 * const users = await json<{ id: string }[]>('/api/users')
 * ```
 */
export function json<T>(
  input: RequestInfo | URL,
  init?: RequestInit,
  coordination?: Coordination & { schema?: StandardSchemaV1<unknown, T> | undefined },
): Promise<T> {
  return pageClient(asking).json(input, init, coordination)
}

/**
 * What the page's singleton knows about itself: see {@link Client.stats}.
 *
 * @example
 * ```ts
 * import { stats } from 'millrace'
 *
 * const { requests } = stats()
 * console.log(`${Math.round(requests.saved * 100)} % of ${requests.asked} requests saved`)
 * ```
 */
export function stats(): Stats {
  return pageClient(counting).stats()
}
