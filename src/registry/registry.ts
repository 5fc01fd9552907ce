/** Who wants what: one live channel per key, one source per request, and the last states of channels that nobody wants. */
import { configError, MillraceError } from '../primitives/errors'
import { enterPage } from '../sources/page-sources'
import { createSnapshotSource, type SnapshotSource } from '../sources/snapshot-source'
import type { SourceContext } from '../sources/source-context'
import { createStreamSource, type StreamSource } from '../sources/stream-source'
import { type Target, targetIdentity } from '../sources/target'
import { type ChannelState, idle } from './channel-state'
import { type Channel, type ChannelDefinition, definitionOf } from './define-channel'
import { createLiveChannel, type Kept, type LiveChannel } from './live-channel'
import type { RegistryContext, RegistrySettings } from './registry-context'
import type { Delivery, Observer, Subscriber } from './subscribers'

/** How one subscriber takes part. */
export interface SubscribeOptions {
  /** Unsubscribes when it aborts. */
  signal?: AbortSignal
  /** Names the subscriber in alerts and statistics. */
  label?: string
  /** Refuses to share: a second subscriber of the channel is rejected. @defaultValue false */
  exclusive?: boolean
  /** `false`: nothing is opened and nothing told. @defaultValue true */
  enabled?: boolean
  /** ms between polls, for this subscriber; the smallest of all wins. */
  interval?: number
  /** Every event, all since the last frame (`batch`), or only the latest of those (`next`). @defaultValue 'each' */
  delivery?: Delivery
}

/** One subscriber's part in a channel. */
export interface Subscription<S> {
  readonly id: string
  readonly key: string
  readonly state: ChannelState<S>
  /** Idempotent; nothing is told after it. */
  unsubscribe(): void
}

/** A subscriber who came, or left after `lifetime` ms. */
export interface SubscriberRecord {
  readonly id: string
  readonly key: string
  readonly label?: string | undefined
  /** ms since the epoch. */
  readonly since: number
  readonly lifetime?: number | undefined
}

export interface RegistryHooks {
  settings: RegistrySettings
  onStatus: RegistryContext['onStatus']
  onEvent: RegistryContext['onEvent']
  onSubscribe(record: SubscriberRecord): void
  onUnsubscribe(record: SubscriberRecord): void
}

export interface Registry {
  subscribe<S, E>(channel: Channel<S, E>, observer: Observer<S, E>, options: SubscribeOptions): Subscription<S>
  getState<S, E>(channel: Channel<S, E>): ChannelState<S>
  refresh<S, E>(channel: Channel<S, E>): Promise<void>
  /** Asks again for what is shown of these channels, and forgets what is kept of the others. */
  invalidate(matches: (definition: ChannelDefinition) => boolean): void
  /** Leaves every source, forgets every state and starts anew for those who subscribe. */
  reset(): void
  /** Settings have changed. */
  reconsider(): void
  /** Nothing may be pending any more. */
  quiet(): void
  /** Ends every channel for all who subscribe. */
  close(error: MillraceError): void
  /** The state of a channel before anything is known of it. */
  initialState<S, E>(channel: Channel<S, E>): ChannelState<S>
  channels(): Iterable<LiveChannel>
  readonly totals: {
    readonly active: number
    readonly total: number
    readonly rejected: number
    readonly averageLifetime: number
  }
}

/** How many states outlive their last subscriber; the oldest go first. */
const MOST_KEPT = 500
const DEFAULT_KEEP = 300_000

/** A class for the sake of its accessor: in a literal it would cost every subscriber a dictionary of its own. */
class Handle<S, E> implements Subscription<S> {
  readonly id: string
  readonly key: string
  readonly unsubscribe: () => void
  readonly #getState: (channel: Channel<S, E>) => ChannelState<S>
  readonly #channel: Channel<S, E>

  constructor(
    id: string,
    key: string,
    unsubscribe: () => void,
    getState: (channel: Channel<S, E>) => ChannelState<S>,
    channel: Channel<S, E>,
  ) {
    this.id = id
    this.key = key
    this.unsubscribe = unsubscribe
    this.#getState = getState
    this.#channel = channel
  }

  get state(): ChannelState<S> {
    return this.#getState(this.#channel)
  }
}

export function createRegistry(source: SourceContext, hooks: RegistryHooks): Registry {
  const { clock, settings, alert } = source
  const live = new Map<string, LiveChannel>()
  const kept = new Map<string, Kept & { readonly until: number; readonly definition: ChannelDefinition }>()
  const streams = new Map<string, StreamSource>()
  const snapshots = new Map<string, SnapshotSource>()
  /** The state of a channel that nobody wants, by its description: the same reference every time. */
  const idleStates = new WeakMap<object, ChannelState<unknown>>()
  let active = 0
  let total = 0
  let rejected = 0
  let lifetimes = 0

  const context: RegistryContext = {
    ...source,
    settings: hooks.settings,
    onStatus: hooks.onStatus,
    onEvent: hooks.onEvent,
    streamSource: (target, key) => shared(streams, target, key, createPageStream),
    snapshotSource: (target, key) => shared(snapshots, target, key, createSnapshotSource),
  }

  return {
    subscribe,
    getState,
    refresh: (channel) => enter(channel.key, definitionOf(channel)).refresh(),
    invalidate(matches) {
      for (const [key, { definition }] of kept) if (matches(definition)) kept.delete(key)
      for (const channel of live.values()) if (matches(channel.definition())) void channel.refresh()
    },
    reset() {
      kept.clear()
      for (const channel of [...live.values()]) channel.reset()
    },
    reconsider() {
      for (const channel of live.values()) channel.reconsider()
    },
    quiet() {
      for (const channel of [...live.values()]) channel.quiet()
    },
    close(error) {
      kept.clear()
      for (const channel of [...live.values()]) channel.close(error)
      live.clear()
      active = 0
    },
    initialState: (channel) => idleState(definitionOf(channel), definitionOf(channel).initial, undefined),
    channels: () => live.values(),
    get totals() {
      return { active, total, rejected, averageLifetime: total > active ? lifetimes / (total - active) : 0 }
    },
  }

  function createPageStream(
    target: Target,
    source: SourceContext,
    onEmpty: () => void,
    identity: string,
  ): StreamSource {
    const entry = enterPage(JSON.stringify([settings.identity, identity]))
    const stream = createStreamSource(target, source, () => {
      entry.leave()
      onEmpty()
    })
    if (entry.isDuplicate) {
      const endpoint = stream.endpoint()
      const message = `${endpoint} is open in another client of this page too: share one with \`getClient()\`, or pass one client around.`
      alert({ code: 'duplicate-client', message, endpoint })
    }
    return stream
  }

  function shared<T>(
    sources: Map<string, T>,
    target: Target,
    key: string,
    create: (target: Target, context: SourceContext, onEmpty: () => void, identity: string) => T,
  ): T {
    const identity = targetIdentity(target, key, settings.baseUrl)
    let found = sources.get(identity)
    if (!found) {
      const onEmpty = () => {
        if (sources.get(identity) === found) sources.delete(identity)
      }
      found = create(target, source, onEmpty, identity)
      sources.set(identity, found)
    }
    return found
  }

  function enter(key: string, definition: ChannelDefinition): LiveChannel {
    const known = live.get(key)
    if (known) {
      if (known.definition() !== definition && targetsOf(known.definition(), key) !== targetsOf(definition, key))
        throw configError(`one target for the channel key ${key}`, 'two different ones: give each its own key')
      known.redefine(definition)
      return known
    }
    // A target that cannot be resolved throws before anything is entered.
    targetsOf(definition, key)
    const channel = createLiveChannel(key, definition, recall(key), context, (left) => {
      live.delete(key)
      keep(key, definition, left)
    })
    live.set(key, channel)
    return channel
  }

  function targetsOf({ stream, snapshot }: ChannelDefinition, key: string): string {
    return JSON.stringify([stream, snapshot].map((target) => target && targetIdentity(target, key, settings.baseUrl)))
  }

  function recall(key: string): Kept | undefined {
    const found = kept.get(key)
    return found && clock.now() < found.until ? found : undefined
  }

  function keep(key: string, definition: ChannelDefinition, left: Kept): void {
    kept.delete(key)
    const ms = definition.keep ?? DEFAULT_KEEP
    if (ms === 0 || (left.updatedAt === undefined && !left.isComplete)) return
    kept.set(key, { ...left, definition, until: clock.now() + ms })
    if (kept.size > MOST_KEPT) kept.delete(kept.keys().next().value as string)
  }

  function subscribe<S, E>(
    channel: Channel<S, E>,
    observer: Observer<S, E>,
    options: SubscribeOptions,
  ): Subscription<S> {
    const { signal, label, exclusive = false, enabled = true, interval, delivery = 'each' } = options
    const definition = definitionOf(channel)
    const { key } = channel
    const id = `${++total}`
    if (!enabled || signal?.aborted) {
      total--
      return new Handle(id, key, () => {}, getState, channel)
    }

    const joined = enter(key, definition)
    const others = joined.subscribers.all()
    if (others.length > 0 && (exclusive || others.some((other) => other.exclusive))) {
      total--
      rejected++
      const message = `${key} has a subscriber already, and one of the two is \`exclusive\`: "${label ?? id}" is refused.`
      alert({ code: 'rejected', message, channel: key, subscriber: label })
      throw new MillraceError('rejected', message)
    }
    const since = clock.now()
    const record: SubscriberRecord = { id, key, label, since }
    const subscriber: Subscriber = {
      id,
      label,
      since,
      interval,
      exclusive,
      delivery,
      observer: observer as Subscriber['observer'],
      active: true,
      buffer: undefined,
      owedState: false,
    }
    const unsubscribe = () => {
      if (!subscriber.active) return
      active--
      const lifetime = clock.now() - since
      lifetimes += lifetime
      signal?.removeEventListener('abort', unsubscribe)
      joined.remove(subscriber)
      hooks.onUnsubscribe({ ...record, lifetime })
    }
    active++
    joined.add(subscriber)
    signal?.addEventListener('abort', unsubscribe)
    hooks.onSubscribe(record)
    return new Handle(id, key, unsubscribe, getState, channel)
  }

  function getState<S, E>(channel: Channel<S, E>): ChannelState<S> {
    const known = live.get(channel.key)
    if (known) return known.state() as ChannelState<S>
    const left = recall(channel.key)
    const definition = definitionOf(channel)
    return left ? idleState(left, left.value, left.updatedAt) : idleState(definition, definition.initial, undefined)
  }

  function idleState<S>(of: object, data: unknown, updatedAt: number | undefined): ChannelState<S> {
    let state = idleStates.get(of)
    if (!state) {
      state = Object.freeze({ ...idle, data, updatedAt, role: undefined, isStale: updatedAt !== undefined })
      idleStates.set(of, state)
    }
    return state as ChannelState<S>
  }
}
