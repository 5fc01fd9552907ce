/**
 * What a channel knows: its state, as events and snapshots make it.
 *
 * Older never overwrites newer. While a snapshot is on its way, what the stream brings is recorded; when it is there,
 * the state becomes the snapshot with every event after its position folded on top, wherever the answer came from and
 * however late. `held` records were not handed out yet (the state that they apply to is not known), the others were.
 */
import { reportException } from '../primitives/errors'
import { shareStructure } from '../primitives/structural-sharing'
import { charactersOf, type Message } from '../stream/messages'
import { decode, decodePlain, isPlain } from './decode'
import type { ChannelDefinition, Position, StreamEvent } from './define-channel'
import { EventRate } from './event-rate'
import { createSequencer, type Sequencer } from './sequencer'

/** What outlives the last subscriber for a while. */
export interface KeptData {
  readonly value: unknown
  readonly updatedAt: number | undefined
}

/** What became of the events so far. */
export interface ChannelCounts {
  events: number
  duplicates: number
  outOfOrder: number
  invalid: number
  ignored: number
  overflowed: number
}

/** Whose data it is. */
export interface DataOwner {
  definition(): ChannelDefinition
  now(): number
  /** Hands an event to the subscribers; it has changed the value, or not. */
  publish(event: StreamEvent, changed: boolean): void
  /** The value, or what is known about it, is another. */
  dataChanged(): void
  terminal(): void
  /** Events are missing: answers whether a snapshot will make up for them. */
  gap(why: string): boolean
  invalid(why: string): void
  overflow(): void
  /** What waits takes so many bytes more, or less. */
  account(bytes: number): void
  /** Wakes `run` when missing events have been waited for long enough. Returns the cancellation. */
  patience(run: () => void): () => void
  /** What the stream brought after this id; undefined if it is not known. */
  since(id: string): readonly Message[] | undefined
  /** The stream's, '' if it has none. */
  lastEventId(): string
}

interface Recorded {
  readonly event: StreamEvent
  readonly message: Message
  readonly held: boolean
}

/**
 * A snapshot that may be ahead of the stream. If the stream resumes from before it, events are `passed` over, since
 * the state contains them, until its position turns up. Otherwise, and when that takes too long, the snapshot is taken
 * to be behind: events are folded, and should its position turn up after all, the state is the snapshot again.
 */
interface Ahead {
  readonly id: string
  readonly value: unknown
  passed: StreamEvent[] | undefined
}

/** How many events may wait: for a snapshot, or for its position. */
const MOST_WAITING = 10_000
/** What those that wait for a snapshot may take. */
const MOST_CHARACTERS = 8 * 2 ** 20

export class ChannelData {
  readonly counts: ChannelCounts = { events: 0, duplicates: 0, outOfOrder: 0, invalid: 0, ignored: 0, overflowed: 0 }
  readonly rate: EventRate = new EventRate()
  value: unknown
  /** ms since the epoch, when `value` last changed. */
  updatedAt: number | undefined
  /** The value is from before: a snapshot or an event will replace it. */
  isKept: boolean
  /** Events wait for a snapshot. */
  isHolding = false
  readonly #owner: DataOwner
  readonly #initial: unknown
  /** Whether `value` is something that events may be folded onto. */
  #hasBase = false
  #recorded: Recorded[] | undefined
  /** What they take. */
  #characters = 0
  /** The stream's last id when recording began. */
  #recordedAfter: string | undefined
  #sequencer: Sequencer<{ event: StreamEvent; message: Message | undefined }> | undefined
  #stopPatience: (() => void) | undefined
  #ahead: Ahead | undefined
  #stopAhead: (() => void) | undefined
  #ended = false

  constructor(owner: DataOwner, kept: KeptData | undefined) {
    this.#owner = owner
    this.#initial = owner.definition().initial
    this.value = kept ? kept.value : this.#initial
    this.updatedAt = kept?.updatedAt
    this.isKept = kept !== undefined
  }

  /** A snapshot is on its way; with `hold`, events wait for it. */
  expectSnapshot(hold: boolean): void {
    this.isHolding ||= hold
    if (this.#recorded) return
    this.#recordedAfter = this.#owner.lastEventId()
    this.#recorded = []
  }

  /** There is no snapshot to be had for now: goes on without, if there is something to fold onto. Answers whether there is. */
  giveUpSnapshot(): boolean {
    if (!this.#hasBase && this.#owner.definition().reduce && this.#initial === undefined) return false
    this.#release()
    return true
  }

  /** The server began anew: what it sent before no longer counts. */
  restart(why: string): void {
    this.#sequencer = undefined
    this.#forgetAhead()
    this.#owner.gap(why)
  }

  dispose(): void {
    this.#ended = true
    this.#takeRecorded()
    this.#stopPatience?.()
    this.#stopAhead?.()
  }

  /** Messages of the stream, in order. */
  accept(messages: readonly Message[]): void {
    const now = this.#owner.now()
    this.rate.add(messages.length, now)
    let i = 0
    if (isPlain(this.#owner.definition()))
      while (i < messages.length && !this.#ended && !this.#recorded && !this.#ahead)
        this.#acceptPlain(messages[i++] as Message, now)
    while (i < messages.length && !this.#ended) this.#accept(messages[i++] as Message, now)
  }

  /** What most channels need, without a detour: a tenth faster than the way below, for the same outcome. */
  #acceptPlain(message: Message, now: number): void {
    const event = decodePlain(message, now)
    const changed = this.value !== event.data
    this.value = event.data
    this.#hasBase = true
    this.isKept = false
    this.counts.events++
    if (changed) this.updatedAt = now
    this.#owner.publish(event, changed)
    if (changed) this.#owner.dataChanged()
  }

  #accept(message: Message, now: number): void {
    try {
      const decoded = decode(this.#owner.definition(), message, now)
      if (typeof decoded === 'object') this.#record(decoded, message)
      else if (decoded === undefined) this.counts.ignored++
      else {
        this.counts.invalid++
        this.#owner.invalid(decoded)
      }
      // A snapshot may stand at an event of another channel's.
      if (!this.isHolding && this.#meetsAhead(message)) this.#owner.dataChanged()
    } catch (error) {
      // A function of the channel's own threw: that concerns this event, not the connection.
      this.counts.invalid++
      reportException(error)
    }
  }

  #record(event: StreamEvent, message: Message): void {
    this.#recorded?.push({ event, message, held: this.isHolding })
    if (this.#recorded) this.#grow(charactersOf(message))
    while (this.#recorded && (this.#recorded.length > MOST_WAITING || this.#characters > MOST_CHARACTERS)) {
      const { message, held } = this.#recorded.shift() as Recorded
      this.#grow(-charactersOf(message))
      if (!held) continue
      this.counts.overflowed++
      this.#owner.overflow()
    }
    if (!this.isHolding) this.#order(event, message)
  }

  #grow(characters: number): void {
    this.#characters += characters
    this.#owner.account(2 * characters)
  }

  /** The recording ends. */
  #takeRecorded(): readonly Recorded[] {
    const records = this.#recorded ?? []
    this.#recorded = undefined
    this.#grow(-this.#characters)
    return records
  }

  /** Brings events into the order of their sequence numbers, where the channel has some. */
  #order(event: StreamEvent, message: Message | undefined): void {
    if (!this.#owner.definition().sequence) return this.#take(event, message)
    const number = this.#numberOf(event)
    if (!Number.isSafeInteger(number)) {
      this.counts.invalid++
      return this.#owner.invalid('has no whole number for its `sequence`')
    }
    this.#sequencer ??= createSequencer()
    const ready = this.#sequencer.accept(number, { event, message })
    if (ready === 'duplicate') {
      this.counts.duplicates++
      return
    }
    if (ready.length === 0) this.counts.outOfOrder++
    for (const next of ready) this.#take(next.event, next.message)
    this.#awaitMissing()
  }

  /** NaN for an event whose number cannot be told. */
  #numberOf(event: StreamEvent): number {
    try {
      return this.#owner.definition().sequence?.(event) ?? Number.NaN
    } catch (error) {
      reportException(error)
      return Number.NaN
    }
  }

  #awaitMissing(): void {
    if (!this.#sequencer?.waiting) {
      this.#stopPatience?.()
      this.#stopPatience = undefined
    } else if (this.#sequencer.isFull) this.#missing()
    else this.#stopPatience ??= this.#owner.patience(() => this.#missing())
  }

  #missing(): void {
    this.#stopPatience?.()
    this.#stopPatience = undefined
    if (!this.#owner.gap(`events after number ${this.#sequencer?.last} are missing`)) this.#skipMissing()
  }

  #skipMissing(): void {
    for (const { event, message } of this.#sequencer?.skip() ?? []) this.#take(event, message)
  }

  /** One event, in order: folds it, hands it out, looks whether it is the last. */
  #take(event: StreamEvent, message: Message | undefined): void {
    if (this.#ended) return
    const before = this.value
    if (!this.#ahead?.passed) this.#fold(event)
    else if (this.#ahead.passed.push(event) > MOST_WAITING) this.#foldPassed()
    if (message) this.#meetsAhead(message)
    this.#hand(event, this.value !== before)
  }

  #expectAhead(id: string, surely: boolean): void {
    this.#ahead = { id, value: this.value, passed: surely ? [] : undefined }
    if (surely) this.#awaitPosition()
  }

  /** A position that does not come although events do is not one of this stream's. */
  #awaitPosition(): void {
    this.#stopAhead = this.#owner.patience(() => {
      if (this.#ahead?.passed?.length === 0) this.#awaitPosition()
      else if (this.#foldPassed()) this.#owner.dataChanged()
    })
  }

  /** Answers whether this changes the state. */
  #meetsAhead({ lastEventId }: Message): boolean {
    if (lastEventId !== this.#ahead?.id) return false
    const before = this.value
    this.value = this.#ahead.value
    if (this.value !== before) this.updatedAt = this.#owner.now()
    this.#forgetAhead()
    return this.value !== before
  }

  #forgetAhead(): void {
    this.#stopAhead?.()
    this.#ahead = undefined
  }

  /** The position of the snapshot did not come: it was behind. Answers whether that changes the state. */
  #foldPassed(): boolean {
    const before = this.value
    for (const event of this.#ahead?.passed ?? []) this.#fold(event)
    if (this.#ahead) this.#ahead.passed = undefined
    if (this.value !== before) this.updatedAt = this.#owner.now()
    return this.value !== before
  }

  #hand(event: StreamEvent, changed: boolean): void {
    this.counts.events++
    // What was held is handed out later than it came.
    if (changed) this.updatedAt = Math.max(this.updatedAt ?? 0, event.receivedAt)
    const last = this.#isTerminal(event)
    if (last) this.#ended = true
    this.#owner.publish(event, changed)
    if (changed) this.#owner.dataChanged()
    if (last) this.#owner.terminal()
  }

  #fold(event: StreamEvent): void {
    const { reduce } = this.#owner.definition()
    try {
      this.value = reduce ? reduce(this.#hasBase ? this.value : this.#initial, event) : event.data
      this.#hasBase = true
      this.isKept = false
    } catch (error) {
      reportException(error)
    }
  }

  #isTerminal(event: StreamEvent): boolean {
    try {
      return this.#owner.definition().until?.(event) === true
    } catch (error) {
      reportException(error)
      return false
    }
  }

  applySnapshot(snapshot: unknown, position: Position | undefined, resumed: boolean): void {
    const records = this.#takeRecorded()
    this.isHolding = false
    const before = this.value
    const isFirst = !this.#hasBase
    const id = position?.id
    const at = records.findLastIndex(({ message }) => message.lastEventId === id)
    /** What the snapshot does not contain, if that is known: of the records, or of what came even before them. */
    const news = id !== undefined && (at >= 0 || id === this.#recordedAfter) ? records.slice(at + 1) : undefined
    const earlier = id === undefined || news ? undefined : this.#owner.since(id)
    const { sequence } = this.#owner.definition()
    const upTo = sequence && position?.sequence
    if (sequence) this.#sequencer ??= createSequencer()
    const sequencer = this.#sequencer

    // A cached answer from before what was applied already, without a gap to fill, has nothing to say.
    const outdated =
      upTo !== undefined &&
      this.#hasBase &&
      sequencer?.last !== undefined &&
      upTo < sequencer.last &&
      !sequencer.waiting
    if (!outdated) {
      this.value = shareStructure(this.value, snapshot)
      this.#hasBase = true
      this.isKept = false
      this.#forgetAhead()
      if (earlier) {
        const held = new Set(records.filter((record) => record.held).map(({ message }) => message))
        this.#refold(earlier.filter((message) => !held.has(message)))
      } else {
        const isAhead = id !== undefined && !news && upTo === undefined
        // A stream that resumes from before the snapshot has brought nothing from after it yet.
        if (!isAhead || !resumed)
          for (const { event, held } of news ?? records)
            if (!held && !(upTo !== undefined && this.#numberOf(event) <= upTo)) this.#fold(event)
        if (isAhead) this.#expectAhead(id, resumed)
      }
    }
    if (this.value !== before || this.updatedAt === undefined) this.updatedAt = this.#owner.now()
    // The first one is news even if it says what was assumed, or kept, before.
    if (this.value !== before || isFirst) this.#owner.dataChanged()

    records.forEach(({ event, message, held }, index) => {
      if (!held || this.#ended) return
      const contained =
        upTo !== undefined
          ? this.#numberOf(event) <= upTo
          : news
            ? index <= at
            : earlier !== undefined && !earlier.includes(message)
      if (!contained) this.#order(event, message)
      // It is in the state already; it is still news if it was missed before, or the last word.
      else if (resumed || this.#isTerminal(event)) this.#hand(event, false)
    })
    if (upTo === undefined) this.#skipMissing()
    else
      for (const { event, message } of sequencer?.continueAfter(Math.max(upTo, sequencer.last ?? upTo)) ?? [])
        this.#take(event, message)
    this.#awaitMissing()
  }

  /** Folds what was handed out already onto a snapshot that does not contain it. */
  #refold(messages: readonly Message[]): void {
    for (const message of messages) {
      const decoded = decode(this.#owner.definition(), message, this.#owner.now())
      if (typeof decoded === 'object') this.#fold(decoded)
    }
  }

  /** Hands out what was held, as it came. */
  #release(): void {
    const records = this.#takeRecorded()
    this.isHolding = false
    for (const { event, message, held } of records) if (held) this.#order(event, message)
    this.#skipMissing()
  }
}
