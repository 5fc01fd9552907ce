/**
 * What a channel knows: its state, as events and snapshots make it.
 *
 * Older never overwrites newer. While a snapshot is on its way, what the stream brings is recorded; when it is there,
 * the state becomes the snapshot with every event after its position folded on top, wherever the answer came from and
 * however late. `held` records were not handed out yet (the state that they apply to is not known), the others were.
 */
import { reportException } from '../primitives/errors'
import { shareStructure } from '../primitives/structural-sharing'
import type { Message } from '../stream/messages'
import { decode } from './decode'
import type { ChannelDefinition, Position, StreamEvent } from './define-channel'
import { createSequencer, type Sequencer } from './sequencer'

/** What outlives the last subscriber for a while. */
export interface KeptData {
  readonly value: unknown
  readonly updatedAt: number | undefined
}

export interface ChannelDataHooks {
  now(): number
  /** Hands an event to the subscribers; it has changed the value, or not. */
  publish(event: StreamEvent, changed: boolean): void
  /** The value, or what is known about it, is another. */
  changed(): void
  terminal(): void
  /** Events are missing: `resync` answers whether a snapshot will make up for them. */
  gap(why: string): boolean
  invalid(why: string): void
  overflow(): void
  /** Wakes `run` when missing events have been waited for long enough. Returns the cancellation. */
  patience(run: () => void): () => void
  /** What the stream brought after this id; undefined if it is not known. */
  since(id: string): readonly Message[] | undefined
  /** The stream's, '' if it has none. */
  lastEventId(): string
}

/** Asked by methods, since an accessor in a literal costs each object a dictionary of its own. */
export interface ChannelData {
  value(): unknown
  /** ms since the epoch, when `value` last changed. */
  updatedAt(): number | undefined
  /** The value is from before: a snapshot or an event will replace it. */
  isKept(): boolean
  isHolding(): boolean
  readonly counts: {
    events: number
    duplicates: number
    outOfOrder: number
    invalid: number
    ignored: number
    overflowed: number
  }
  perSecond(): number
  /** Messages of the stream, in order. */
  accept(messages: readonly Message[]): void
  /** A snapshot is on its way; with `hold`, events wait for it. */
  expectSnapshot(hold: boolean): void
  /** The snapshot is there. `resumed`: the stream resumes from an id, so events that it contains were missed, not early. */
  applySnapshot(value: unknown, position: Position | undefined, resumed: boolean): void
  /** There is no snapshot to be had for now: goes on without, if there is something to fold onto. Answers whether there is. */
  giveUpSnapshot(): boolean
  /** The server began anew. */
  restart(): void
  dispose(): void
}

interface Recorded {
  readonly event: StreamEvent
  readonly message: Message
  readonly held: boolean
}

/** How many events may wait: for a snapshot, or for its position. */
const MOST_WAITING = 10_000

export function createChannelData(
  definition: () => ChannelDefinition,
  kept: KeptData | undefined,
  hooks: ChannelDataHooks,
): ChannelData {
  const { initial } = definition()
  const counts = { events: 0, duplicates: 0, outOfOrder: 0, invalid: 0, ignored: 0, overflowed: 0 }
  let value = kept ? kept.value : initial
  let updatedAt = kept?.updatedAt
  let isKept = kept !== undefined
  /** Whether `value` is something that events may be folded onto. */
  let hasBase = false
  let recorded: Recorded[] | undefined
  /** The stream's last id when recording began. */
  let recordedAfter: string | undefined
  let holding = false
  let sequencer: Sequencer<{ event: StreamEvent; message: Message | undefined }> = createSequencer()
  let stopPatience: (() => void) | undefined
  /**
   * A snapshot that may be ahead of the stream. If the stream resumes from before it, events are `passed` over, since
   * the state contains them, until its position turns up. Otherwise, and when that takes too long, the snapshot is taken
   * to be behind: events are folded, and should its position turn up after all, the state is the snapshot again.
   */
  let ahead: { readonly id: string; readonly value: unknown; passed: StreamEvent[] | undefined } | undefined
  let stopAhead: (() => void) | undefined
  let ended = false
  let rate = { since: 0, count: 0, perSecond: 0 }

  return {
    value: () => value,
    updatedAt: () => updatedAt,
    isKept: () => isKept,
    isHolding: () => holding,
    counts,
    perSecond: () => (hooks.now() - rate.since > 2_000 ? 0 : rate.perSecond),
    accept,
    expectSnapshot(hold) {
      holding ||= hold
      if (!recorded) recordedAfter = hooks.lastEventId()
      recorded ??= []
    },
    applySnapshot,
    giveUpSnapshot() {
      const { reduce } = definition()
      if (!hasBase && reduce && initial === undefined) return false
      release()
      return true
    },
    restart() {
      sequencer = createSequencer()
      forgetAhead()
      hooks.gap('the server began anew: an id that was known came with other data')
    },
    dispose() {
      ended = true
      stopPatience?.()
      stopAhead?.()
    },
  }

  function accept(messages: readonly Message[]): void {
    const now = hooks.now()
    measure(messages.length, now)
    for (let i = 0; i < messages.length && !ended; i++) {
      const message = messages[i] as Message
      try {
        const decoded = decode(definition(), message, now)
        if (typeof decoded === 'object') {
          // Nothing to wait for, nothing to put in order: the usual case takes the shortest way.
          if (recorded || ahead || definition().sequence) record(decoded, message)
          else take(decoded, undefined)
        } else if (decoded === undefined) counts.ignored++
        else {
          counts.invalid++
          hooks.invalid(decoded)
        }
        // A snapshot may stand at an event of another channel's.
        if (!holding && meetsAhead(message)) hooks.changed()
      } catch (error) {
        // A function of the channel's own threw: that concerns this event, not the connection.
        counts.invalid++
        reportException(error)
      }
    }
  }

  function record(event: StreamEvent, message: Message): void {
    recorded?.push({ event, message, held: holding })
    if (recorded && recorded.length > MOST_WAITING && recorded.shift()?.held) {
      counts.overflowed++
      hooks.overflow()
    }
    if (!holding) order(event, message)
  }

  /** Brings events into the order of their sequence numbers, where the channel has some. */
  function order(event: StreamEvent, message: Message | undefined): void {
    if (!definition().sequence) return take(event, message)
    const number = numberOf(event)
    if (!Number.isSafeInteger(number)) {
      counts.invalid++
      return hooks.invalid('has no whole number for its `sequence`')
    }
    const ready = sequencer.accept(number, { event, message })
    if (ready === 'duplicate') {
      counts.duplicates++
      return
    }
    if (ready.length === 0) counts.outOfOrder++
    for (const next of ready) take(next.event, next.message)
    awaitMissing()
  }

  /** NaN for an event whose number cannot be told. */
  function numberOf(event: StreamEvent): number {
    try {
      return definition().sequence?.(event) ?? Number.NaN
    } catch (error) {
      reportException(error)
      return Number.NaN
    }
  }

  function awaitMissing(): void {
    if (sequencer.waiting === 0) {
      stopPatience?.()
      stopPatience = undefined
    } else if (sequencer.isFull) missing()
    else stopPatience ??= hooks.patience(missing)
  }

  function missing(): void {
    stopPatience?.()
    stopPatience = undefined
    if (!hooks.gap(`events after number ${sequencer.last} are missing`)) skipMissing()
  }

  function skipMissing(): void {
    for (const { event, message } of sequencer.skip()) take(event, message)
  }

  /** One event, in order: folds it, hands it out, looks whether it is the last. */
  function take(event: StreamEvent, message: Message | undefined): void {
    if (ended) return
    const before = value
    if (!ahead?.passed) fold(event)
    else if (ahead.passed.push(event) > MOST_WAITING) foldPassed()
    if (message) meetsAhead(message)
    hand(event, value !== before)
  }

  function expectAhead(id: string, surely: boolean): void {
    ahead = { id, value, passed: surely ? [] : undefined }
    if (surely) awaitPosition()
  }

  /** A position that does not come although events do is not one of this stream's. */
  function awaitPosition(): void {
    stopAhead = hooks.patience(() => {
      if (ahead?.passed?.length === 0) awaitPosition()
      else if (foldPassed()) hooks.changed()
    })
  }

  /** Answers whether this changes the state. */
  function meetsAhead({ lastEventId }: Message): boolean {
    if (lastEventId !== ahead?.id) return false
    const before = value
    value = ahead.value
    if (value !== before) updatedAt = hooks.now()
    forgetAhead()
    return value !== before
  }

  function forgetAhead(): void {
    stopAhead?.()
    ahead = undefined
  }

  /** The position of the snapshot did not come: it was behind. Answers whether that changes the state. */
  function foldPassed(): boolean {
    const before = value
    for (const event of ahead?.passed ?? []) fold(event)
    if (ahead) ahead.passed = undefined
    if (value !== before) updatedAt = hooks.now()
    return value !== before
  }

  function hand(event: StreamEvent, changed: boolean): void {
    counts.events++
    // What was held is handed out later than it came.
    if (changed) updatedAt = Math.max(updatedAt ?? 0, event.receivedAt)
    const last = isTerminal(event)
    if (last) ended = true
    hooks.publish(event, changed)
    if (changed) hooks.changed()
    if (last) hooks.terminal()
  }

  function fold(event: StreamEvent): void {
    const { reduce } = definition()
    try {
      value = reduce ? reduce(hasBase ? value : initial, event) : event.data
      hasBase = true
      isKept = false
    } catch (error) {
      reportException(error)
    }
  }

  function isTerminal(event: StreamEvent): boolean {
    try {
      return definition().until?.(event) === true
    } catch (error) {
      reportException(error)
      return false
    }
  }

  function applySnapshot(snapshot: unknown, position: Position | undefined, resumed: boolean): void {
    const records = recorded ?? []
    recorded = undefined
    holding = false
    const before = value
    const isFirst = !hasBase
    const id = position?.id
    const at = records.findLastIndex(({ message }) => message.lastEventId === id)
    /** What the snapshot does not contain, if that is known: of the records, or of what came even before them. */
    const news = id !== undefined && (at >= 0 || id === recordedAfter) ? records.slice(at + 1) : undefined
    const earlier = id === undefined || news ? undefined : hooks.since(id)
    const { sequence } = definition()
    const upTo = sequence && position?.sequence

    // A cached answer from before what was applied already, without a gap to fill, has nothing to say.
    const outdated =
      upTo !== undefined && hasBase && sequencer.last !== undefined && upTo < sequencer.last && sequencer.waiting === 0
    if (!outdated) {
      value = shareStructure(value, snapshot)
      hasBase = true
      isKept = false
      forgetAhead()
      if (earlier) {
        const held = new Set(records.filter((record) => record.held).map(({ message }) => message))
        refold(earlier.filter((message) => !held.has(message)))
      } else {
        const ahead = id !== undefined && !news && upTo === undefined
        // A stream that resumes from before the snapshot has brought nothing from after it yet.
        if (!ahead || !resumed)
          for (const { event, held } of news ?? records)
            if (!held && !(upTo !== undefined && numberOf(event) <= upTo)) fold(event)
        if (ahead) expectAhead(id, resumed)
      }
    }
    if (value !== before || updatedAt === undefined) updatedAt = hooks.now()
    // The first one is news even if it says what was assumed, or kept, before.
    if (value !== before || isFirst) hooks.changed()

    records.forEach(({ event, message, held }, index) => {
      if (!held || ended) return
      const contained =
        upTo !== undefined
          ? numberOf(event) <= upTo
          : news
            ? index <= at
            : earlier !== undefined && !earlier.includes(message)
      if (!contained) order(event, message)
      // It is in the state already; it is still news if it was missed before, or the last word.
      else if (resumed || isTerminal(event)) hand(event, false)
    })
    if (upTo !== undefined)
      for (const { event, message } of sequencer.continueAfter(Math.max(upTo, sequencer.last ?? upTo)))
        take(event, message)
    else if (sequencer.waiting > 0) skipMissing()
    awaitMissing()
  }

  /** Folds what was handed out already onto a snapshot that does not contain it. */
  function refold(messages: readonly Message[]): void {
    for (const message of messages) {
      const decoded = decode(definition(), message, hooks.now())
      if (typeof decoded === 'object') fold(decoded)
    }
  }

  /** Hands out what was held, as it came. */
  function release(): void {
    const records = recorded ?? []
    recorded = undefined
    holding = false
    for (const { event, message, held } of records) if (held) order(event, message)
    if (sequencer.waiting > 0) skipMissing()
  }

  function measure(count: number, now: number): void {
    rate.count += count
    const elapsed = now - rate.since
    if (elapsed >= 1_000)
      rate = { since: now, count: 0, perSecond: elapsed > 10_000 ? rate.count : (rate.count * 1_000) / elapsed }
  }
}
