/**
 * What a channel knows: its state, as events and snapshots make it.
 *
 * Older never overwrites newer. While a snapshot is on its way, what the stream brings is recorded; when it is there,
 * the state becomes the snapshot with every event after its position folded on top, wherever the answer came from and
 * however late. `held` records were not handed out yet (the state that they apply to is not known), the others were.
 */
import { lastIndexOf } from '../primitives/plain'
import { shareStructure } from '../primitives/structural-sharing'
import { charactersOf, type Message } from '../stream/messages'
import { answered } from './callbacks'
import { type Decoded, decode, decodePlain, type Invalid, isEvent, isPlain, type Reading } from './decode'
import type { ChannelDefinition, Position, StreamEvent } from './define-channel'
import { EventRate } from './event-rate'
import { createSequencer, type Sequencer } from './sequencer'

/** What outlives the last subscriber for a while. */
export interface KeptData {
  readonly value: unknown
  readonly updatedAt: number | undefined
  /** The last id of the stream that the value contains, '' if it is not known. */
  readonly lastEventId: string
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
  elapsed(): number
  /** Hands an event to the subscribers; it has changed the value, or not. */
  publish(event: StreamEvent, changed: boolean): void
  /** The value, or what is known about it, is another. */
  dataChanged(): void
  /** The last word was told: an event's, or the state's. */
  terminal(): void
  /** The last word is here, and waits for a snapshot. */
  terminalHeld(): void
  /** Events are missing: answers whether a snapshot will make up for them. */
  gap(why: string): boolean
  invalid(wrong: Invalid): void
  /** All that came so far was ignored, of these types. */
  ignored(types: readonly string[]): void
  /** A function of the channel's own threw. */
  threw(name: string, cause: unknown): void
  overflow(): void
  /** What waits takes so many bytes more, or less. */
  account(bytes: number): void
  /** Wakes `run` after so many ms, for events that are missing. Returns the cancellation. */
  patience(ms: number, run: () => void): () => void
  /** What the stream brought after this id; undefined if it is not known. */
  since(id: string): readonly Message[] | undefined
  /** Asks the stream for what came after this id. Returns the end of that. */
  fetchSince(id: string, onMessages: (messages: readonly Message[]) => void, onFailed: () => void): () => void
  /** What `normalize` made of a message. */
  readingOf(message: Message): Reading | undefined
  /** The stream's, '' if it has none. */
  lastEventId(): string
}

interface Recorded {
  readonly event: StreamEvent
  readonly message: Message
  readonly held: boolean
}

/**
 * A snapshot that stands at an id of which nothing is known: ahead of what the stream has brought, or behind it. What
 * comes waits until the id turns up, or the one after it; or else until the stream, asked for what came after that id,
 * has brought an event that waits.
 */
interface Unplaced {
  readonly id: string
  readonly value: unknown
  /** The stream resumed, so the id should turn up in what it replays. */
  readonly resumed: boolean
  /** What was fetched: it comes after the snapshot, and before what waits. */
  readonly missing: Omit<Recorded, 'held'>[]
  stop: (() => void) | undefined
}

/** How many events may wait: for a snapshot, or for its position. */
const MOST_WAITING = 10_000
/** What those that wait for a snapshot may take. */
const MOST_CHARACTERS = 8 * 2 ** 20
/** ms that missing events are waited for. */
const PATIENCE = 2_000
/** ms that a snapshot's position is waited for where the stream began of itself. */
const SHORT_PATIENCE = 250
/** So many messages of types that are not listed, and nothing else, are worth a word. */
const UNHEARD = 10

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
  #hasBase: boolean
  /** The last id that `value` contains. */
  #at: string
  /** ms since the epoch: of what is being looked at. */
  #moment = 0
  #recorded: Recorded[] | undefined
  /** What they take. */
  #characters = 0
  /** The stream's last id when recording began. */
  #recordedAfter: string | undefined
  #sequencer: Sequencer<{ event: StreamEvent; message: Message | undefined }> | undefined
  #stopPatience: (() => void) | undefined
  /** The number that was missing when a snapshot was last asked to make up for it. */
  #missed: number | undefined
  #unplaced: Unplaced | undefined
  /** The position of a snapshot that could not be placed. */
  #unplaceable: string | undefined
  /** Types that are not listed, while nothing else has come. */
  #unheard: string[] | undefined
  #ended = false

  constructor(owner: DataOwner, kept: KeptData | undefined) {
    this.#owner = owner
    this.#initial = owner.definition().initial
    this.value = kept ? kept.value : this.#initial
    this.updatedAt = kept?.updatedAt
    this.isKept = kept !== undefined
    this.#at = kept?.lastEventId ?? ''
    this.#hasBase = this.#at !== ''
  }

  /** From which id the stream must go on so that nothing is missing in `value`; '' if that is not known. */
  position(): string {
    return this.#sequencer?.waiting ? '' : this.#at
  }

  /** What was kept is what the stream goes on from. */
  confirmKept(): void {
    if (!this.isKept) return
    this.isKept = false
    this.#owner.dataChanged()
  }

  /** The stream goes on from elsewhere: what was kept is shown, but nothing is folded onto it. */
  dropKept(): void {
    if (this.isKept) this.#hasBase = false
  }

  /** Whether the state is the last one. */
  isDone(): boolean {
    const { done } = this.#owner.definition()
    return done !== undefined && this.value !== undefined && this.#asks('done', () => done(this.value))
  }

  /** A snapshot is on its way; with `hold`, events wait for it. */
  expectSnapshot(hold: boolean): void {
    // It stands elsewhere than the one before.
    if (hold) this.#forgetUnplaced()
    this.#startRecording(hold)
  }

  #startRecording(hold: boolean): void {
    this.isHolding ||= hold
    if (this.#recorded) return
    this.#recordedAfter = this.#owner.lastEventId()
    this.#recorded = []
  }

  /**
   * There is no snapshot to be had for now: goes on without, if there is something to fold onto, or if the stream is
   * `over` and nothing will be. Answers whether it does.
   */
  giveUpSnapshot(over = false): boolean {
    if (!over && !this.#hasBase && this.#owner.definition().reduce && this.#initial === undefined) return false
    this.#release()
    return true
  }

  /** The snapshot is what it was, or nothing yet. Answers whether there is something to go on from. */
  unchanged(): boolean {
    const goesOn = this.giveUpSnapshot()
    if (!goesOn || this.#ended) return goesOn
    this.isKept = false
    this.updatedAt ??= this.#owner.now()
    this.#owner.dataChanged()
    return true
  }

  /** The server began anew: what it sent before no longer counts. */
  restart(why: string): void {
    this.#sequencer = undefined
    this.#missed = undefined
    this.#at = ''
    this.#forgetUnplaced()
    this.#unplaceable = undefined
    this.dropKept()
    this.#owner.gap(why)
  }

  dispose(): void {
    this.#ended = true
    this.#takeRecorded()
    this.#forgetUnplaced()
    this.#stopPatience?.()
  }

  /** Messages of the stream, in order. */
  accept(messages: readonly Message[]): void {
    const now = this.#owner.now()
    this.#moment = now
    this.rate.add(messages.length, this.#owner.elapsed())
    let i = 0
    if (isPlain(this.#owner.definition()))
      while (i < messages.length && !this.#ended && !this.#recorded && !this.#unplaced)
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
    this.#at = message.lastEventId
    this.counts.events++
    if (changed) this.updatedAt = now
    this.#owner.publish(event, changed)
    if (changed) this.#owner.dataChanged()
  }

  #accept(message: Message, now: number): void {
    const { lastEventId } = message
    // A snapshot without anything that waits stands there until something comes.
    if (this.#unplaced && !this.#recorded) this.#startRecording(true)
    for (const event of this.#eventsOf(message, now)) if (!this.#ended) this.#record(event, message)
    if (this.#ended) return
    if (this.#unplaced) this.#lookForPlace(message)
    else if (!this.isHolding) this.#at = lastEventId
  }

  #eventsOf(message: Message, now: number): readonly StreamEvent[] {
    const definition = this.#owner.definition()
    const decoded = decode(definition, message, now, definition.normalize && this.#owner.readingOf(message))
    const events: StreamEvent[] = []
    for (const one of (Array.isArray(decoded) ? decoded : [decoded]) as readonly Decoded[]) {
      if (typeof one === 'string') this.#ignore(one)
      else if (isEvent(one)) events.push(one)
      else this.#invalid(one)
    }
    return events
  }

  #invalid(wrong: Invalid): void {
    this.counts.invalid++
    this.#owner.invalid(wrong)
  }

  #ignore(type: string): void {
    this.counts.ignored++
    if (type === '' || this.counts.events > 0) return
    this.#unheard ??= []
    if (this.#unheard.length < UNHEARD && this.#unheard.push(type) === UNHEARD)
      this.#owner.ignored([...new Set(this.#unheard)])
  }

  #record(event: StreamEvent, message: Message): void {
    const held = this.isHolding
    this.#recorded?.push({ event, message, held })
    if (this.#recorded) this.#grow(charactersOf(message))
    while (this.#recorded && (this.#recorded.length > MOST_WAITING || this.#characters > MOST_CHARACTERS)) {
      const { message, held } = this.#recorded.shift() as Recorded
      this.#grow(-charactersOf(message))
      if (!held) continue
      this.counts.overflowed++
      this.#owner.overflow()
    }
    if (!held) return this.#order(event, message)
    // What is numbered may still be missing one that comes before it.
    const { sequence } = this.#owner.definition()
    if (!sequence && !this.#unplaced && this.#isTerminal(event)) this.#owner.terminalHeld()
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
    if (!this.#owner.definition().sequence) return this.#take(event)
    const number = this.#numberOf(event)
    this.#sequencer ??= createSequencer()
    if (number === undefined) {
      if (!this.#sequencer.follow({ event, message })) this.#take(event)
      return
    }
    if (!Number.isSafeInteger(number)) return this.#invalid({ why: 'has no whole number for its `sequence`' })
    const ready = this.#sequencer.accept(number, { event, message })
    if (ready === 'duplicate') {
      this.counts.duplicates++
      return
    }
    if (ready.length === 0) this.counts.outOfOrder++
    this.#takeAll(ready)
    this.#awaitMissing()
  }

  /** Undefined for an event outside of the order, NaN for one whose number cannot be told. */
  #numberOf(event: StreamEvent): number | undefined {
    try {
      return answered(this.#owner.definition().sequence?.(event), 'a number')
    } catch (cause) {
      this.#owner.threw('sequence', cause)
      return Number.NaN
    }
  }

  #awaitMissing(): void {
    if (!this.#sequencer?.waiting) {
      this.#stopPatience?.()
      this.#stopPatience = undefined
    } else if (this.#sequencer.isFull) this.#missing()
    else this.#stopPatience ??= this.#owner.patience(PATIENCE, () => this.#missing())
  }

  /** A snapshot is asked for once: if it is no further, it will not be the next time either. */
  #missing(): void {
    this.#stopPatience?.()
    this.#stopPatience = undefined
    this.#moment = this.#owner.now()
    const last = this.#sequencer?.last
    const isAgain = this.#missed !== undefined && this.#missed === last
    this.#missed = last
    if (isAgain || !this.#owner.gap(`events after number ${last} are missing`)) this.#takeAll(this.#sequencer?.skip())
  }

  #takeAll(ready: Iterable<{ readonly event: StreamEvent }> = []): void {
    for (const { event } of ready) this.#take(event)
  }

  /** One event, in order: folds it, hands it out, looks whether it is the last. */
  #take(event: StreamEvent): void {
    if (this.#ended) return
    const before = this.value
    this.#fold(event)
    this.#hand(event, this.value !== before)
  }

  #hand(event: StreamEvent, changed: boolean): void {
    this.counts.events++
    if (changed) this.updatedAt = this.#moment
    const last = this.#isTerminal(event) || (changed && this.isDone())
    if (last) this.#ended = true
    this.#owner.publish(event, changed)
    if (changed) this.#owner.dataChanged()
    if (last) this.#owner.terminal()
  }

  #fold(event: StreamEvent): void {
    const { reduce } = this.#owner.definition()
    try {
      this.value = reduce
        ? answered(reduce(this.#hasBase ? this.value : this.#initial, event), 'the state')
        : event.data
      this.#hasBase = true
      this.isKept = false
    } catch (cause) {
      this.#owner.threw('reduce', cause)
    }
  }

  #isTerminal(event: StreamEvent): boolean {
    const { until } = this.#owner.definition()
    return until !== undefined && this.#asks('until', () => until(event))
  }

  /** Whether a function of the channel's own says so. */
  #asks(name: string, ask: () => unknown): boolean {
    try {
      return answered(ask(), 'true or false') === true
    } catch (cause) {
      this.#owner.threw(name, cause)
      return false
    }
  }

  applySnapshot(snapshot: unknown, position: Position | undefined, resumed: boolean): void {
    this.#moment = this.#owner.now()
    const records = this.#takeRecorded()
    this.#forgetUnplaced()
    this.isHolding = false
    const id = position?.id
    const at = lastIndexOf(records, ({ message }) => message.lastEventId === id)
    /** What the snapshot does not contain, if that is known: of the records, or of what came even before them. */
    const news = id !== undefined && (at >= 0 || id === this.#recordedAfter) ? records.slice(at + 1) : undefined
    const earlier = id === undefined || news ? undefined : this.#owner.since(id)
    const { sequence } = this.#owner.definition()
    const upTo = sequence && position?.sequence
    if (sequence) this.#sequencer ??= createSequencer()
    const sequencer = this.#sequencer

    if (id !== undefined && !news && !earlier && upTo === undefined && id !== this.#unplaceable)
      return this.#applyUnplaced({ id, value: snapshot, resumed, missing: [], stop: undefined }, records)

    // A cached answer from before what was applied already, without a gap to fill, has nothing to say.
    const outdated =
      upTo !== undefined &&
      this.#hasBase &&
      sequencer?.last !== undefined &&
      upTo < sequencer.last &&
      !sequencer.waiting
    if (outdated) this.isKept = false
    else if (earlier) {
      const held = new Set(records.filter((record) => record.held).map(({ message }) => message))
      this.#begin(snapshot, this.#decoded(earlier.filter((message) => !held.has(message))))
    } else {
      const isIn = (event: StreamEvent) => upTo !== undefined && (this.#numberOf(event) ?? Infinity) <= upTo
      const folded = (news ?? records).filter(({ event, held }) => !held && !isIn(event))
      this.#begin(
        snapshot,
        folded.map(({ event }) => event),
      )
    }
    const lastly = (news ? news.at(-1) : records.at(-1))?.message.lastEventId
    this.#at = lastly || id || this.#at
    const isOver = !this.#ended && this.isDone()

    records.forEach(({ event, message, held }, index) => {
      if (!held || this.#ended) return
      const number = upTo === undefined ? undefined : this.#numberOf(event)
      const contained =
        number !== undefined
          ? number <= (upTo as number)
          : news
            ? index <= at
            : earlier !== undefined && !earlier.includes(message)
      if (!contained) {
        if (!isOver) this.#order(event, message)
      }
      // It is in the state already; it is still news if it was missed before, or the last word.
      else if (resumed || this.#isTerminal(event)) this.#hand(event, false)
    })
    if (isOver) return this.#finish()
    if (upTo === undefined) this.#takeAll(sequencer?.skip())
    else this.#takeAll(sequencer?.continueAfter(Math.max(upTo, sequencer.last ?? upTo)))
    this.#awaitMissing()
  }

  /** The state is the snapshot, with these on top. */
  #begin(snapshot: unknown, events: readonly StreamEvent[]): void {
    const before = this.value
    const isFirst = !this.#hasBase || this.isKept
    this.value = shareStructure(this.value, snapshot)
    this.#hasBase = true
    this.isKept = false
    for (const event of events) this.#fold(event)
    if (this.value !== before || this.updatedAt === undefined) this.updatedAt = this.#moment
    // The first one is news even if it says what was assumed, or kept, before.
    if (this.value !== before || isFirst) this.#owner.dataChanged()
  }

  /** The state says that it is the last one. */
  #finish(): void {
    if (this.#ended) return
    this.#ended = true
    this.#owner.terminal()
  }

  // A snapshot whose place in the stream is not known.

  #applyUnplaced(unplaced: Unplaced, records: readonly Recorded[]): void {
    this.#unplaced = unplaced
    const isFirst = !this.#hasBase || this.isKept
    if (isFirst || records.length === 0) {
      this.#begin(unplaced.value, [])
      if (this.isDone()) return this.#finish()
    }
    this.#at = records.length === 0 ? unplaced.id : this.#at
    if (records.length === 0) return
    this.isHolding = true
    this.#recorded = [...records]
    this.#grow(records.reduce((sum, { message }) => sum + charactersOf(message), 0))
    const index = records.findIndex(({ message }) => isNext(unplaced.id, message.lastEventId))
    if (index >= 0) this.#place(index)
    else this.#awaitPlace()
  }

  #lookForPlace(message: Message): void {
    const { lastEventId } = message
    const { id, missing } = this.#unplaced as Unplaced
    const records = this.#recorded ?? []
    const first = records.findIndex((record) => record.message === message)
    const before = first < 0 ? records.length : first
    if (lastEventId === id) this.#place(records.length)
    else if (isNext(id, lastEventId)) this.#place(before)
    else {
      const met = missing.findIndex((one) => one.message.lastEventId === lastEventId)
      if (met >= 0) this.#place(before, met)
      else if (records.length > 0) this.#awaitPlace()
    }
  }

  #awaitPlace(): void {
    const unplaced = this.#unplaced as Unplaced
    unplaced.stop ??= this.#owner.patience(unplaced.resumed ? PATIENCE : SHORT_PATIENCE, () => this.#fetchMissing())
  }

  /** The stream is asked for what came after the snapshot, until that meets what waits. */
  #fetchMissing(): void {
    const unplaced = this.#unplaced as Unplaced
    const giveUp = () => this.#unplaced === unplaced && this.#giveUpPlace()
    let stopWaiting = () => {}
    const wait = () => {
      stopWaiting()
      stopWaiting = this.#owner.patience(PATIENCE, giveUp)
    }
    const endFetch = this.#owner.fetchSince(
      unplaced.id,
      (messages) => {
        wait()
        for (const message of messages) if (this.#unplaced === unplaced) this.#meet(message, unplaced)
        if (unplaced.missing.length > MOST_WAITING) giveUp()
      },
      giveUp,
    )
    wait()
    unplaced.stop = () => {
      stopWaiting()
      endFetch()
    }
  }

  #meet(message: Message, { id, missing }: Unplaced): void {
    const met = (this.#recorded ?? []).findIndex(
      (record) => message.id !== undefined && record.message.id === message.id,
    )
    if (met >= 0) return this.#place(met, missing.length)
    // A server may replay more than it was asked for.
    if (message.id === id) missing.length = 0
    else for (const event of this.#decoded([message])) missing.push({ event, message })
  }

  /** What waits comes after the snapshot from `index` on, and so many of those that were fetched before that. */
  #place(index: number, fetched = 0): void {
    const { value, missing, resumed } = this.#unplaced as Unplaced
    const records = this.#takeRecorded()
    this.#forgetUnplaced()
    this.isHolding = false
    this.#unplaceable = undefined
    const news = records.slice(index)
    this.#moment = this.#owner.now()
    this.#begin(value, fetched > 0 ? [] : news.filter(({ held }) => !held).map(({ event }) => event))
    this.#at = (news.at(-1) ?? records.at(-1))?.message.lastEventId || this.#at
    for (const { event, held } of records.slice(0, index))
      if (held && !this.#ended && (resumed || this.#isTerminal(event))) this.#hand(event, false)
    for (const { event, message } of missing.slice(0, fetched)) this.#order(event, message)
    for (const { event, message, held } of news) {
      if (held) this.#order(event, message)
      else if (fetched > 0) this.#fold(event)
    }
    if (!this.#ended && this.isDone()) this.#finish()
  }

  /** Neither does its place turn up, nor can it be fetched. A snapshot is asked for once more: it may say another one. */
  #giveUpPlace(): void {
    const { id } = this.#unplaced as Unplaced
    this.#unplaced?.stop?.()
    this.#unplaceable = id
    if (!this.#owner.gap('the snapshot stands before what the stream began with, and what came between cannot be had'))
      this.#release()
  }

  #forgetUnplaced(): void {
    this.#unplaced?.stop?.()
    this.#unplaced = undefined
  }

  #decoded(messages: readonly Message[]): readonly StreamEvent[] {
    const definition = this.#owner.definition()
    return messages.flatMap((message) => {
      const reading = definition.normalize && this.#owner.readingOf(message)
      const decoded = decode(definition, message, this.#moment, reading)
      return ((Array.isArray(decoded) ? decoded : [decoded]) as readonly Decoded[]).filter(isEvent)
    })
  }

  /** Hands out what was held, as it came. */
  #release(): void {
    this.#moment = this.#owner.now()
    const records = this.#takeRecorded()
    this.#forgetUnplaced()
    this.isHolding = false
    this.#at = records.at(-1)?.message.lastEventId || this.#at
    for (const { event, message, held } of records) if (held) this.#order(event, message)
    this.#takeAll(this.#sequencer?.skip())
  }
}

/** Whether an id counts on from another one: nothing comes between the two. */
function isNext(id: string, next: string): boolean {
  const [, head, count] = COUNTED.exec(id) ?? []
  const [, nextHead, nextCount] = COUNTED.exec(next) ?? []
  return count !== undefined && nextCount !== undefined && head === nextHead && Number(nextCount) === Number(count) + 1
}

const COUNTED = /^(.*?)(\d{1,15})$/
