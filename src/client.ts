import type { ChannelStore, Client, ClientEvents, ClientOptions, Stats } from './client-api'
import { type ClientSettings, checkRunTime, settingsOf } from './client-settings'
import { type CoordinatedFetch, createCoordinatedFetch } from './network/coordinated-fetch'
import { createGate } from './network/gate'
import { createSender } from './network/sender'
import type { NetworkContext, RequestCounters } from './network/settings'
import { type Alert, createAlerts } from './primitives/alerts'
import { check, shown } from './primitives/check'
import { systemClock, trackTimers } from './primitives/clock'
import { createEmitter } from './primitives/emitter'
import { configError, MillraceError } from './primitives/errors'
import { hashKey } from './primitives/hash-key'
import { watchCpu, watchLag } from './primitives/pressure'
import { resolveUrl, urlKey } from './primitives/url'
import type { ChannelState } from './registry/channel-state'
import { type Channel, type ChannelDefinition, defineChannel, type StreamEvent } from './registry/define-channel'
import { createEventIterator, type EventsOptions } from './registry/event-iterator'
import { createRegistry } from './registry/registry'
import type { Observer, SubscribeOptions, Subscription } from './registry/subscriber'
import { createConditions } from './sources/conditions'
import type { SourceContext } from './sources/source-context'
import { createSources } from './sources/sources'
import { createStreamSlots, type StreamSlots } from './sources/stream-slots'
import { createTabs } from './sources/tabs/arrival'
import type { TabControl } from './sources/tabs/control'
import { browserTabs, type TabPlatform } from './sources/tabs/platform'
import { isUrl } from './sources/target'
import { channelStats, endpointStats, healthOf } from './stats'

/** Changes run-time options of a client; registered, so that another copy of the bundle finds it. */
export const reconfigure: unique symbol = Symbol.for('millrace.reconfigure') as never

/** Tells of another description of a channel that is open already. */
export const renew: unique symbol = Symbol.for('millrace.renew') as never

export interface ConfigurableClient extends Client {
  [reconfigure](options: ClientOptions): void
  [renew](before: Channel<unknown, unknown>, now: Channel<unknown, unknown>): void
}

/**
 * A client of its own: its registry, gate, cache and clock are shared with nobody. A page usually wants the one that
 * {@link getClient} gives to everybody.
 *
 * @throws MillraceError `config` if an option is out of range
 *
 * @example
 * ```ts
 * import { createClient } from 'millrace'
 *
 * const client = createClient({ baseUrl: 'https://example.com', headers: () => ({ authorization: 'Bearer …' }) })
 * const users = await client.json<{ id: string }[]>('/api/users')
 * ```
 */
export function createClient(options: ClientOptions = {}): Client {
  return composeClient(options, browserTabs())
}

/** The same with other tabs than the browser's, for tests. */
export function composeClient(options: ClientOptions, platform: TabPlatform | undefined): Client {
  let given = options
  const settings: ClientSettings = settingsOf(options)
  const lag = watchLag(
    () => settings.thresholds.lag,
    (ms) => underPressure(`Timers come ${Math.round(ms)} ms late`, ms),
  )
  const clock = trackTimers(options.clock ?? systemClock, (lateBy) => lag.onTimer(lateBy, clock.elapsed()))
  const since = clock.now()
  const counters: RequestCounters = { asked: 0, sent: 0, shared: 0, cached: 0, failed: 0, refused: 0 }
  const emitter = createEmitter<ClientEvents>()
  const printed = new Set<string>()
  const alert = createAlerts(clock, () => settings.thresholds.alertEvery, tellAlert)
  let memory = 0
  const tabs = platform && createTabs(platform, clock, alert)
  let control: TabControl | undefined
  let tabSlots: StreamSlots | undefined
  let closed: MillraceError | undefined
  let stopCpu: (() => void) | undefined
  let stopStats: (() => void) | undefined

  const network: NetworkContext = {
    clock,
    settings,
    counters,
    alert,
    onRequest: (record) => emitter.emit('request', () => record),
    account,
    onKept: (answer) => withTabs((others) => others.answered(answer)),
    onChanged: (url) => withTabs((others) => others.changed(url)),
    onRefused: (endpoint, ms, who) => withTabs((others) => others.refused(endpoint, ms, who)),
  }
  const gate = createGate(network)
  const sender = createSender(gate, network)
  const requests: CoordinatedFetch = createCoordinatedFetch(network, gate, sender)
  const conditions = createConditions()
  const pageSlots = createStreamSlots()
  const source: SourceContext = {
    ...network,
    settings,
    gate,
    sender,
    requests,
    conditions,
    slots: { take: (...asked) => slotsNow().take(...asked) },
  }
  const sources = createSources(source, tabs)
  const registry = createRegistry(source, sources, {
    settings,
    onStatus(key, state) {
      if (settings.debug === 'verbose') console.debug(`[millrace] ${key}: ${state.status}`, state.error?.message ?? '')
      emitter.emit('status', () => ({ key, state }))
    },
    onEvent(key, event) {
      // Once per event: no closure for nobody.
      if (emitter.has('event')) emitter.emit('event', () => ({ key, event }))
    },
    onSubscribe(record) {
      withTabs((others) => others.open())
      stopCpu ??= watchCpu(() => lag.isLate() && underPressure('The CPU is under critical pressure', 1))
      emitter.emit('subscribe', () => record)
    },
    onUnsubscribe(record) {
      if (registry.totals.active === 0) {
        stopCpu?.()
        stopCpu = undefined
      }
      emitter.emit('unsubscribe', () => record)
    },
  })

  if (settings.flags.tabs) tabs?.parts()

  const client: ConfigurableClient = {
    subscribe,
    events,
    getState: (channel) => registry.getState(channel),
    store,
    fetch: async (input, init, coordination) => {
      throwIfClosed()
      return requests.fetch(input, init, coordination)
    },
    json(input, init, coordination) {
      return closed ? Promise.reject(closed) : requests.json(input, init, coordination)
    },
    async refresh(channel) {
      throwIfClosed()
      if (!conditions.enabled) throw disabledError()
      return registry.refresh(channel)
    },
    invalidate,
    setIdentity,
    disable,
    enable,
    get enabled() {
      return conditions.enabled
    },
    get identity() {
      return conditions.isIdentified ? settings.identity : undefined
    },
    stats,
    health: () =>
      healthOf(
        registry.channels(),
        gate.endpoints(),
        conditions.enabled,
        settings.thresholds.errorRate,
        clock.elapsed(),
      ),
    on,
    close,
    [renew]: registry.renew,
    [reconfigure](changes) {
      checkRunTime(changes)
      given = { ...given, ...changes, flags: { ...given.flags, ...changes.flags } }
      Object.assign(settings, settingsOf({ ...given, identity: settings.identity, environment: settings.environment }))
      registry.reconsider()
      conditions.refresh()
    },
  }
  return client

  /** Says it to the other tabs, once what that takes is here. */
  function withTabs(say: (others: TabControl) => void): void {
    tabs?.whenHere(({ createTabControl }) => {
      if (closed) return
      control ??= createTabControl(tabs.platform, {
        identity: () => settings.identity,
        onLeft() {
          conditions.identify(false)
          leaveIdentity()
          tellIdentity()
        },
        onInvalidate: invalidateHere,
        onAnswer: requests.learn,
        onChanged: (url) => requests.forget((cached) => cached === url),
        onRefused: gate.refuse,
        alert,
      })
      say(control)
    })
  }

  function slotsNow(): StreamSlots {
    const parts = tabs?.parts()
    if (tabs && parts) tabSlots ??= parts.createTabSlots(tabs.platform, pageSlots)
    return tabSlots ?? pageSlots
  }

  function throwIfClosed(): void {
    if (closed) throw closed
  }

  function subscribe<S, E>(
    target: Channel<S, E> | string | URL,
    observer: Observer<S, E> | ((event: E) => void),
    options: SubscribeOptions = noOptions,
  ): Subscription<S> {
    throwIfClosed()
    const full: Observer<S, E> = typeof observer === 'function' ? { next: observer } : observer
    if (typeof full !== 'object' || full === null)
      throw configError('an observer, or a function for events', shown(observer))
    check('', full)
    if (options !== noOptions) check('', options)
    return registry.subscribe(toChannel<S, E>(target), full, options, false)
  }

  function toChannel<S, E>(target: Channel<S, E> | string | URL): Channel<S, E> {
    if (!isUrl(target)) return target as Channel<S, E>
    return defineChannel<S, StreamEvent>({ key: urlKey(target), stream: target }) as unknown as Channel<S, E>
  }

  function events<S, E>(channel: Channel<S, E>, eventsOptions: EventsOptions<E> = {}): AsyncIterableIterator<E> {
    const count = () => {
      for (const { key, data } of registry.channels()) if (key === channel.key) data.counts.overflowed++
      alert({
        code: 'overflow',
        message: `${channel.key}: a loop takes events too slowly for its buffer.`,
        channel: channel.key,
      })
    }
    return createEventIterator(
      channel.key,
      eventsOptions,
      (observer) => subscribe(channel, observer).unsubscribe,
      count,
      (cause) => registry.threw('overflow', channel.key, cause),
    )
  }

  function store<S, E>(channel: Channel<S, E>, storeOptions: SubscribeOptions = {}): ChannelStore<S> {
    return {
      subscribe: (onChange) => {
        throwIfClosed()
        check('', storeOptions)
        return registry.subscribe(channel, { state: onChange }, { delivery: 'frame', ...storeOptions }, true)
          .unsubscribe
      },
      getSnapshot: () => registry.getState(channel),
      getServerSnapshot: (): ChannelState<S> => registry.initialState(channel),
    }
  }

  function invalidate(match: string | URL | readonly unknown[]): void {
    if (closed) return
    withTabs((others) => others.invalidate(Array.isArray(match) ? match : String(match)))
    invalidateHere(match)
  }

  function invalidateHere(match: string | URL | readonly unknown[]): void {
    if (Array.isArray(match)) {
      const parts = match.map((part) => hashKey([part]))
      const begins = (key: readonly unknown[]) =>
        parts.every((part, index) => index < key.length && part === hashKey([key[index]]))
      return registry.invalidate(({ key }) => Array.isArray(key) && begins(key))
    }
    const url = match as string | URL
    const href = urlOf(url)
    const names = [url, urlKey(url)]
    if (href !== undefined) requests.forget((cached) => cached === href)
    registry.invalidate(({ key, snapshot }: ChannelDefinition) => {
      if (names.includes(key as string) || (Array.isArray(key) && key[0] === url)) return true
      const asked = typeof snapshot === 'object' && !isUrl(snapshot) ? snapshot.url : snapshot
      return typeof asked !== 'function' && asked !== undefined && urlOf(asked) === href
    })
  }

  function urlOf(url: string | URL): string | undefined {
    try {
      return resolveUrl(url, settings.baseUrl).href
    } catch {
      return undefined
    }
  }

  function on<K extends keyof ClientEvents>(type: K, listener: (event: ClientEvents[K]) => void): () => void {
    const off = emitter.on(type, listener)
    if (!stopStats) tellStats(false)
    return () => {
      off()
      if (emitter.has('stats')) return
      stopStats?.()
      stopStats = undefined
    }
  }

  /** Goes on while somebody listens: rates sink without an event, too. */
  function tellStats(now: boolean): void {
    if (now) emitter.emit('stats', stats)
    stopStats?.()
    stopStats =
      emitter.has('stats') && conditions.enabled ? clock.after(250, () => tellStats(true), 'stats', true) : undefined
  }

  function setIdentity(identity: string | null): void {
    if (identity === undefined) throw configError('`identity` to be a string or null', 'undefined')
    throwIfClosed()
    check('', { identity })
    const before = settings.identity
    const isOther = identity !== before
    // What was asked while it was not known may be somebody else's.
    const isNews = isOther || !conditions.isIdentified
    conditions.identify(true)
    if (isOther && before !== null) withTabs((others) => others.left(before))
    Object.assign(settings, { identity })
    if (isNews) leaveIdentity()
    // Who has signed in again has new credentials, under the same name too.
    else
      for (const channel of registry.channels())
        if (channel.state().error?.code === 'unauthorized') void channel.refresh()
    tellIdentity()
  }

  function tellIdentity(): void {
    emitter.emit('identity', () => ({ identity: client.identity }))
  }

  /** Closes and clears all that was the identity's. */
  function leaveIdentity(): void {
    requests.forget(() => true)
    gate.abortAll(
      new MillraceError('aborted', 'The identity has changed: what was asked for the one before is dropped.'),
    )
    registry.reset()
  }

  function disable(reason?: string): void {
    if (closed || !conditions.enabled) return
    conditions.disable()
    gate.shut(disabledError())
    registry.quiet()
    clock.clear()
    emitter.emit('switch', () => (reason === undefined ? { enabled: false } : { enabled: false, reason }))
    tellStats(true)
  }

  function enable(): void {
    if (closed || conditions.enabled) return
    gate.open()
    conditions.enable()
    emitter.emit('switch', () => ({ enabled: true }))
    tellStats(true)
  }

  function disabledError(): MillraceError {
    return new MillraceError('disabled', 'The client is switched off: call `enable()` to go on.', { retryable: true })
  }

  function close(): void {
    if (closed) return
    closed = new MillraceError('closed', 'The client was closed. Make a new one with `createClient`.')
    registry.close(closed)
    gate.shut(closed)
    requests.forget(() => true)
    stopCpu?.()
    control?.close()
    clock.clear()
    emitter.clear()
  }

  function stats(): Stats {
    const elapsed = clock.elapsed()
    const { asked, shared, cached } = counters
    return {
      since,
      enabled: conditions.enabled,
      subscriptions: registry.totals,
      channels: [...registry.channels()].map((channel) => channelStats(channel, elapsed)),
      requests: { ...counters, saved: asked === 0 ? 0 : (shared + cached) / asked },
      endpoints: [...gate.endpoints()].map((endpoint) => endpointStats(gate, endpoint, elapsed)),
      cache: requests.cache,
      timers: clock.timers(),
      tabs: sources.tabs,
      memory,
    }
  }

  function account(bytes: number): void {
    memory += bytes
    const limit = settings.thresholds.memory
    if (bytes > 0 && memory > limit)
      alert({
        code: 'memory',
        message: `The caches and queues hold ${memory} bytes: lower \`cache.bytes\`, or keep fewer events.`,
        value: memory,
        limit,
      })
  }

  function underPressure(why: string, value: number): void {
    const message = `${why}: the machine is busy, with this page or with something else. If it is the page, use \`delivery: 'frame'\`, render less, or ask for less.`
    alert({ code: 'pressure', message, value, limit: settings.thresholds.lag })
  }

  function tellAlert(told: Alert): void {
    emitter.emit('alert', () => told)
    const key = `${told.code} ${told.endpoint ?? told.channel ?? ''}`
    if (printed.has(key) || printed.size > MOST_PRINTED || (settings.environment === 'production' && !settings.debug))
      return
    printed.add(key)
    console.warn(`[millrace] ${told.code}: ${told.message}`)
  }
}

/** One for all who give none. */
const noOptions: SubscribeOptions = {}

/** Each alert is printed once, and no more than so many of them. */
const MOST_PRINTED = 100
