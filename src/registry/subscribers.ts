/**
 * Who listens to a channel, and how each is told: every event, per frame, or the latest only. One that throws is
 * reported and starves nobody; one that leaves is told nothing more, not even the rest of a chunk.
 */
import type { Clock } from '../primitives/clock'
import { type MillraceError, reportException } from '../primitives/errors'
import type { ChannelState } from './channel-state'
import type { StreamEvent } from './define-channel'

/** What a subscriber wants to be told. Called after `subscribe` has returned, never during it. */
export interface Observer<S, E> {
  /** Each event of the stream, in order; never for polls. */
  next?(event: E): void
  /** With `delivery: 'frame'`, all events since the last frame; otherwise, without `next`, each event by itself. */
  batch?(events: readonly E[]): void
  /** Every change of state, and the state at the start. */
  state?(state: ChannelState<S>): void
  /** The channel has failed for good; what will be retried is in `state.error`. */
  error?(error: MillraceError): void
  /** A terminal event came, or the server ended the stream for good. */
  complete?(): void
}

export type Delivery = 'each' | 'frame' | 'latest'

export interface Subscriber {
  readonly id: string
  readonly label: string | undefined
  /** ms since the epoch. */
  readonly since: number
  readonly interval: number | undefined
  readonly exclusive: boolean
  readonly delivery: Delivery
  readonly observer: Observer<unknown, StreamEvent>
  active: boolean
  /** Events since the last frame; made when first needed. */
  buffer: StreamEvent[] | undefined
  /** Whether it has not been told of the last change of state. */
  owedState: boolean
}

export interface Subscribers {
  size(): number
  all(): readonly Subscriber[]
  add(subscriber: Subscriber): void
  remove(subscriber: Subscriber): void
  publish(event: StreamEvent): void
  /** The state has changed: with `now`, everybody is told; else those who take every event are. */
  stateChanged(now: boolean): void
  /** Hands out what waits for a frame. */
  flush(): void
  /** Tells everybody of the end. */
  end(error: MillraceError | undefined): void
  /** Tells one of the state, and of the end: who comes late hears it too. */
  tell(subscriber: Subscriber): void
  tellEnd(subscriber: Subscriber, error: MillraceError | undefined): void
}

/** What may wait for a frame per subscriber. */
const LARGEST_BATCH = 10_000

export function createSubscribers(
  clock: Clock,
  key: string,
  getState: () => ChannelState<unknown>,
  onOverflow: (subscriber: Subscriber, silently: boolean) => void,
): Subscribers {
  const members = new Set<Subscriber>()
  /** A copy to iterate over while members come and go, made anew only after they did. */
  let list: readonly Subscriber[] = []
  let watchers: readonly Subscriber[] = []
  let listed = true
  let cancelFrame: (() => void) | undefined

  return {
    size: () => members.size,
    all: () => [...members],
    add(subscriber) {
      members.add(subscriber)
      listed = false
    },
    remove(subscriber) {
      subscriber.active = false
      members.delete(subscriber)
      listed = false
      if (members.size > 0) return
      cancelFrame?.()
      cancelFrame = undefined
    },
    publish,
    stateChanged,
    flush,
    end(error) {
      flush()
      refresh()
      for (const subscriber of list) tellEnd(subscriber, error)
    },
    tell: tellState,
    tellEnd,
  }

  function refresh(): void {
    if (listed) return
    list = [...members]
    watchers = list.filter(({ observer }) => observer.state)
    listed = true
  }

  function publish(event: StreamEvent): void {
    refresh()
    const now = list
    for (let i = 0; i < now.length; i++) {
      const subscriber = now[i] as Subscriber
      if (!subscriber.active) continue
      if (subscriber.delivery !== 'each') {
        buffer(subscriber, event)
        continue
      }
      const { observer } = subscriber
      try {
        if (observer.next) observer.next(event)
        else observer.batch?.([event])
      } catch (error) {
        reportException(error)
      }
    }
  }

  function buffer(subscriber: Subscriber, event: StreamEvent): void {
    if (!subscriber.observer.next && !subscriber.observer.batch) return
    subscriber.buffer ??= []
    const waiting = subscriber.buffer
    const latestOnly = subscriber.delivery === 'latest'
    if (waiting.length >= (latestOnly ? 1 : LARGEST_BATCH)) {
      waiting.shift()
      onOverflow(subscriber, latestOnly)
    }
    waiting.push(event)
    armFrame()
  }

  function armFrame(): void {
    cancelFrame ??= clock.frame(flush, `frame ${key}`)
  }

  function flush(): void {
    cancelFrame?.()
    cancelFrame = undefined
    refresh()
    for (const subscriber of list) {
      const { observer, buffer: events } = subscriber
      subscriber.buffer = undefined
      if (events && observer.batch && subscriber.delivery === 'frame')
        attempt(() => subscriber.active && observer.batch?.(events))
      else for (const event of events ?? []) attempt(() => subscriber.active && observer.next?.(event))
      if (subscriber.owedState) tellState(subscriber)
    }
  }

  function stateChanged(now: boolean): void {
    refresh()
    for (const subscriber of watchers) {
      if (now || subscriber.delivery === 'each') tellState(subscriber)
      else if (!subscriber.owedState) {
        subscriber.owedState = true
        armFrame()
      }
    }
  }

  function tellState(subscriber: Subscriber): void {
    subscriber.owedState = false
    if (subscriber.active) attempt(() => subscriber.observer.state?.(getState()))
  }

  function tellEnd({ active, observer }: Subscriber, error: MillraceError | undefined): void {
    if (active) attempt(() => (error ? observer.error?.(error) : observer.complete?.()))
  }

  function attempt(tell: () => unknown): void {
    try {
      tell()
    } catch (error) {
      reportException(error)
    }
  }
}
