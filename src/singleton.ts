/** The page's one client: one, even if the bundle is loaded twice (ESM, CJS and script tag). */
import { type ConfigurableClient, createClient, reconfigure } from './client'
import type { Client, ClientOptions } from './client-api'
import type { Coordination } from './network/coordinated-fetch'
import type { Channel, StreamEvent } from './registry/define-channel'
import type { Observer, SubscribeOptions, Subscription } from './registry/subscriber'

const place = Symbol.for('millrace')
const holder = globalThis as { [place]?: ConfigurableClient }

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
  return configure({})
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
  const known = holder[place]
  if (known && Object.keys(options).length > 0) known[reconfigure](options)
  holder[place] ??= createClient(options) as ConfigurableClient
  return holder[place]
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
  return getClient().subscribe(target as Channel<S, E>, observer, options)
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
  return getClient().fetch(input, init, coordination)
}
