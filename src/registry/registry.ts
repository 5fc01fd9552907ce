/** Who wants what: one live channel per key, one source per request, and the last states of channels that nobody wants. */
import { configError, MillraceError } from '../primitives/errors'
import type { SourceContext } from '../sources/source-context'
import type { Sources } from '../sources/sources'
import { targetIdentity } from '../sources/target'
import { type ChannelState, stateOf } from './channel-state'
import { type Channel, type ChannelDefinition, definitionOf } from './define-channel'
import { type Kept, LiveChannel } from './live-channel'
import type { RegistryContext, RegistrySettings } from './registry-context'
import { type Observer, type SubscribeOptions, Subscriber, type Subscription } from './subscriber'

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

export function createRegistry(source: SourceContext, sources: Sources, hooks: RegistryHooks): Registry {
  const { clock, settings, alert } = source
  const live = new Map<string, LiveChannel>()
  const kept = new Map<string, Kept & { readonly until: number; readonly definition: ChannelDefinition }>()
  /** The state of a channel that nobody wants, by its description: the same reference every time. */
  const idleStates = new WeakMap<object, ChannelState<unknown>>()
  let active = 0
  let total = 0
  let rejected = 0
  let lifetimes = 0

  const home = { leave, stateOf: ({ channel }: Subscriber) => getState(channel as Channel<unknown, unknown>) }
  const context: RegistryContext = {
    ...source,
    sources,
    settings: hooks.settings,
    onStatus: hooks.onStatus,
    onEvent: hooks.onEvent,
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
      sources.reconsider()
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
    const channel = new LiveChannel(key, definition, recall(key), context, (left) => {
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
    const { signal, label, exclusive, enabled = true } = options
    const definition = definitionOf(channel)
    const { key } = channel
    const subscriber = new Subscriber(
      home,
      total + 1,
      key,
      channel,
      observer as Subscriber['observer'],
      options,
      clock.now(),
    )
    if (enabled && !signal?.aborted) {
      const joined = enter(key, definition)
      const [other] = joined.subscribers.all()
      if (other && (exclusive || other.options.exclusive)) {
        rejected++
        const message = `${key} has a subscriber already, and one of the two is \`exclusive\`: "${label ?? subscriber.id}" is refused.`
        alert({ code: 'rejected', message, channel: key, subscriber: label })
        throw new MillraceError('rejected', message)
      }
      total++
      active++
      joined.add(subscriber)
      signal?.addEventListener('abort', subscriber.unsubscribe)
      hooks.onSubscribe(recordOf(subscriber))
    }
    return subscriber as Subscription<unknown> as Subscription<S>
  }

  function leave(subscriber: Subscriber): void {
    if (!subscriber.active) return
    active--
    const lifetime = clock.now() - subscriber.since
    lifetimes += lifetime
    subscriber.options.signal?.removeEventListener('abort', subscriber.unsubscribe)
    live.get(subscriber.key)?.remove(subscriber)
    hooks.onUnsubscribe({ ...recordOf(subscriber), lifetime })
  }

  function recordOf({ id, key, label, since }: Subscriber): SubscriberRecord {
    return { id, key, label, since }
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
      state = stateOf(data, undefined, updatedAt)
      idleStates.set(of, state)
    }
    return state as ChannelState<S>
  }
}
