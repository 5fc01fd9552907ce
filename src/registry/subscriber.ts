/** One subscriber: what it asked for, what it is still owed, and the subscription that it was given. */
import type { MillraceError } from '../primitives/errors'
import type { ChannelState } from './channel-state'
import type { StreamEvent } from './define-channel'

/** What a subscriber wants to be told. Called after `subscribe` has returned, never during it. */
export interface Observer<S, E> {
  /** Each event of the stream, in order; never for polls. */
  next?: ((event: E) => void) | undefined
  /** With `delivery: 'frame'`, all events since the last frame; otherwise, without `next`, each event by itself. */
  batch?: ((events: readonly E[]) => void) | undefined
  /** Every change of state, and the state at the start. */
  state?: ((state: ChannelState<S>) => void) | undefined
  /** The channel has failed for good; what will be retried is in `state.error`. */
  error?: ((error: MillraceError) => void) | undefined
  /** A terminal event came, or the server ended the stream for good. */
  complete?: (() => void) | undefined
}

export type Delivery = 'each' | 'frame' | 'latest'

/** How one subscriber takes part. */
export interface SubscribeOptions {
  /** Unsubscribes when it aborts. */
  signal?: AbortSignal | undefined
  /** Names the subscriber in alerts and statistics. */
  label?: string | undefined
  /** Refuses to share: a second subscriber of the channel is rejected. @defaultValue false */
  exclusive?: boolean | undefined
  /** `false`: nothing is opened and nothing told. @defaultValue true */
  enabled?: boolean | undefined
  /** ms between polls, for this subscriber; `0`: none for it; the smallest of all wins. @defaultValue the channel's */
  interval?: number | undefined
  /** Every event, all since the last frame (`batch`), or only the latest of those (`next`). @defaultValue 'each' */
  delivery?: Delivery | undefined
}

/** One subscriber's part in a channel. */
export interface Subscription<S> {
  readonly id: string
  readonly key: string
  readonly state: ChannelState<S>
  /** Idempotent; nothing is told after it. */
  unsubscribe(): void
}

/** Where a subscriber leaves, and looks up its state. */
interface Home {
  leave(subscriber: Subscriber): void
  stateOf(subscriber: Subscriber): ChannelState<unknown>
}

/**
 * There are thousands of these: one object each, which is the subscription too. `private` rather than `#`, so that a
 * reactive proxy around a subscription works.
 */
export class Subscriber implements Subscription<unknown> {
  readonly key: string
  /** The channel as it was asked for. */
  readonly channel: object
  readonly observer: Observer<unknown, StreamEvent>
  readonly options: SubscribeOptions
  /** ms since the epoch. */
  readonly since: number
  /** ms, by the hand of the clock that is never set. */
  readonly joinedAt: number
  /** Whether it listens still. */
  active = false
  /** Events since the last frame; made when first needed. */
  buffer: StreamEvent[] | undefined = undefined
  /** Whether it has not been told of the last change of state. */
  owedState = false
  /** A property, since it may be passed on alone. */
  readonly unsubscribe: () => void
  private readonly number: number
  private readonly home: Home

  constructor(
    home: Home,
    number: number,
    key: string,
    channel: object,
    observer: Observer<unknown, StreamEvent>,
    options: SubscribeOptions,
    since: number,
    joinedAt: number,
  ) {
    this.home = home
    this.number = number
    this.key = key
    this.channel = channel
    this.observer = observer
    this.options = options
    this.since = since
    this.joinedAt = joinedAt
    this.unsubscribe = () => home.leave(this)
  }

  get id(): string {
    return `${this.number}`
  }

  get label(): string | undefined {
    return this.options.label
  }

  get state(): ChannelState<unknown> {
    return this.home.stateOf(this)
  }
}
