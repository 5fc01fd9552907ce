/**
 * What a channel knows, as messages and snapshots make it: no clock, no source, no subscriber. Each call returns what is
 * to be told because of it, in order.
 *
 * Older never overwrites newer. While a snapshot is on its way, what the stream brings is recorded; when it is there,
 * the state becomes the snapshot with every event after its position folded on top, wherever the answer came from and
 * however late. `held` records were not handed out yet (the state that they apply to is not known), the others were.
 */
import { lastIndexOf } from '../primitives/plain'
import { printable } from '../primitives/printable'
import { shareStructure } from '../primitives/structural-sharing'
import { charactersOf, type Message } from '../stream/messages'
import { answered, type Mishap } from './callbacks'
import { type Decoded, decode, decodePlain, type Invalid, isEvent, isPlain, normalized, type Reading } from './decode'
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

/** To be told: an event with the state after it, the state alone, or what is wrong. */
export interface Step {
  readonly event?: StreamEvent
  readonly value?: unknown
  readonly alert?: 'gap' | 'invalid-event' | 'ignored' | 'overflow'
  readonly what?: string
  /** A function of the channel's own that threw. */
  readonly mishap?: Mishap | undefined
}

/** Until something comes, or so many ms are over; `since`: meanwhile the stream is asked for what came after this id. */
export interface Wait {
  readonly ms: number
  readonly since?: string
}

/** What a snapshot is placed by. */
export interface StreamPast {
  /** The connection went on from an id, so what it replays may be in the snapshot. */
  readonly resumed: boolean
  /** What the stream brought after this id; undefined if it is not known. */
  since(id: string): readonly Message[] | undefined
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
  readonly missing: Recorded[]
  wait: Wait | undefined
  /** The stream is open on which that is to come: what it does not bring does not come after the snapshot. */
  isOpen?: boolean
}

/** A snapshot of which it was given up to wait for its place. If that turns up after all, the state is what it says. */
interface Unplaceable {
  readonly id: string
  /** So many of the records it contains, by what the stream has not brought when it was asked. */
  readonly before: number
  answer?: { readonly value: unknown }
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

const nothing: readonly Step[] = []

export class Timeline {
  readonly counts: ChannelCounts = { events: 0, duplicates: 0, outOfOrder: 0, invalid: 0, ignored: 0, overflowed: 0 }
  readonly rate: EventRate = new EventRate()
  value: unknown
  /** ms since the epoch, when `value` last changed. */
  updatedAt: number | undefined
  /** The value is from before: a snapshot or an event will replace it. */
  isKept: boolean
  /** Events wait for a snapshot. */
  isHolding = false
  /** The last word is here, and waits for a snapshot. */
  isLastHeld = false
  /** The last word was told: an event's, or the state's. */
  isOver = false
  /** What is recorded takes so many. */
  characters = 0
  readonly #of: { readonly definition: ChannelDefinition }
  /** Whether `value` is something that events may be folded onto. */
  #hasBase: boolean
  /** The last id that `value` contains. */
  #at: string
  /** ms since the epoch: of what is being looked at. */
  #now = 0
  #steps = nothing as Step[]
  #records: Recorded[] | undefined
  /** The stream's last id when recording began. */
  #recordedAfter: string | undefined
  #sequencer: Sequencer<Recorded> | undefined
  #late: Wait | undefined
  /** The number that was missing when a snapshot was last asked to make up for it. */
  #missed: number | undefined
  #unplaced: Unplaced | undefined
  #unplaceable: Unplaceable | undefined
  /** Types that are not listed, while nothing else has come. */
  #unheard: string[] | undefined
  #readings: WeakMap<Message, Reading> | undefined

  /** The definition may be another at each call. */
  constructor(of: { readonly definition: ChannelDefinition }, kept: KeptData | undefined) {
    this.#of = of
    this.value = kept ? kept.value : of.definition.initial
    this.updatedAt = kept?.updatedAt
    this.isKept = kept !== undefined
    this.#at = kept?.lastEventId ?? ''
    this.#hasBase = this.#at !== ''
  }

  /** From which id the stream must go on so that nothing is missing in `value`; '' if that is not known. */
  get position(): string {
    return this.#sequencer?.waiting ? '' : this.#at
  }

  /** What time will have to end, by {@link expire}. */
  get wait(): Wait | undefined {
    return this.#unplaced?.wait ?? this.#late
  }

  /** Whether it goes on without a snapshot: there is something to fold onto. */
  get hasFooting(): boolean {
    const { reduce, initial } = this.#of.definition
    return this.#hasBase || !reduce || initial !== undefined
  }

  /** Whether the state is the last one. */
  isDone(): boolean {
    const { done } = this.#of.definition
    return done !== undefined && this.value !== undefined && this.#asks('done', () => done(this.value))
  }

  // What comes.

  /** One message of the stream. */
  accept(message: Message, now: number): readonly Step[] {
    this.#now = now
    // A snapshot without anything that waits stands there until something comes.
    if (this.#unplaced) this.#record(true, undefined)
    const held = this.isHolding
    const answer = !held && this.#unplaceable?.id === message.lastEventId ? this.#unplaceable.answer : undefined
    if (answer) this.#settle(answer.value)
    for (const event of this.#eventsOf(message)) {
      if (this.isOver) break
      if (answer) this.#hand(event, false)
      else this.#enter({ event, message, held })
    }
    if (this.#unplaced) this.#lookForPlace(message)
    else if (!held) this.#at = message.lastEventId
    return this.#told()
  }

  /** Whether {@link acceptPlain} may be asked: nothing waits, and nothing of the channel's own looks at an event. */
  get isPlain(): boolean {
    return !this.#records && !this.#unplaced && isPlain(this.#of.definition)
  }

  /** What most channels need, without a detour, for the same outcome: an event, after which the state is its data. */
  acceptPlain(message: Message, now: number): StreamEvent {
    const event = decodePlain(message, now)
    const { data } = event
    if (this.value !== data) this.updatedAt = now
    this.value = data
    this.#hasBase = true
    this.isKept = false
    this.#at = message.lastEventId
    this.counts.events++
    return event
  }

  /** A snapshot is on its way; with `hold`, events wait for it. */
  expectSnapshot(hold: boolean, lastEventId: string): void {
    // It stands elsewhere than the one before.
    if (hold) this.#unplaced = undefined
    this.#record(hold, lastEventId)
  }

  applySnapshot(value: unknown, position: Position | undefined, past: StreamPast, now: number): readonly Step[] {
    this.#now = now
    const recordedAfter = this.#records && this.#recordedAfter
    const unplaceable = this.#unplaceable
    const records = this.#takeRecords()
    this.#unplaced = undefined
    const id = position?.id
    const at = lastIndexOf(records, ({ message }) => message.lastEventId === id)
    /** Whether it stands among what was recorded, or among what came even before that. */
    const isAmong = id !== undefined && (at >= 0 || id === recordedAfter)
    const earlier = id === undefined || isAmong ? undefined : past.since(id)
    const { sequence } = this.#of.definition
    const upTo = sequence && position?.sequence
    if (id !== undefined && !isAmong && !earlier && upTo === undefined && id !== unplaceable?.id)
      this.#waitForPlace({ id, value, resumed: past.resumed, missing: [], wait: undefined }, records)
    else {
      const held = records.filter((record) => record.held)
      const known = new Set(held.map(({ message }) => message))
      const before = earlier?.filter((message) => !known.has(message)) ?? []
      this.#at = records.at(-1)?.message.lastEventId || id || this.#at
      if (unplaceable && id === unplaceable.id) unplaceable.answer = { value }
      this.#apply(
        value,
        earlier ? [...this.#recordsOf(before), ...held] : records,
        (message, index) =>
          earlier
            ? !earlier.includes(message)
            : isAmong
              ? index <= at
              : id !== undefined && index < (unplaceable?.before ?? 0),
        past.resumed,
        upTo,
      )
    }
    return this.#told()
  }

  /** The snapshot is what it was, or nothing yet. */
  unchanged(now: number): readonly Step[] {
    this.#now = now
    if (this.hasFooting) this.#release()
    if (!this.hasFooting || this.isOver) return this.#told()
    this.isKept = false
    this.updatedAt ??= now
    this.#push({ value: this.value })
    return this.#told()
  }

  /** There is no snapshot to be had for now: hands out what was held, as it came. */
  release(now: number): readonly Step[] {
    this.#now = now
    this.#release()
    return this.#told()
  }

  /** The server began anew: what it sent before no longer counts. */
  restart(why: string): readonly Step[] {
    this.#sequencer = this.#late = this.#missed = this.#unplaced = this.#unplaceable = undefined
    this.#at = ''
    this.dropKept()
    this.#gap(why)
    return this.#told()
  }

  /** What was kept is what the stream goes on from. */
  confirmKept(): readonly Step[] {
    if (!this.isKept) return nothing
    this.isKept = false
    return [{ value: this.value }]
  }

  /** The stream goes on from elsewhere: what was kept is shown, but nothing is folded onto it. */
  dropKept(): void {
    if (this.isKept) this.#hasBase = false
  }

  /** {@link wait} is over, or what it asks for cannot be had. */
  expire(now: number): readonly Step[] {
    this.#now = now
    const unplaced = this.#unplaced
    if (!unplaced?.wait) this.#missing()
    else if (unplaced.wait.since === undefined) unplaced.wait = { ms: PATIENCE, since: unplaced.id }
    else this.#giveUpPlace()
    return this.#told()
  }

  /** The stream has been asked for that, and is open. */
  opened(): void {
    if (this.#unplaced) this.#unplaced.isOpen = true
  }

  /** What the stream was asked for: it comes after the snapshot, until it meets what waits. */
  meet(message: Message, now: number): readonly Step[] {
    this.#now = now
    const unplaced = this.#unplaced
    if (!unplaced) return nothing
    const { id, missing } = unplaced
    unplaced.wait = { ms: PATIENCE, since: id }
    const met = this.#records?.findIndex(({ message: { id } }) => id !== undefined && id === message.id) ?? -1
    if (met >= 0) this.#place(met, missing.length)
    // A server may replay more than it was asked for.
    else if (message.id === id) missing.length = 0
    else if (missing.push(...this.#recordsOf([message])) > MOST_WAITING) this.#giveUpPlace()
    return this.#told()
  }

  /** Nothing more is to be known. */
  end(): void {
    this.isOver = true
    this.#takeRecords()
    this.#unplaced = this.#late = undefined
  }

  /** Gives messages the ids that `normalize` reads out of them. */
  identify(messages: readonly Message[]): readonly Message[] {
    if (!this.#of.definition.normalize) return messages
    let last: string | undefined
    return messages.map((message) => {
      const reading = this.#readingOf(message) as Reading
      const own = message.id ?? ('answer' in reading ? reading.id : undefined)
      if (own === message.id && (message.id !== undefined || last === undefined)) {
        last = undefined
        return message
      }
      last = own ?? last
      const named = { ...message, id: own, lastEventId: last as string }
      this.#readings?.set(named, reading)
      return named
    })
  }

  // From a message to its events.

  #eventsOf(message: Message): readonly StreamEvent[] {
    const events: StreamEvent[] = []
    for (const one of this.#decoded(message)) {
      if (typeof one === 'string') this.#ignore(one)
      else if (isEvent(one)) events.push(one)
      else this.#invalid(one)
    }
    return events
  }

  #decoded(message: Message): readonly Decoded[] {
    return decode(this.#of.definition, message, this.#now, this.#readingOf(message))
  }

  /** What `normalize` makes of a message: it is called once for each. */
  #readingOf(message: Message): Reading | undefined {
    if (!this.#of.definition.normalize) return undefined
    this.#readings ??= new WeakMap()
    let reading = this.#readings.get(message)
    if (!reading) {
      reading = normalized(this.#of.definition, message)
      this.#readings.set(message, reading)
    }
    return reading
  }

  #recordsOf(messages: readonly Message[], held = false): Recorded[] {
    return messages.flatMap((message) =>
      this.#decoded(message)
        .filter(isEvent)
        .map((event) => ({ event, message, held })),
    )
  }

  #invalid({ why, mishap }: Invalid): void {
    this.counts.invalid++
    this.#push({ alert: 'invalid-event', what: `an event ${why}. It is dropped.`, mishap })
  }

  #ignore(type: string): void {
    this.counts.ignored++
    if (type === '' || this.counts.events > 0) return
    this.#unheard ??= []
    if (this.#unheard.length >= UNHEARD || this.#unheard.push(type) < UNHEARD) return
    const listed = quoted(Object.keys(this.#of.definition.events ?? {}))
    this.#push({
      alert: 'ignored',
      what: `all that comes is ignored: ${quoted([...new Set(this.#unheard)])} came, \`events\` lists ${listed}.`,
    })
  }

  // From an event to its place.

  #record(hold: boolean, after: string | undefined): void {
    this.isHolding ||= hold
    if (this.#records) return
    this.#recordedAfter = after
    this.#records = []
  }

  #enter(record: Recorded): void {
    const { event, message, held } = record
    if (this.#records) {
      this.#records.push(record)
      this.characters += charactersOf(message)
      while (this.#records.length > MOST_WAITING || this.characters > MOST_CHARACTERS) this.#dropOldest(this.#records)
    }
    if (!held) this.#order(record)
    // What is numbered may still be missing one that comes before it.
    else if (!this.#of.definition.sequence && !this.#unplaced && this.#isTerminal(event)) this.isLastHeld = true
  }

  #dropOldest(records: Recorded[]): void {
    const { message, held } = records.shift() as Recorded
    this.characters -= charactersOf(message)
    if (!held) return
    this.counts.overflowed++
    this.#push({ alert: 'overflow', what: 'too many events came before its snapshot did. The oldest are dropped.' })
  }

  /** The recording ends. */
  #takeRecords(): readonly Recorded[] {
    const records = this.#records ?? []
    this.#records = undefined
    this.characters = 0
    this.isHolding = false
    return records
  }

  /** Brings events into the order of their sequence numbers, where the channel has some. */
  #order(record: Recorded): void {
    const { event } = record
    if (!this.#of.definition.sequence) return this.#take(event)
    const number = this.#numberOf(event)
    this.#sequencer ??= createSequencer()
    if (number === undefined) {
      if (!this.#sequencer.follow(record)) this.#take(event)
      return
    }
    if (!Number.isSafeInteger(number)) return this.#invalid({ why: 'has no whole number for its `sequence`' })
    const ready = this.#sequencer.accept(number, record)
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
      return answered(this.#of.definition.sequence?.(event), 'a number')
    } catch (cause) {
      this.#threw('sequence', cause)
      return Number.NaN
    }
  }

  #awaitMissing(): void {
    if (!this.#sequencer?.waiting) this.#late = undefined
    else if (this.#sequencer.isFull) this.#missing()
    else this.#late ??= { ms: PATIENCE }
  }

  /** A snapshot is asked for once: if it is no further, it will not be the next time either. */
  #missing(): void {
    const last = this.#sequencer?.last
    const isAgain = this.#missed !== undefined && this.#missed === last
    this.#late = undefined
    this.#missed = last
    if (isAgain || !this.#gap(`events after number ${last} are missing`)) this.#takeAll(this.#sequencer?.skip())
  }

  #takeAll(ready: Iterable<Recorded> = []): void {
    for (const { event } of ready) this.#take(event)
  }

  /** One event, in order: folds it, hands it out, looks whether it is the last. */
  #take(event: StreamEvent): void {
    if (this.isOver) return
    const before = this.value
    this.#fold(event)
    this.#hand(event, this.value !== before)
  }

  #hand(event: StreamEvent, changed: boolean): void {
    this.counts.events++
    if (changed) this.updatedAt = this.#now
    this.#push({ event, value: this.value })
    this.isOver = this.#isTerminal(event) || (changed && this.isDone())
  }

  #fold(event: StreamEvent): void {
    const { reduce, initial } = this.#of.definition
    try {
      this.value = reduce ? answered(reduce(this.#hasBase ? this.value : initial, event), 'the state') : event.data
      this.#hasBase = true
      this.isKept = false
    } catch (cause) {
      this.#threw('reduce', cause)
    }
  }

  #isTerminal(event: StreamEvent): boolean {
    const { until } = this.#of.definition
    return until !== undefined && this.#asks('until', () => until(event))
  }

  /** Whether a function of the channel's own says so. */
  #asks(name: string, ask: () => unknown): boolean {
    try {
      return answered(ask(), 'true or false') === true
    } catch (cause) {
      this.#threw(name, cause)
      return false
    }
  }

  /** Hands out what was held, as it came. */
  #release(): void {
    const records = this.#takeRecords()
    this.#unplaced = undefined
    this.#at = records.at(-1)?.message.lastEventId || this.#at
    for (const record of records) if (record.held) this.#order(record)
    this.#takeAll(this.#sequencer?.skip())
  }

  // From a snapshot to the state.

  /** The state becomes the snapshot, with those of the records on top that it does not contain. */
  #apply(
    value: unknown,
    records: readonly Recorded[],
    isBefore: (message: Message, index: number) => boolean,
    resumed: boolean,
    upTo?: number,
  ): void {
    const { sequence } = this.#of.definition
    if (sequence) this.#sequencer ??= createSequencer()
    const last = this.#sequencer?.last
    // A cached answer from before what was applied already, without a gap to fill, has nothing to say.
    const isOutdated =
      upTo !== undefined && this.#hasBase && last !== undefined && upTo < last && !this.#sequencer?.waiting
    const tell = this.#begin(value, isOutdated)
    let isDone: boolean | undefined
    for (const [index, record] of records.entries()) {
      const { event, message, held } = record
      const number = upTo === undefined ? undefined : this.#numberOf(event)
      const isContained = number === undefined ? isBefore(message, index) : number <= (upTo as number)
      if (!held) {
        if (!isContained && !isOutdated) this.#fold(event)
        continue
      }
      isDone ??= tell()
      // It is in the state already; it is still news if it was missed before, or the last word.
      if (isContained) {
        if (resumed || this.#isTerminal(event)) this.#hand(event, false)
      } else if (!isDone) this.#order(record)
      if (this.isOver) return
    }
    isDone ??= tell()
    this.isOver ||= isDone
    const sequencer = this.#sequencer
    this.#takeAll(
      upTo === undefined ? sequencer?.skip() : sequencer?.continueAfter(Math.max(upTo, sequencer.last ?? upTo)),
    )
    this.#awaitMissing()
  }

  /** Returns what is called when that which came before the first event to be told is folded on top: is it the end? */
  #begin(value: unknown, isOutdated = false): () => boolean {
    const before = this.value
    const isFirst = !this.#hasBase || this.isKept
    if (!isOutdated) this.value = shareStructure(before, value)
    this.#hasBase = true
    this.isKept = false
    return () => {
      const isOther = this.value !== before
      if (isOther || this.updatedAt === undefined) this.updatedAt = this.#now
      // The first one is news even if it says what was assumed, or kept, before.
      if (isOther || isFirst) this.#push({ value: this.value })
      return this.isDone()
    }
  }

  // A snapshot whose place in the stream is not known.

  #waitForPlace(unplaced: Unplaced, records: readonly Recorded[]): void {
    this.#unplaced = unplaced
    if (!this.#hasBase || this.isKept || records.length === 0) {
      this.isOver = this.#begin(unplaced.value)()
      if (this.isOver) return
    }
    if (records.length === 0) {
      this.#at = unplaced.id
      return
    }
    this.isHolding = true
    this.#records = [...records]
    this.characters = records.reduce((sum, { message }) => sum + charactersOf(message), 0)
    const index = records.findIndex(({ message }) => isNext(unplaced.id, message.lastEventId))
    if (index >= 0) this.#place(index)
    else this.#awaitPlace(unplaced)
  }

  #lookForPlace(message: Message): void {
    const unplaced = this.#unplaced as Unplaced
    const { lastEventId } = message
    const records = this.#records ?? []
    const first = records.findIndex((record) => record.message === message)
    const before = first < 0 ? records.length : first
    if (lastEventId === unplaced.id) return this.#place(records.length)
    if (isNext(unplaced.id, lastEventId)) return this.#place(before)
    const met = unplaced.missing.findIndex((one) => one.message.lastEventId === lastEventId)
    if (met >= 0) this.#place(before, met)
    else if (records.length > 0) this.#awaitPlace(unplaced)
  }

  #awaitPlace(unplaced: Unplaced): void {
    unplaced.wait ??= { ms: unplaced.resumed ? PATIENCE : SHORT_PATIENCE }
  }

  /** What waits comes after the snapshot from `index` on, and so many of those that were fetched before that. */
  #place(index: number, fetched = 0): void {
    const { value, missing, resumed } = this.#unplaced as Unplaced
    const records = this.#takeRecords()
    this.#unplaced = this.#unplaceable = undefined
    this.#at = records.at(-1)?.message.lastEventId || this.#at
    const contained = records.slice(0, index)
    const news = missing.slice(0, fetched).map((record) => ({ ...record, held: true }))
    this.#apply(value, [...contained, ...news, ...records.slice(index)], (_, at) => at < index, resumed)
  }

  /** It has come to where that snapshot stands. */
  #settle(value: unknown): void {
    this.#unplaceable = undefined
    this.isOver = this.#begin(value)()
  }

  /** Neither does its place turn up, nor can it be fetched. A snapshot is asked for once more: it may say another one. */
  #giveUpPlace(): void {
    const { id, isOpen } = this.#unplaced as Unplaced
    this.#unplaceable = { id, before: isOpen ? (this.#records?.length ?? 0) : 0 }
    this.#unplaced = undefined
    if (!this.#gap('the snapshot stands where the stream has not been, and what lies between cannot be had'))
      this.#release()
  }

  // What is to be told.

  /** Events are missing: answers whether a snapshot will make up for them. */
  #gap(what: string): boolean {
    this.#push({ alert: 'gap', what })
    return this.#of.definition.snapshot !== undefined
  }

  #threw(name: string, cause: unknown): void {
    this.#push({ mishap: { name, cause } })
  }

  #push(step: Step): void {
    if (this.#steps === nothing) this.#steps = [step]
    else this.#steps.push(step)
  }

  #told(): readonly Step[] {
    const steps = this.#steps
    this.#steps = nothing as Step[]
    return steps
  }
}

const quoted = (names: readonly string[]): string =>
  names
    .slice(0, 5)
    .map((name) => `"${printable(name)}"`)
    .join(', ')

/** Whether an id counts on from another one: nothing comes between the two. */
function isNext(id: string, next: string): boolean {
  const [, head, count] = COUNTED.exec(id) ?? []
  const [, nextHead, nextCount] = COUNTED.exec(next) ?? []
  return count !== undefined && nextCount !== undefined && head === nextHead && Number(nextCount) === Number(count) + 1
}

const COUNTED = /^(.*?)(\d{1,15})$/
