/**
 * What a component wants of a channel, and what it sees of it: all of an adapter that is not the tie to its framework.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { Client } from './client/api'
import { renew, type Subscribing } from './client/channels'
import { channelClient } from './client/page-client'
import type { Coordination } from './network/coordinated-fetch'
import { tell } from './primitives/callback'
import { type MillraceError, reportException } from './primitives/errors'
import { fingerprint } from './primitives/fingerprint'
import { toHeaders } from './primitives/http'
import { soon } from './primitives/platform'
import { urlKey } from './primitives/url'
import { type ChannelState, failed, stateOf } from './registry/channel-state'
import { type Channel, type CommonOptions, defineChannel, definitionOf } from './registry/define-channel'
import type { SubscribeOptions } from './registry/subscriber'
import type { Target, TargetRequest } from './sources/target'

/** A channel, or nothing for now: `id && channel(id)` is one too. */
export type MaybeChannel<S, E> = Channel<S, E> | null | undefined | false | 0 | 0n | ''

/** How a component takes part in a channel. The functions may be new every time: the latest is called. */
export interface ViewOptions<S, E, T = S> {
  /** What of the data this component is about. Never called without data. @defaultValue all of it */
  select?: ((data: S) => T) | undefined
  /** Whether two selected values are the same to this component. @defaultValue `Object.is` */
  isEqual?: ((a: T, b: T) => boolean) | undefined
  /** `false`: nothing is open; what is known of the channel is shown, as 'idle'. @defaultValue true */
  enabled?: boolean | undefined
  /** ms between polls, for this component; `0`: none; the smallest of all subscribers wins. @defaultValue the channel's */
  interval?: number | undefined
  /** Each event of the stream, in order, as it comes; never for polls. It makes nothing render. */
  onEvent?: ((event: E) => void) | undefined
  /** The channel has failed for good; what will be retried is in `error`. */
  onError?: ((error: MillraceError) => void) | undefined
  /** Names the component in alerts and statistics. */
  label?: string | undefined
}

/** A channel, as a component sees it. */
export interface Seen<T> extends Omit<ChannelState<T>, 'data'> {
  /** What `select` made of the channel's data. */
  readonly data: T | undefined
  /** The stream is open: `status` is `live`. */
  readonly isLive: boolean
  /**
   * Asks for the snapshot now; starts a failed or complete channel again. Resolves when that has ended, and is never
   * answered by what was sent before it. The same function while the channel is the same.
   */
  readonly refresh: () => Promise<void>
}

/** What one render wants and sees. It begins with what the last committed one saw, and leaves no trace unless it is committed too. */
export interface Look<S, T> {
  /** The channel's, if there is one. */
  readonly key: string | undefined
  /** What has to be open: while it is the same, nothing need be opened anew. */
  readonly identity: string
  /** Opens it; `onChange` is called when `known` says something else. The same function while `identity` is the same. */
  readonly open: (onChange: () => void) => () => void
  /** The channel as it is known now. Opens nothing. */
  known(): ChannelState<S>
  /** As it is before anything is known: what a server renders and a page hydrates. Asks no client and reads no clock. */
  assumed(): ChannelState<S>
  /** What the component sees of a state: the same object until a field that it has read is another. */
  see(state: ChannelState<S>): Seen<T>
  commit(): void
}

/** One component's. */
export interface View<S, E, T> {
  /** `client`: the page's, if there is none. `label`: where the options name none. */
  look(
    client: Client | undefined,
    channel: MaybeChannel<S, E>,
    options: ViewOptions<S, E, T> | undefined,
    label?: string,
  ): Look<S, T>
}

/** What is open, or is to be, and how it went. */
interface Tie {
  readonly client: Client | undefined
  readonly identity: string
  readonly key: string | undefined
  readonly isWanted: boolean
  readonly open: Look<unknown, unknown>['open']
  readonly refresh: () => Promise<void>
  isOpen: boolean
  onChange(): void
  refused?: ChannelState<never>
}

interface Sight<S, E, T> {
  channel?: MaybeChannel<S, E>
  options?: ViewOptions<S, E, T> | undefined
  label?: string | undefined
  tie?: Tie
  /** What `result` was made of. */
  seen?: readonly [ChannelState<S>, ViewOptions<S, E, T>['select'], Tie]
  /** Selected of the state. */
  selected?: T | undefined
  fields?: Seen<T>
  result?: Seen<T>
}

export function createView<S, E, T = S>(): View<S, E, T> {
  // Whoever calls `refresh` later on means the channel of now.
  const read = new Set(['refresh'] as (keyof Seen<T>)[])
  let committed: Sight<S, E, T> = {}

  return {
    look(client, channel, options, label) {
      const { select, isEqual = Object.is, enabled, interval, onEvent, label: given } = options ?? {}
      const isWanted = Boolean(channel) && enabled !== false
      const key = channel ? channel.key : undefined
      const identity = String([key, isWanted, interval, !onEvent, given])
      const tie =
        committed.tie && committed.tie.client === client && committed.tie.identity === identity
          ? committed.tie
          : createTie(client, identity, key, isWanted)
      const own: Sight<S, E, T> = { ...committed, channel, options, label, tie }

      return {
        key,
        identity,
        open: tie.open,
        known() {
          try {
            return tie.refused ?? (channel ? (client ?? channelClient()).getState(channel) : nothing)
          } catch (error) {
            return refuse(tie, error)
          }
        },
        assumed: () => (channel ? assumedState(channel) : nothing),
        see(state) {
          const [before, selector, of] = own.seen ?? []
          const { selected, fields, result } = own
          if (before && result && state === before && select === selector && tie === of) return result
          if (!before || select !== selector || !Object.is(state.data, before.data)) {
            const data = (select && state.data !== undefined ? select(state.data) : state.data) as T | undefined
            if (selected === undefined || data === undefined || !isEqual(selected, data)) own.selected = data
          }
          own.seen = [state, select, tie]
          const next = fieldsOf(state, own.selected, isWanted, tie.refresh)
          if (result && fields && [...read].every((name) => Object.is(next[name], fields[name]))) {
            // What nobody has read may be read next, by a handler.
            Object.assign(fields, next)
            return result
          }
          own.fields = next
          own.result = new Proxy(next, {
            get(_, name: keyof Seen<T>) {
              read.add(name)
              return next[name]
            },
          })
          return own.result
        },
        commit() {
          const before = committed
          committed = own
          // A hot update keeps what is open, and renders another channel of the same key.
          if (tie.isOpen && before.tie === tie && channel && before.channel && channel !== before.channel)
            renewLater(client, before.channel, channel)
        },
      }
    },
  }

  function createTie(client: Client | undefined, identity: string, key: string | undefined, isWanted: boolean): Tie {
    const before = committed.tie
    const tie: Tie = {
      client,
      identity,
      key,
      isWanted,
      open,
      refresh: before && before.client === client && before.key === key ? before.refresh : refresh,
      isOpen: false,
      onChange() {},
    }
    return tie

    /** By what was wanted last: the functions and the channel may be made anew at every render. */
    function open(onChange: () => void): () => void {
      tie.onChange = onChange
      delete tie.refused
      const { channel, options = {}, label } = committed
      if (!isWanted || !channel) return () => {}
      const { interval, onEvent } = options
      // What is undefined is not given, whatever its type says.
      const how = { interval, label: options.label ?? label } as SubscribeOptions
      const asked = client ?? channelClient()
      const stops: (() => void)[] = []
      let told: MillraceError | undefined
      const tellFailure = ({ status, error }: ChannelState<S>) => {
        const failure = status === 'failed' ? error : undefined
        if (failure && failure !== told) tell('onError', key as string, () => latest().onError?.(failure))
        told = failure
      }
      const latest = () => committed.options ?? {}
      try {
        stops.push(
          asked.store(channel, how).subscribe(() => {
            tellFailure(asked.getState(channel))
            onChange()
          }),
        )
        // A subscriber of its own: state comes per frame, and no event should wait for a frame that a hidden page lacks.
        if (onEvent)
          stops.push(asked.subscribe(channel, { next: (event) => latest().onEvent?.(event) }, how).unsubscribe)
      } catch (error) {
        reportException(error)
        tellFailure(refuse(tie, error))
        onChange()
      }
      tie.isOpen = true
      return () => {
        tie.isOpen = false
        for (const stop of stops) stop()
      }
    }

    async function refresh(): Promise<void> {
      const { channel, tie: now } = committed
      if (!channel) return
      await (client ?? channelClient()).refresh(channel)
      // Who does not subscribe is not told.
      if (!now?.isWanted) now?.onChange()
    }
  }
}

/** Not at once: what is being rendered may have to change. */
function renewLater(
  client: Client | undefined,
  before: Channel<unknown, unknown>,
  now: Channel<unknown, unknown>,
): void {
  soon(() => ((client ?? channelClient()) as Partial<Subscribing>)[renew]?.(before, now))
}

/** A component shows what cannot be had: nothing is thrown while it renders. */
function refuse(tie: Tie, error: unknown): ChannelState<never> {
  tie.refused = stateOf<never>(undefined, failed(error as MillraceError))
  return tie.refused
}

/** The state where there is no channel. */
const nothing: ChannelState<never> = /* @__PURE__ */ stateOf<never>(undefined)

const assumed = /* @__PURE__ */ new WeakMap<object, ChannelState<unknown>>()

function assumedState<S, E>(channel: Channel<S, E>): ChannelState<S> {
  let state = assumed.get(channel) as ChannelState<S> | undefined
  if (!state) {
    state = stateOf(definitionOf(channel).initial as S | undefined)
    assumed.set(channel, state)
  }
  return state
}

/** Who does not want the channel is shown what was known of it. */
function fieldsOf<S, T>(
  state: ChannelState<S>,
  data: T | undefined,
  isWanted: boolean,
  refresh: () => Promise<void>,
): Seen<T> {
  const { status } = state
  return {
    ...state,
    data,
    status: !isWanted ? 'idle' : status === 'idle' ? 'connecting' : status,
    isLive: isWanted && status === 'live',
    isStale: isWanted ? state.isStale : state.updatedAt !== undefined,
    refresh,
  }
}

/** How a URL is asked, and how what it answers is read. */
export interface JsonOptions<T>
  extends Partial<Pick<Coordination, 'ttl' | 'timeout' | 'retry' | 'priority' | 'group'>>,
    Pick<TargetRequest, 'method' | 'credentials'> {
  /** Part of what is asked, as the method and the body are: who asks with others asks something else. */
  headers?: HeadersInit | undefined
  body?: string | undefined
  /** Validates and types the body. All who ask for a URL should give the same one: the latest is used for all. */
  schema?: StandardSchemaV1<unknown, T> | undefined
}

/**
 * The JSON at a URL, as a channel that all who ask the same share, in which they and `client.json` have one answer. It is
 * asked once, and again as often as a subscriber's `interval` says. `ttl`: an answer that is younger will do for who comes.
 */
export function jsonChannel<T>(
  url: string | URL | null | undefined | false | 0 | '',
  { method, headers, body, credentials, schema, ttl, timeout, retry = 0, priority, group }: JsonOptions<T> = {},
): Channel<T, never> | undefined {
  if (!url) return undefined
  const asked = [method?.toUpperCase(), headers && [...toHeaders(headers)], body, credentials]
  const key = ['json', urlKey(url)]
  if (asked.some((part) => part !== undefined)) key.push(fingerprint(JSON.stringify(asked)))
  // What a schema makes of it is not for those who have none.
  if (schema) key.push('schema')
  return defineChannel({
    key,
    snapshot: { url, method, headers, body, credentials },
    schema,
    interval: 0,
    // What nobody waits for is aborted.
    grace: 0,
    maxAge: ttl ?? 'cache.ttl',
    timeout,
    retry,
    priority,
    group,
  } as CommonOptions<never> & { snapshot: Target }) as Channel<T, never>
}
