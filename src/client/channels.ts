/** `subscribe` and what belongs to it: channels, their sources, and other tabs. */
import { check, shown } from '../primitives/check'
import { configError } from '../primitives/errors'
import { observerOptions, subscribeOptions } from '../primitives/options'
import { urlKey } from '../primitives/url'
import { type Channel, defineChannel, definitionOf, type StreamEvent } from '../registry/define-channel'
import { createEventIterator } from '../registry/event-iterator'
import { createRegistry } from '../registry/registry'
import type { Observer, SubscribeOptions, Subscription } from '../registry/subscriber'
import { createConditions } from '../sources/conditions'
import type { SourceContext } from '../sources/source-context'
import { createSources } from '../sources/sources'
import { createStreamSlots, type StreamSlots } from '../sources/stream-slots'
import { createTabs } from '../sources/tabs/arrival'
import type { TabControl } from '../sources/tabs/control'
import { browserTabs } from '../sources/tabs/platform'
import { isUrl } from '../sources/target'
import { watchPressure } from './alerts'
import type { Client } from './api'
import { type Channels, type ClientContext, type Network, throwIfClosed } from './context'
import { leaveIdentity } from './identity'
import { invalidateHere } from './invalidate'
import { withNetwork } from './requests'
import { disabledError } from './switch'

/** Tells of another description of a channel that is open already; registered, so that another copy of the bundle finds it. */
export const renew: unique symbol = Symbol.for('millrace.renew') as never

export type Subscribing = Pick<Client, 'subscribe' | 'events' | 'getState' | 'store' | 'refresh'> & {
  [renew](before: Channel<unknown, unknown>, now: Channel<unknown, unknown>): void
}

/** One for all who give none. */
const noOptions: SubscribeOptions = {}

export function channels(context: ClientContext): Subscribing {
  const { registry, conditions } = withChannels(context)
  return {
    subscribe,
    events(channel, options = {}) {
      definitionOf(channel)
      const onOverflow = () => {
        for (const { key, timeline } of registry.channels()) if (key === channel.key) timeline.counts.overflowed++
        const message = `${channel.key}: a loop takes events too slowly for its buffer.`
        context.alert({ code: 'overflow', message, channel: channel.key })
      }
      return createEventIterator(
        channel.key,
        options,
        (observer) => subscribe(channel, observer).unsubscribe,
        onOverflow,
        (cause) => registry.threw('overflow', channel.key, cause),
      )
    },
    getState: registry.getState,
    store: (channel, options = noOptions) => ({
      subscribe(onChange) {
        throwIfClosed(context)
        check(subscribeOptions, options)
        return registry.subscribe(channel, { state: onChange }, { delivery: 'frame', ...options }, true).unsubscribe
      },
      getSnapshot: () => registry.getState(channel),
      getServerSnapshot: () => registry.initialState(channel),
    }),
    async refresh(channel) {
      throwIfClosed(context)
      if (!conditions.enabled) throw disabledError()
      return registry.refresh(channel)
    },
    [renew]: registry.renew,
  }

  function subscribe<S, E>(
    target: Channel<S, E> | string | URL,
    observer: Observer<S, E> | ((event: E) => void),
    options: SubscribeOptions = noOptions,
  ): Subscription<S> {
    throwIfClosed(context)
    const full: Observer<S, E> = typeof observer === 'function' ? { next: observer } : observer
    if (typeof full !== 'object' || full === null) throw configError('an observer, or a function', shown(observer))
    check(observerOptions, full)
    if (options !== noOptions) check(subscribeOptions, options)
    const channel = isUrl(target) ? defineChannel<S, StreamEvent>({ key: urlKey(target), stream: target }) : target
    return registry.subscribe(channel as Channel<S, E>, full, options, false)
  }
}

/** Channels are there from now on. */
export function withChannels(context: ClientContext): ClientContext & Channels {
  if (!context.registry) Object.assign(context, createChannels(withNetwork(context)))
  return context as ClientContext & Channels
}

function createChannels(context: ClientContext & Network): Channels {
  const { settings, emitter, alert, gate, requests } = context
  const platform = context.tabPlatform ?? browserTabs()
  const tabs = platform && createTabs(platform, context.clock, alert)
  const conditions = createConditions()
  const pageSlots = createStreamSlots()
  let control: TabControl | undefined
  let tabSlots: StreamSlots | undefined
  const slots: StreamSlots = { take: (...asked) => slotsNow().take(...asked) }
  const source: SourceContext = Object.assign(context, { conditions, slots })
  const sources = createSources(source, tabs)
  const watch = watchPressure(context)
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
      tellTabs((others) => others.open())
      watch(true)
      emitter.emit('subscribe', () => record)
    },
    onUnsubscribe(record) {
      if (registry.totals.active === 0) watch(false)
      emitter.emit('unsubscribe', () => record)
    },
  })
  if (settings.flags.tabs) tabs?.parts()

  return {
    registry,
    sources,
    conditions,
    slots,
    tellTabs,
    closeChannels(error) {
      registry.close(error)
      watch(false)
      control?.close()
    },
  }

  function tellTabs(tell: (others: TabControl) => void): void {
    tabs?.whenHere(({ createTabControl }) => {
      if (context.closed) return
      control ??= createTabControl(tabs.platform, {
        identity: () => settings.identity,
        onLeft: () => leaveIdentity(context),
        onInvalidate: (match) => invalidateHere(context, match),
        onAnswer: requests.learn,
        onChanged: (url) => requests.forget((cached) => cached === url),
        onRefused: gate.refuse,
        alert,
      })
      tell(control)
    })
  }

  function slotsNow(): StreamSlots {
    const parts = tabs?.parts()
    if (tabs && parts) tabSlots ??= parts.createTabSlots(tabs.platform, pageSlots)
    return tabSlots ?? pageSlots
  }
}
