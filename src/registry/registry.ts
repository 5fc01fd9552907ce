/** Who wants what: one live channel per key, one source per request, and the last states of channels that nobody wants. */
import { configError, MillraceError } from '../primitives/errors'
import { offAbort, onAbort } from '../primitives/until-aborted'
import { endpointOf } from '../primitives/url'
import type { SourceContext } from '../sources/source-context'
import type { Sources } from '../sources/sources'
import { fixedTarget, type Target, targetIdentity } from '../sources/target'
import { createReport } from './callbacks'
import { type Kept, LiveChannel } from './channel'
import { type ChannelState, stateOf } from './channel-state'
import { type Channel, type ChannelDefinition, definitionOf } from './define-channel'
import { createKeptStates } from './kept-states'
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
  /**
   * A key that has another target throws `config`; unless `isView`: somebody who renders. Then the newest description
   * wins while somebody develops, and the oldest elsewhere.
   */
  subscribe<S, E>(
    channel: Channel<S, E>,
    observer: Observer<S, E>,
    options: SubscribeOptions,
    isView: boolean,
  ): Subscription<S>
  getState<S, E>(channel: Channel<S, E>): ChannelState<S>
  refresh<S, E>(channel: Channel<S, E>): Promise<void>
  /** One who renders the first describes it anew: an edit, while somebody develops; it may not have subscribed again. */
  renew(before: Channel<unknown, unknown>, now: Channel<unknown, unknown>): void
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
  /** A function of this channel's threw. */
  threw(name: string, key: string, cause: unknown): void
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

/** ms: who subscribes through an older description that long after a newer one came does not mean to be edited. */
const SETTLED = 1_000
const DEFAULT_KEEP = 300_000
const MOST_DISPUTED = 100

export function createRegistry(source: SourceContext, sources: Sources, hooks: RegistryHooks): Registry {
  const { clock, settings, alert } = source
  const live = new Map<string, LiveChannel>()
  const kept = createKeptStates(clock, source.account)
  /** Keys with two targets that were told of. */
  const disputed = new Set<string>()
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
    report: createReport(),
    onStatus: hooks.onStatus,
    onEvent: hooks.onEvent,
  }

  return {
    subscribe,
    getState,
    refresh(channel) {
      const definition = definitionOf(channel)
      return enter(channel.key, definition, false).refresh()
    },
    renew(before, now) {
      const known = live.get(now.key)
      if (hooks.settings.environment !== 'development' || !known) return
      const definition = definitionOf(now)
      // Two who disagree do not take it from each other at every render: only who has changed its own mind is heard.
      if (!hasSameTargets(definitionOf(before), definition, now.key)) meet(known, definition, true)
      else if (hasSameTargets(known.definition, definition, now.key)) known.definition = definition
    },
    invalidate(matches) {
      for (const [key, { definition }] of [...kept.entries()]) if (matches(definition)) kept.delete(key)
      for (const channel of live.values()) if (matches(channel.definition)) void channel.refresh()
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
      kept.quiet()
    },
    close(error) {
      kept.clear()
      for (const channel of [...live.values()]) channel.close(error)
      live.clear()
      active = 0
    },
    threw: context.report,
    initialState: (channel) => idleState(definitionOf(channel), definitionOf(channel).initial, undefined),
    channels: () => live.values(),
    get totals() {
      return { active, total, rejected, averageLifetime: total > active ? lifetimes / (total - active) : 0 }
    },
  }

  function enter(key: string, definition: ChannelDefinition, isView: boolean): LiveChannel {
    const known = live.get(key)
    if (known) {
      meet(known, definition, isView)
      return known
    }
    // A target that cannot be resolved throws before anything is entered.
    targetsOf(definition, key)
    const channel = new LiveChannel(key, definition, recall(key, definition), context, (left) => {
      live.delete(key)
      keep(key, channel.definition, left)
    })
    live.set(key, channel)
    return channel
  }

  /** The newest description wins: identity is the key's, functions may be made anew at every render. */
  function meet(known: LiveChannel, definition: ChannelDefinition, isView: boolean): void {
    const before = known.definition
    if (hasSameTargets(before, definition, known.key)) {
      known.definition = definition
      return
    }
    // Nobody is left who could be misled: an edit, or a key that is used anew.
    if (known.subscribers.all().size === 0) return known.moveTo(definition)
    if (!isView)
      throw configError(`one target for the channel key ${known.key}`, 'two different ones: give each its own key')
    const isEdited = hooks.settings.environment === 'development'
    if (isEdited) known.moveTo(definition)
    const told = () => {
      const others = [...known.subscribers.all()].map(({ channel }) =>
        definitionOf(channel as Channel<unknown, unknown>),
      )
      if (!others.some((other) => !hasSameTargets(other, known.definition, known.key))) return
      dispute(known.key, before, definition)
    }
    // An edit reaches the components one by one: who disagrees then still is not being edited.
    if (isEdited) clock.after(SETTLED, told, `targets of ${known.key}`, true)
    else dispute(known.key, before, definition)
  }

  function dispute(key: string, one: ChannelDefinition, other: ChannelDefinition): void {
    if (disputed.has(key) || disputed.size >= MOST_DISPUTED) return
    disputed.add(key)
    const message = `The channel key ${key} has two targets, ${endpointsOf(one)} and ${endpointsOf(other)}: give each its own key.`
    alert({ code: 'config', message, channel: key })
  }

  function endpointsOf({ stream, snapshot }: ChannelDefinition): string {
    const name = (target: Target) => {
      if (typeof target === 'function') return 'a function'
      const { method, url } = fixedTarget(target, settings.baseUrl)
      return endpointOf(method, url)
    }
    return [stream, snapshot].flatMap((target) => (target ? [name(target)] : [])).join(' with ')
  }

  function hasSameTargets(one: ChannelDefinition, other: ChannelDefinition, key: string): boolean {
    return one === other || targetsOf(one, key) === targetsOf(other, key)
  }

  function targetsOf({ stream, snapshot }: ChannelDefinition, key: string): string {
    return JSON.stringify([stream, snapshot].map((target) => target && targetIdentity(target, key, settings.baseUrl)))
  }

  /** What is kept of another target is another thing. */
  function recall(key: string, definition: ChannelDefinition): Kept | undefined {
    const found = kept.get(key)
    return found && hasSameTargets(found.definition, definition, key) ? found : undefined
  }

  function keep(key: string, definition: ChannelDefinition, left: Kept): void {
    kept.delete(key)
    if (left.updatedAt === undefined && !left.isComplete) return
    kept.add(key, { ...left, definition }, definition.keep ?? DEFAULT_KEEP)
  }

  function subscribe<S, E>(
    channel: Channel<S, E>,
    observer: Observer<S, E>,
    options: SubscribeOptions,
    isView: boolean,
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
      Math.floor(clock.elapsed()),
    )
    if (enabled && !signal?.aborted) {
      const joined = enter(key, definition, isView)
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
      if (signal) onAbort(signal, subscriber.unsubscribe)
      hooks.onSubscribe(recordOf(subscriber))
    }
    return subscriber as Subscription<unknown> as Subscription<S>
  }

  function leave(subscriber: Subscriber): void {
    if (!subscriber.active) return
    active--
    const lifetime = Math.floor(clock.elapsed()) - subscriber.joinedAt
    lifetimes += lifetime
    if (subscriber.options.signal) offAbort(subscriber.options.signal, subscriber.unsubscribe)
    live.get(subscriber.key)?.remove(subscriber)
    hooks.onUnsubscribe({ ...recordOf(subscriber), lifetime })
  }

  function recordOf({ id, key, label, since }: Subscriber): SubscriberRecord {
    return { id, key, label, since }
  }

  function getState<S, E>(channel: Channel<S, E>): ChannelState<S> {
    const known = live.get(channel?.key)
    if (known) return known.state() as ChannelState<S>
    const definition = definitionOf(channel)
    const left = recall(channel.key, definition)
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
