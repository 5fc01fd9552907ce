/** A channel that somebody wants: joins its sources, shows how they are doing, and leaves them when nobody does any more. */
import type { JsonAnswer } from '../network/coordinated-fetch'
import type { AlertCode } from '../primitives/alerts'
import { MillraceError, reportException } from '../primitives/errors'
import { issueAt } from '../primitives/printable'
import type { SnapshotSource } from '../sources/snapshot-source'
import type { StreamSource, StreamState } from '../sources/stream-source'
import { type ChannelData, createChannelData, type KeptData } from './channel-data'
import {
  type ChannelState,
  type Connectivity,
  complete,
  failed,
  fromFallback,
  fromSnapshot,
  fromStream,
  idle,
  isGivenUp,
} from './channel-state'
import type { ChannelDefinition } from './define-channel'
import type { RegistryContext } from './registry-context'
import { isRolledOut } from './rollout'
import { createSubscribers, type Subscriber, type Subscribers } from './subscribers'

/** What is kept of a channel for the next subscriber. */
export interface Kept extends KeptData {
  readonly isComplete: boolean
}

export interface LiveChannel {
  readonly key: string
  definition(): ChannelDefinition
  /** The newest description wins: identity is the key's, functions may be made anew at every render. */
  redefine(definition: ChannelDefinition): void
  state(): ChannelState<unknown>
  readonly subscribers: Subscribers
  data(): ChannelData
  stream(): StreamSource | undefined
  snapshot(): SnapshotSource | undefined
  add(subscriber: Subscriber): void
  remove(subscriber: Subscriber): void
  /** Asks for the snapshot now, or connects now; a failed or complete channel starts again. */
  refresh(): Promise<void>
  /** Settings have changed. */
  reconsider(): void
  /** Leaves its sources, forgets what it knows, and starts anew for those who subscribe. */
  reset(): void
  /** Nothing may be pending any more: hands out what waits, and does not wait for a next subscriber. */
  quiet(): void
  /** Ends it for all who subscribe. */
  close(error: MillraceError): void
}

const DEFAULT_GRACE = 1_000
const DEFAULT_EVENT_BYTES = 2 ** 20
/** ms that missing events are waited for. */
const PATIENCE = 2_000

export function createLiveChannel(
  key: string,
  first: ChannelDefinition,
  kept: Kept | undefined,
  context: RegistryContext,
  onGone: (kept: Kept) => void,
): LiveChannel {
  const { clock, settings, alert, counters } = context
  let definition = first
  let data = makeData(kept)
  let stream: StreamSource | undefined
  let snapshot: SnapshotSource | undefined
  let leaveStream: (() => void) | undefined
  let leaveSnapshot: (() => void) | undefined
  let ended: Connectivity | undefined = kept?.isComplete ? complete : undefined
  let isPolling = false
  /** The stream was not open, so what was polled meanwhile is newer than what it will replay. */
  let wasPolled = false
  let snapshotFailed = false
  let snapshotError: MillraceError | undefined
  /** What is wrong with the last answer, though it came. */
  let bodyError: MillraceError | undefined
  let isOpen = false
  let hasOpened = false
  let cancelGrace: (() => void) | undefined
  let state: ChannelState<unknown> | undefined
  const subscribers = createSubscribers(clock, key, stateNow, onOverflow)

  return {
    key,
    definition: () => definition,
    redefine(next) {
      definition = next
    },
    state: stateNow,
    subscribers,
    data: () => data,
    stream: () => stream,
    snapshot: () => snapshot,
    add(subscriber) {
      cancelGrace?.()
      cancelGrace = undefined
      counters.asked++
      if (isJoined()) counters.shared++
      else if (!ended) join(false)
      subscriber.owedState = true
      subscribers.add(subscriber)
      snapshot?.reschedule()
      const endedBefore = ended
      queueMicrotask(() => {
        if (subscriber.owedState) subscribers.tell(subscriber)
        if (endedBefore) subscribers.tellEnd(subscriber, endedBefore.error)
      })
    },
    remove(subscriber) {
      subscribers.remove(subscriber)
      if (subscribers.size() > 0) snapshot?.reschedule()
      else cancelGrace = clock.after(definition.grace ?? DEFAULT_GRACE, vanish, `grace ${key}`)
    },
    refresh,
    reconsider() {
      if (!isJoined()) return
      const streams = mayStream()
      if (streams === (stream !== undefined)) snapshot?.reschedule()
      else {
        leave()
        join(true)
      }
    },
    reset() {
      leave()
      data.dispose()
      data = makeData(undefined)
      ended = undefined
      if (subscribers.size() === 0) return quiet()
      join(false)
      changed()
    },
    quiet,
    close(error) {
      end(failed(error))
      cancelGrace?.()
      for (const subscriber of subscribers.all()) subscribers.remove(subscriber)
    },
  }

  function quiet(): void {
    subscribers.flush()
    if (subscribers.size() > 0) return
    cancelGrace?.()
    vanish()
  }

  function isJoined(): boolean {
    return leaveStream !== undefined || leaveSnapshot !== undefined
  }

  function mayStream(): boolean {
    const { rollout } = settings
    if (!definition.stream) return false
    return definition.snapshot === undefined || (settings.streaming && (!rollout || isRolledOut(rollout)))
  }

  /** `again`: it was joined before, so its requests are background ones. */
  function join(again: boolean): void {
    if (definition.snapshot) snapshot = context.snapshotSource(definition.snapshot, key)
    if (definition.stream && mayStream()) stream = context.streamSource(definition.stream, key)
    // The stream comes first: an event between the two would be lost the other way round.
    const { maxEventBytes = DEFAULT_EVENT_BYTES, whenHidden, idleTimeout } = definition
    leaveStream = stream?.attach({
      idleTimeout,
      maxEventBytes,
      whenHidden: whenHidden ?? 'keep',
      hasFallback: hasFallback(),
      again,
      channel: key,
      label: labelNow,
      onState: onStream,
      onMessages: (messages) => data.accept(messages),
      onRestart: () => data.restart(),
    })
    leaveSnapshot = snapshot?.attach({
      whenHidden: whenHidden ?? 'pause',
      again,
      channel: key,
      interval: pollInterval,
      askers: () => subscribers.size(),
      label: labelNow,
      onState: onSnapshot,
      onAsk() {
        if (isOpen) data.expectSnapshot(false)
        return isOpen
      },
      onAnswer,
      onError: onSnapshotError,
    })
    if (stream) onStream(stream.state())
    changed()
  }

  function leave(): void {
    leaveStream?.()
    leaveSnapshot?.()
    leaveStream = leaveSnapshot = stream = snapshot = snapshotError = bodyError = undefined
    isOpen = hasOpened = isPolling = wasPolled = snapshotFailed = false
  }

  /** The grace is over: nothing of the channel is left but what it knew. */
  function vanish(): void {
    cancelGrace = undefined
    const value = data.value()
    const updatedAt = data.updatedAt()
    const isComplete = ended?.status === 'complete'
    leave()
    data.dispose()
    onGone({ value, updatedAt, isComplete })
  }

  function end(how: Connectivity): void {
    leave()
    data.dispose()
    ended = how
    changed()
    subscribers.end(how.error)
  }

  function hasFallback(): boolean {
    return definition.snapshot !== undefined && definition.fallback !== 'none'
  }

  function labelNow(): string {
    return subscribers.all().find(({ label }) => label)?.label ?? key
  }

  /** ms between polls; undefined while the stream is enough. */
  function pollInterval(): number | undefined {
    if (stream && !isPolling && !snapshotFailed) return undefined
    const asked = subscribers.all().map(({ interval }) => interval ?? Infinity)
    return Math.min(definition.interval ?? settings.interval, ...asked)
  }

  function onStream(next: StreamState): void {
    if (!stream || ended) return
    if (next.name === 'complete' || next.name === 'failed') {
      data.giveUpSnapshot()
      const last = next.name === 'failed' ? failed(next.error) : complete
      if (!snapshot || data.updatedAt() !== undefined || last.error) return end(last)
      // What has ended before anybody came is still to be shown.
      const mine = snapshot
      void snapshot.pull('foreground', true).then(() => mine === snapshot && end(last))
    }
    const opened = next.name === 'open' && !isOpen
    isOpen = next.name === 'open'
    const polls = hasFallback() && isGivenUp(next)
    if (polls !== isPolling) {
      isPolling = polls
      wasPolled ||= polls
      snapshot?.reschedule(polls)
    }
    if (opened) onOpened(stream)
    changed()
  }

  /** Does what the stream missed have to come from the snapshot? */
  function onOpened(source: StreamSource): void {
    const resumed = source.resumed()
    const first = !hasOpened
    hasOpened = true
    if (snapshot && (first || wasPolled || !resumed || definition.replay === false || data.isHolding()))
      resync(first ? 'foreground' : 'background')
    wasPolled = false
  }

  function resync(kind: 'foreground' | 'background'): void {
    data.expectSnapshot(true)
    void snapshot?.pull(kind, true)
  }

  function onSnapshot(): void {
    if (!snapshot || ended) return
    const next = snapshot.state()
    snapshotError = 'error' in next ? next.error : undefined
    changed()
  }

  /** A stream goes on without its snapshot, if there is something to fold onto; the snapshot is asked for again, slowly. */
  function onSnapshotError(error: MillraceError, final: boolean): void {
    if (ended) return
    const goesOn = stream ? data.giveUpSnapshot() : !final
    if (final && !goesOn) end(failed(error))
    else if (stream && !final && !isPolling) snapshotFailed = true
  }

  function onAnswer({ value, headers }: JsonAnswer, endpoint: string): void {
    const { schema } = definition
    const result = schema?.['~standard'].validate(value)
    if (result instanceof Promise) {
      const mine = data
      result.then((late) => mine === data && settle(late), reportException)
    } else settle(result)

    function settle(validated: Awaited<typeof result>): void {
      if (ended) return
      let why = 'could not be taken by `fromSnapshot` or `position`, which threw'
      try {
        if (validated?.issues) {
          why = `does not fit its schema${issueAt(validated.issues)}`
          throw undefined
        }
        const body = validated ? validated.value : value
        const { fromSnapshot: shape, position } = definition
        const id = headers.get('last-event-id')
        const where = position ? position(body, headers) : id === null ? undefined : { id }
        const resumes = stream !== undefined && (isOpen ? stream.resumed() : stream.lastEventId() !== '')
        data.applySnapshot(shape ? shape(body) : body, stream && where, resumes)
        snapshotFailed = false
        bodyError = undefined
      } catch (thrown) {
        if (thrown) reportException(thrown)
        data.counts.invalid++
        warn('invalid-event', `a snapshot ${why}.`)
        const message = `${endpoint} answered with a body that ${why}: the server has changed, or the channel is wrong.`
        bodyError = new MillraceError('invalid-body', message, { endpoint, cause: thrown })
        if (stream && !data.giveUpSnapshot()) return end(failed(bodyError))
        changed()
      }
    }
  }

  async function refresh(): Promise<void> {
    const restarts = ended !== undefined
    if (restarts) {
      ended = undefined
      const value = data.value()
      const updatedAt = data.updatedAt()
      data = makeData({ value, updatedAt })
      if (subscribers.size() > 0) join(true)
      changed()
    }
    if (!isJoined()) {
      // Nobody subscribes: the snapshot alone is asked, for whoever comes next.
      if (!definition.snapshot) return
      const visit = context.snapshotSource(definition.snapshot, key)
      const leaveVisit = visit.attach({
        whenHidden: 'keep',
        again: true,
        channel: key,
        interval: () => undefined,
        askers: () => 1,
        label: () => key,
        onState() {},
        onAsk: () => false,
        onAnswer,
        onError() {},
      })
      await visit.pull('background', false)
      leaveVisit()
      if (subscribers.size() === 0 && !cancelGrace) vanish()
      return
    }
    if (stream && stream.state().name !== 'open') stream.restart()
    snapshot?.reschedule(true)
    await snapshot?.pull('background', false)
  }

  function makeData(from: KeptData | undefined): ChannelData {
    return createChannelData(() => definition, from, {
      now: clock.now,
      publish(event, hasChanged) {
        if (hasChanged) state = undefined
        subscribers.publish(event)
        context.onEvent(key, event)
      },
      changed: () => {
        state = undefined
        subscribers.stateChanged(false)
      },
      terminal: () => end(complete),
      gap(why) {
        warn(
          'gap',
          `${why}. ${snapshot ? 'The snapshot is asked for again' : 'There is no snapshot to make up for it'}.`,
        )
        if (snapshot) resync('background')
        return snapshot !== undefined
      },
      invalid: (why) => warn('invalid-event', `an event ${why}. It is dropped.`),
      overflow: () => warn('overflow', 'too many events came before its snapshot did. The oldest are dropped.'),
      patience: (run) => clock.after(PATIENCE, run, `missing events ${key}`),
      since: (id) => stream?.since(id),
      lastEventId: () => stream?.lastEventId() ?? '',
    })
  }

  function onOverflow({ label, id }: Subscriber, silently: boolean): void {
    data.counts.overflowed++
    if (!silently) warn('overflow', `"${label ?? id}" takes events too slowly. The oldest are dropped.`, label)
  }

  function warn(code: AlertCode, what: string, subscriber?: string): void {
    const endpoint = (stream ?? snapshot)?.endpoint()
    alert({ code, message: `${endpoint ?? key}: ${what}`, endpoint, channel: key, subscriber })
  }

  function connectivity(): Connectivity {
    if (ended) return ended
    const hasData = data.updatedAt() !== undefined && !data.isKept()
    if (stream) {
      if (isPolling && snapshot) return fromFallback(stream.state(), snapshot.state(), hasData)
      if (isOpen && data.isHolding() && snapshot && snapshotError) return fromSnapshot(snapshot.state(), hasData)
      const shown = fromStream(stream.state(), !data.isHolding() || hasData)
      return shown.status === 'live' ? { ...shown, error: snapshotError ?? bodyError } : shown
    }
    return snapshot ? fromSnapshot(snapshot.state(), hasData, bodyError) : idle
  }

  function stateNow(): ChannelState<unknown> {
    if (state) return state
    const { status, ...rest } = connectivity()
    const current = status === 'complete' || ((status === 'live' || status === 'polling') && !data.isHolding())
    state = Object.freeze({
      status,
      ...rest,
      data: data.value(),
      updatedAt: data.updatedAt(),
      role: isJoined() ? ('solo' as const) : undefined,
      isStale: data.updatedAt() !== undefined && (data.isKept() || !current),
    })
    return state
  }

  /** Connectivity may be another; tells only if it is. */
  function changed(): void {
    const before = state
    state = undefined
    const now = stateNow()
    if (
      before &&
      Object.keys(now).every((name) => Object.is(before[name as keyof typeof now], now[name as keyof typeof now]))
    ) {
      state = before
      return
    }
    subscribers.stateChanged(true)
    context.onStatus(key, now)
  }
}
