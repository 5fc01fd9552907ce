/** A channel that somebody wants: its sources tell its timeline, and what comes of that is told to its subscribers. */
import { SCHEMA_TIMEOUT } from '../network/body'
import type { JsonAnswer } from '../network/coordinated-fetch'
import type { AlertCode } from '../primitives/alerts'
import { callbackError } from '../primitives/callback'
import { MillraceError } from '../primitives/errors'
import { soon } from '../primitives/platform'
import type { SnapshotSink, SnapshotSource } from '../sources/snapshot'
import { hasFallback, type StreamSink, type StreamSource, type StreamState } from '../sources/stream'
import type { Message } from '../stream/messages'
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
  lastAsked,
} from './channel-state'
import type { ChannelDefinition, StreamEvent } from './define-channel'
import type { RegistryContext } from './registry-context'
import { isRolledOut } from './rollout'
import { readSnapshot, type SnapshotBody, type UnreadableBody } from './snapshot-body'
import type { Subscriber } from './subscriber'
import { Subscribers } from './subscribers'
import { type KeptData, type Step, Timeline, type Wait } from './timeline'

/** What is kept of a channel for the next subscriber. */
export interface Kept extends KeptData {
  readonly isComplete: boolean
}

/** What is told of a source, still when it has been left. */
export interface SourceFigures {
  readonly endpoint: string
  readonly lastEventId: string
  readonly reconnects: number
  readonly duplicates: number
}

/** The sources that it has joined, and how they are doing. */
interface Joined {
  stream: StreamSource | undefined
  snapshot: SnapshotSource | undefined
  /** The stream's state, while it is open. */
  open: StreamState | undefined
  hasOpened: boolean
  /** Of a stream that was left with its last word, while the snapshot is still asked for. */
  hadResumed: boolean
  isPolling: boolean
  /** The stream was not open, so what was polled meanwhile is newer than what it will replay. */
  wasPolled: boolean
  /** The snapshot has answered, be it that there is nothing new. */
  isAnswered: boolean
  snapshotFailed: boolean
  snapshotError: MillraceError | undefined
  /** What is wrong with the last answer, though it came. */
  bodyError: MillraceError | undefined
  /** Its stream has ended for good, and the snapshot is asked once more before that is shown. */
  ending: Connectivity | undefined
}

const DEFAULT_GRACE = 1_000
const noFigures: SourceFigures = { endpoint: '', lastEventId: '', reconnects: 0, duplicates: 0 }

export class LiveChannel implements StreamSink, SnapshotSink {
  readonly key: string
  readonly subscribers: Subscribers
  /** The newest description wins: identity is the key's, functions may be made anew at every render. */
  definition: ChannelDefinition
  timeline: Timeline
  /** It was joined before, so its requests are background ones. */
  again = false
  readonly #context: RegistryContext
  readonly #onGone: (kept: Kept) => void
  #joined: Joined | undefined
  #ended: Connectivity | undefined
  #state: ChannelState<unknown> | undefined
  /** The timeline's value, as far as it was told. */
  #value: unknown
  #figures = noFigures
  #lastPace: number | undefined
  #cancelGrace: (() => void) | undefined
  /** Ends the wait for a schema that takes its time. */
  #stopValidation: (() => void) | undefined
  /** What the timeline waits for, and what ends that. */
  #wait: Wait | undefined
  #stopWaiting: (() => void) | undefined
  #stopFetching: (() => void) | undefined
  #accounted = 0

  constructor(
    key: string,
    definition: ChannelDefinition,
    kept: Kept | undefined,
    context: RegistryContext,
    onGone: (kept: Kept) => void,
  ) {
    this.key = key
    this.definition = definition
    this.#context = context
    this.#onGone = onGone
    this.#ended = kept?.isComplete ? complete : undefined
    this.timeline = this.#begin(kept)
    this.subscribers = new Subscribers(context, this)
  }

  // What the registry asks of it.

  /** Goes on with another target: what is known is of the one before. */
  moveTo(definition: ChannelDefinition): void {
    this.definition = definition
    if (this.askers() > 0) this.#startAnew()
    else this.#forget()
  }

  add(subscriber: Subscriber): void {
    const { counters } = this.#context
    this.#stopGrace()
    counters.asked++
    if (this.#joined) counters.shared++
    else if (!this.#ended) this.#join(false)
    subscriber.owedState = true
    this.subscribers.add(subscriber)
    this.#joined?.snapshot?.reschedule()
    this.#wantAnswer()
    const ended = this.#ended
    soon(() => {
      if (subscriber.owedState) this.subscribers.tell(subscriber)
      if (ended) this.subscribers.tellEnd(subscriber, ended.error)
    })
  }

  remove(subscriber: Subscriber): void {
    this.subscribers.remove(subscriber)
    if (this.askers() > 0) return this.#joined?.snapshot?.reschedule()
    const ms = this.definition.grace ?? DEFAULT_GRACE
    this.#cancelGrace = this.#context.clock.after(ms, () => this.#vanish(), `grace ${this.key}`, true)
  }

  /** Asks for the snapshot now, or connects now; a failed or complete channel starts again. */
  async refresh(): Promise<void> {
    if (this.#ended) {
      const { value, updatedAt } = this.timeline
      this.#ended = undefined
      this.timeline = this.#begin({ value, updatedAt, lastEventId: '' })
      if (this.askers() > 0) this.#join(true)
      this.#changed()
    }
    if (!this.#joined) return this.#visit()
    const { stream, snapshot } = this.#joined
    if (stream && stream.state().name !== 'open') stream.restart()
    snapshot?.reschedule(true)
    // What is under way may be from before the change that it is asked for; a user waits for it.
    await snapshot?.pull('refresh', true)
  }

  /** Settings have changed. */
  reconsider(): void {
    if (!this.#joined) return
    if (this.#mayStream() === (this.#joined.stream !== undefined)) return this.#joined.snapshot?.reschedule()
    this.#leave()
    this.#join(true)
  }

  /** Leaves its sources, forgets what it knows, and starts anew for those who subscribe. */
  reset(): void {
    // What may be asked once alone is not asked again because somebody else is signed in.
    if (this.askers() > 0) return this.#startAnew(this.#joined?.stream?.spent())
    this.#forget()
    this.quiet()
  }

  #startAnew(spent?: MillraceError): void {
    this.#forget()
    if (spent) return this.#end(failed(spent))
    this.#join(false)
    this.#changed()
  }

  #forget(): void {
    this.#leave()
    this.#close()
    this.timeline = this.#begin(undefined)
    this.#ended = undefined
  }

  /** Nothing may be pending any more: hands out what waits, and does not wait for a next subscriber. */
  quiet(): void {
    this.subscribers.flush()
    if (this.askers() > 0) return
    this.#stopGrace()
    this.#vanish()
  }

  /** Ends it for all who subscribe. */
  close(error: MillraceError): void {
    if (!this.#ended) this.#end(failed(error))
    this.#stopGrace()
    for (const subscriber of this.subscribers.all()) this.subscribers.remove(subscriber)
  }

  /** Of the sources that it has, or had. */
  figures(): SourceFigures {
    const { stream, snapshot } = this.#joined ?? {}
    const source = stream ?? snapshot
    // A stream that was left while its snapshot is still asked for counts on.
    if (!source || (!stream && this.#figures.lastEventId !== '')) return this.#figures
    return {
      endpoint: source.endpoint(),
      lastEventId: stream?.lastEventId() ?? '',
      reconnects: stream?.reconnects() ?? 0,
      duplicates: stream?.duplicates() ?? 0,
    }
  }

  // Joining and leaving its sources.

  #mayStream(): boolean {
    const { streaming, rollout } = this.#context.settings
    const { stream, snapshot } = this.definition
    return stream !== undefined && (!snapshot || (streaming && (!rollout || isRolledOut(rollout))))
  }

  #join(again: boolean): void {
    // What was kept, or is there from the start, may be the end of it.
    if (this.timeline.isDone()) return this.#end(complete)
    const { stream, snapshot, share } = this.definition
    const { sources } = this.#context
    const from = this.timeline.position
    this.again = again
    this.#figures = noFigures
    const joined: Joined = {
      snapshot: snapshot ? sources.snapshot(snapshot, this.key, share) : undefined,
      stream: stream && this.#mayStream() ? sources.stream(stream, this.key, share, from) : undefined,
      open: undefined,
      hasOpened: false,
      hadResumed: false,
      isPolling: false,
      wasPolled: false,
      isAnswered: false,
      snapshotFailed: false,
      snapshotError: undefined,
      bodyError: undefined,
      ending: undefined,
    }
    this.#joined = joined
    const source = joined.stream
    // The stream comes first: an event between the two would be lost the other way round.
    source?.attach(this)
    joined.snapshot?.attach(this)
    if (source && from !== '') this.#accept(source.since(from) ?? [])
    if (source && source === this.#joined?.stream) this.onStream(source.state())
    this.#wantAnswer()
    this.#changed()
  }

  /** The sources are told at once, or when they have told all the others what this channel was told. */
  #leave(defer: (leave: () => void) => void = (leave) => leave()): void {
    const { stream, snapshot } = this.#joined ?? {}
    this.#validated()
    if (stream ?? snapshot) this.#figures = this.figures()
    this.#joined = undefined
    defer(() => {
      if (stream !== this.#joined?.stream) stream?.detach(this)
      if (snapshot !== this.#joined?.snapshot) snapshot?.detach(this)
    })
  }

  /** Who comes to what is asked once takes an answer that is young enough, or has one asked for. */
  #wantAnswer(): void {
    if (this.askers() > 0 && this.#isAskedOnce()) void this.#joined?.snapshot?.pull('foreground', false, this.maxAge())
  }

  /** Nobody subscribes: the snapshot alone is asked, for whoever comes next. */
  async #visit(): Promise<void> {
    const { snapshot, share } = this.definition
    if (!snapshot) return
    const source = this.#context.sources.snapshot(snapshot, this.key, share)
    const sink: SnapshotSink = {
      key: this.key,
      again: true,
      snapshotWhenHidden: () => 'keep',
      interval: () => undefined,
      maxAge: () => undefined,
      retries: () => 0,
      definition: this.definition,
      askers: () => 1,
      label: () => this.key,
      onSnapshot() {},
      onAsk: () => false,
      onAnswer: (answer, endpoint) => this.onAnswer(answer, endpoint),
      onSnapshotError() {},
    }
    source.attach(sink)
    await source.pull('refresh', true)
    source.detach(sink)
    if (this.askers() === 0 && !this.#cancelGrace) this.#vanish()
  }

  #stopGrace(): void {
    this.#cancelGrace?.()
    this.#cancelGrace = undefined
  }

  /** The grace is over: nothing of the channel is left but what it knew. */
  #vanish(): void {
    this.#cancelGrace = undefined
    const { value, updatedAt, position } = this.timeline
    this.#leave()
    this.#close()
    this.#onGone({ value, updatedAt, lastEventId: position, isComplete: this.#ended?.status === 'complete' })
  }

  /** What has ended stays ended. */
  #end(how: Connectivity): void {
    if (this.#ended) return
    const { error } = how
    const endpoint = this.#endpoint()
    this.#ended = how
    // Whoever shares a source hears the last word before it is left.
    this.#leave(soon)
    this.#close()
    this.#changed()
    this.subscribers.end(error)
    if (error && error.code !== 'closed')
      this.#warn('failed', `channel ${this.key} has failed for good: ${error.message}`, undefined, endpoint)
  }

  // The timeline: what it says is told, what it needs is seen to.

  #begin(kept: KeptData | undefined): Timeline {
    const timeline = new Timeline(this, kept)
    this.#value = timeline.value
    return timeline
  }

  #close(): void {
    this.timeline.end()
    this.#attend()
  }

  #accept(messages: readonly Message[]): void {
    const { timeline } = this
    const { clock } = this.#context
    const now = clock.now()
    timeline.rate.add(messages.length, clock.elapsed())
    for (let i = 0; i < messages.length && timeline === this.timeline && !this.#ended; i++) {
      const message = messages[i] as Message
      if (timeline.isPlain) {
        const event = timeline.acceptPlain(message, now)
        this.#tell(event, event.data)
      } else this.#deliver(timeline.accept(message, now))
    }
  }

  #deliver(steps: readonly Step[]): void {
    const { timeline } = this
    for (let i = 0; i < steps.length && timeline === this.timeline; i++) {
      const step = steps[i] as Step
      if (step.alert || step.mishap) this.#complain(step)
      else this.#tell(step.event, step.value)
    }
    if (timeline !== this.timeline) return
    if (timeline.isOver) this.#end(complete)
    else if (timeline.isLastHeld) this.#leaveStream()
    this.#attend()
  }

  /** An event, and the state after it, if that is another. */
  #tell(event: StreamEvent | undefined, value: unknown): void {
    const isOther = !event || value !== this.#value
    if (isOther) {
      this.#value = value
      this.#state = undefined
    }
    if (event) {
      this.subscribers.publish(event)
      this.#context.onEvent(this.key, event)
    }
    if (isOther) {
      this.#state = undefined
      this.subscribers.stateChanged(false)
    }
  }

  #complain({ alert, what, mishap }: Step): void {
    if (mishap) this.#context.report(mishap.name, this.key, mishap.cause)
    if (alert === 'gap') this.#gap(what as string)
    else if (alert) this.#warn(alert, what as string)
  }

  /** Holds what the timeline takes against the client's memory, and has what it waits for, no longer than it does. */
  #attend(): void {
    const { timeline } = this
    const { wait, characters } = timeline
    if (characters !== this.#accounted) this.#context.account(2 * (characters - this.#accounted))
    this.#accounted = characters
    if (wait === this.#wait) return
    const before = this.#wait
    const { clock } = this.#context
    this.#wait = wait
    this.#stopWaiting?.()
    const expire = () => this.#wait === wait && this.#deliver(timeline.expire(clock.now()))
    this.#stopWaiting = wait && clock.after(wait.ms, expire, `missing events ${this.key}`, true)
    if (wait?.since === before?.since) return
    this.#stopFetching?.()
    this.#stopFetching = wait?.since === undefined ? undefined : this.#fetchSince(wait.since)
  }

  /** Asks the stream, on a connection of its own, for what came after this id. */
  #fetchSince(id: string): (() => void) | undefined {
    const { timeline } = this
    const { stream } = this.definition
    const source = stream ? this.#context.sources.streamSince(stream, id) : undefined
    const sink: StreamSink = {
      key: this.key,
      again: true,
      label: () => this.label(),
      definition: { maxEventBytes: this.definition.maxEventBytes },
      onRestart() {},
      onGap() {},
      onMessages: (messages) => {
        for (const message of messages) this.#deliver(timeline.meet(message, this.#context.clock.now()))
      },
      onStream: ({ name }) => {
        if (name === 'open') timeline.opened()
        const isOver = name === 'failed' || name === 'complete'
        if (isOver && this.#wait?.since === id) this.#deliver(timeline.expire(this.#context.clock.now()))
      },
    }
    source?.attach(sink)
    return () => source?.detach(sink)
  }

  #gap(why: string): void {
    this.#tellGap(why)
    this.#resync('background')
  }

  #tellGap(why: string): void {
    const next = this.#joined?.snapshot ? 'The snapshot is asked for again' : 'There is no snapshot to make up for it'
    this.#warn('gap', `${why}. ${next}.`)
  }

  #resync(kind: 'foreground' | 'background'): void {
    const { snapshot } = this.#joined ?? {}
    if (!snapshot) return
    this.#expectSnapshot(true)
    void snapshot.pull(kind, true)
  }

  #expectSnapshot(hold: boolean): void {
    this.timeline.expectSnapshot(hold, this.#joined?.stream?.lastEventId() ?? '')
    this.#attend()
  }

  /** Goes on without a snapshot, if that can be. Answers whether it does. */
  #goOn(isOver = false): boolean {
    if (!isOver && !this.timeline.hasFooting) return false
    this.#deliver(this.timeline.release(this.#context.clock.now()))
    return true
  }

  // The stream.

  onStream(next: StreamState): void {
    const { stream, snapshot } = this.#joined ?? {}
    const joined = this.#joined
    if (!joined || !stream) return
    if (next.name === 'complete' || next.name === 'failed')
      return this.#onStreamOver(next.name === 'failed' ? failed(next.error) : complete)
    // In another tab, or after a take-over, one open connection may follow upon another.
    const opened = next.name === 'open' && next !== joined.open
    joined.open = next.name === 'open' ? next : undefined
    const polls = hasFallback(this.definition) && isGivenUp(next)
    if (polls !== joined.isPolling) {
      joined.isPolling = polls
      joined.wasPolled ||= polls
      snapshot?.reschedule(polls)
    }
    if (opened) this.#onOpened(joined, stream)
    // The stream comes first, but not for ever: when it is open the snapshot is asked for again.
    else if (next.name === 'connecting' && next.late && this.#isFresh()) void snapshot?.pull('foreground', false)
    this.#changed()
  }

  /** Does what the stream missed have to come from the snapshot? */
  #onOpened(joined: Joined, source: StreamSource): void {
    const { timeline } = this
    const first = !joined.hasOpened
    joined.hasOpened = true
    if (source.resumed() || (timeline.position !== '' && source.since(timeline.position)))
      this.#deliver(timeline.confirmKept())
    else if (timeline.isKept) {
      timeline.dropKept()
      if (!joined.snapshot) this.#tellGap('what was kept cannot be gone on from')
    }
    if (first || joined.wasPolled || !source.resumed() || this.definition.replay === false || timeline.isHolding)
      this.#resync(first ? 'foreground' : 'background')
    joined.wasPolled = false
  }

  /** What has ended is still to be shown as it is now: the snapshot is asked once more, and may say that it is `done`. */
  #onStreamOver(last: Connectivity): void {
    const joined = this.#joined
    if (!joined || joined.ending) return
    const { snapshot } = joined
    if (!snapshot || !(last.error || this.timeline.updatedAt === undefined)) return this.#endOfStream(last)
    joined.ending = last
    joined.open = undefined
    joined.isPolling = false
    this.#changed()
    void snapshot.pull('foreground', true).then(() => this.#joined?.ending === last && this.#endOfStream(last))
  }

  /** What waits for a snapshot is told before the end: it may be the last word. */
  #endOfStream(last: Connectivity): void {
    this.#goOn(true)
    this.#end(!this.#ended && this.timeline.isDone() ? complete : last)
  }

  /** All that is still wanted is the snapshot. */
  #leaveStream(): void {
    const joined = this.#joined
    const stream = joined?.stream
    if (!joined?.snapshot || !stream) return
    this.#figures = this.figures()
    joined.hadResumed = stream.resumed()
    joined.open = joined.stream = undefined
    soon(() => {
      if (this.#joined?.stream !== stream) stream.detach(this)
    })
    joined.snapshot.reschedule()
    this.#changed()
  }

  onMessages(messages: readonly Message[]): void {
    this.#accept(messages)
  }

  onRestart(why = 'the server began anew: an id that was known came with other data'): void {
    this.#deliver(this.timeline.restart(why))
  }

  onGap(why: string): void {
    // The snapshot is on its way already where the stream has opened anew.
    if (this.timeline.isHolding) this.#tellGap(why)
    else this.#gap(why)
  }

  identify(messages: readonly Message[]): readonly Message[] {
    return this.timeline.identify(messages)
  }

  wanted(): string | undefined {
    return this.#isFresh() ? this.#nameOfState() : undefined
  }

  given(): readonly [name: string, value: unknown] | undefined {
    const isShown = this.#joined?.stream !== undefined && !this.#isFresh() && !this.timeline.isHolding
    return isShown ? [this.#nameOfState(), this.timeline.value] : undefined
  }

  take(states: Readonly<Record<string, unknown>>): void {
    const name = this.#nameOfState()
    const joined = this.#joined
    if (!joined || !this.#isFresh() || !Object.hasOwn(states, name)) return
    joined.hasOpened = true
    this.#apply(states[name], undefined, false)
  }

  /** Tabs take each other's state only if the same version of the reducer has made it. */
  #nameOfState(): string {
    return JSON.stringify([this.key, this.definition.version])
  }

  /** Nothing is known, or only from before. */
  #isFresh(): boolean {
    return this.timeline.updatedAt === undefined || this.timeline.isKept
  }

  label(): string {
    for (const { label } of this.subscribers.all()) if (label) return label
    return this.key
  }

  // The snapshot.

  onSnapshot(): void {
    const joined = this.#joined
    if (!joined?.snapshot) return
    const next = joined.snapshot.state()
    joined.snapshotError = 'error' in next ? next.error : undefined
    this.#changed()
  }

  onAsk(): boolean {
    const isOpen = this.#joined?.open !== undefined
    if (isOpen) this.#expectSnapshot(false)
    return isOpen
  }

  /** A stream goes on without its snapshot, if there is something to fold onto; the snapshot is asked for again, slowly. */
  onSnapshotError(error: MillraceError, final: boolean): void {
    const joined = this.#joined
    if (!joined || joined.ending) return
    const { stream } = joined
    const goesOn = stream || this.timeline.isHolding ? this.#goOn(final && !stream) : !final
    if (final && !goesOn) this.#end(failed(error))
    else if (stream && !final && !joined.isPolling) joined.snapshotFailed = true
  }

  onAnswer(answer: JsonAnswer | undefined, endpoint: string): void {
    const { timeline } = this
    const joined = this.#joined
    if (this.#ended) return
    if (joined) joined.isAnswered = true
    if (!answer) {
      const { hasFooting } = timeline
      this.#deliver(timeline.unchanged(this.#context.clock.now()))
      if (joined) {
        joined.snapshotFailed = !hasFooting && joined.stream !== undefined
        joined.bodyError = undefined
      }
      return this.#changed()
    }
    const body = readSnapshot(this.definition, answer)
    if (!(body instanceof Promise)) return this.#takeBody(body, endpoint)
    const take = (late: SnapshotBody) => {
      if (timeline !== this.timeline || this.#ended) return
      this.#validated()
      this.#takeBody(late, endpoint)
    }
    void body.then(take)
    const why = `its schema has not validated within ${SCHEMA_TIMEOUT} ms`
    const late = () => take({ why, mishap: { name: 'schema', cause: undefined } })
    this.#stopValidation ??= this.#context.clock.after(SCHEMA_TIMEOUT, late, `schema ${this.key}`, true)
  }

  #validated(): void {
    this.#stopValidation?.()
    this.#stopValidation = undefined
  }

  #takeBody(body: SnapshotBody, endpoint: string): void {
    const joined = this.#joined
    const stream = joined?.stream
    if ('why' in body) {
      this.timeline.counts.invalid++
      this.#warn('invalid-event', `a snapshot ${body.why}.`)
      const error = this.#errorOf(body, endpoint)
      if (joined) joined.bodyError = error
      if (joined?.ending) return
      if (stream ? !this.#goOn() : this.retries() === 0) this.#end(failed(error))
      else this.#changed()
      return
    }
    const resumed = stream ? (joined.open ? stream.resumed() : stream.lastEventId() !== '') : joined?.hadResumed
    this.#apply(body.value, this.definition.stream ? body.position : undefined, resumed ?? false)
    if (!joined) return
    joined.snapshotFailed = false
    joined.bodyError = undefined
  }

  #apply(value: unknown, position: { readonly id?: string | undefined } | undefined, resumed: boolean): void {
    const { stream } = this.#joined ?? {}
    const past = { resumed, since: (id: string) => stream?.since(id) }
    this.#deliver(this.timeline.applySnapshot(value, position, past, this.#context.clock.now()))
  }

  #errorOf({ why, mishap }: UnreadableBody, endpoint: string): MillraceError {
    if (!mishap) return new MillraceError('invalid-body', `${endpoint}: the body ${why}.`, { endpoint })
    const { name, cause } = mishap
    if (cause !== undefined) this.#context.report(name, this.key, cause)
    const what = cause === undefined ? `has not answered within ${SCHEMA_TIMEOUT} ms` : 'threw'
    return callbackError(name, `channel ${this.key}`, `${what} at what ${endpoint} answered`, cause)
  }

  /** One answer is worth a request of a page that nobody looks at; a poll is not. */
  snapshotWhenHidden(): 'keep' | 'pause' {
    return this.definition.whenHidden ?? (this.#isAskedOnce() ? 'keep' : 'pause')
  }

  maxAge(): number | undefined {
    const { maxAge } = this.definition
    return maxAge === 'cache.ttl' ? this.#context.settings.cache.ttl : maxAge
  }

  retries(): number {
    return this.#isAskedOnce() ? (this.definition.retry ?? Infinity) : Infinity
  }

  askers(): number {
    return this.subscribers.all().size
  }

  /** ms between polls, `Infinity` for one answer; undefined while the stream is enough. */
  interval(): number | undefined {
    const { stream, isPolling, snapshotFailed } = this.#joined ?? {}
    return stream && !isPolling && !snapshotFailed ? undefined : this.#pace()
  }

  /** The shortest that anybody wants: who says nothing wants the channel's own, who says 0 wants none. */
  #pace(): number {
    const own = this.definition.interval ?? this.#context.settings.interval
    // What was wanted last goes on until the grace is over.
    if (this.askers() === 0) return this.#lastPace ?? (own || Infinity)
    let shortest = Infinity
    for (const { options } of this.subscribers.all())
      shortest = Math.min(shortest, (options.interval ?? own) || Infinity)
    this.#lastPace = shortest
    return shortest
  }

  #isAskedOnce(): boolean {
    return !this.#joined?.stream && this.#pace() === Infinity
  }

  // What it shows.

  onOverflow({ label, id }: Subscriber, silently: boolean): void {
    this.timeline.counts.overflowed++
    if (!silently) this.#warn('overflow', `"${label ?? id}" takes events too slowly. The oldest are dropped.`, label)
  }

  #endpoint(): string | undefined {
    const { stream, snapshot } = this.#joined ?? {}
    return (stream ?? snapshot)?.endpoint()
  }

  #warn(code: AlertCode, what: string, subscriber?: string, endpoint: string | undefined = this.#endpoint()): void {
    this.#context.alert({ code, message: `${endpoint ?? this.key}: ${what}`, endpoint, channel: this.key, subscriber })
  }

  #connectivity(): Connectivity {
    if (this.#ended) return this.#ended
    if (!this.#joined) return idle
    const { stream, snapshot, ending, isAnswered, isPolling, open, snapshotError, bodyError } = this.#joined
    const { updatedAt, isKept, isHolding } = this.timeline
    const hasData = !isKept && (updatedAt !== undefined || isAnswered)
    if (ending) return lastAsked(ending.error)
    const answers = snapshot?.state()
    if (!stream) return answers ? fromSnapshot(answers, hasData, bodyError, this.#isAskedOnce()) : idle
    if (answers && isPolling) return fromFallback(stream.state(), answers, hasData)
    if (answers && open && isHolding && snapshotError) return fromSnapshot(answers, hasData)
    const shown = fromStream(stream.state(), !isHolding || hasData)
    return shown.status === 'live' ? { ...shown, error: snapshotError ?? bodyError } : shown
  }

  state(): ChannelState<unknown> {
    if (this.#state) return this.#state
    const { updatedAt, isKept, isHolding } = this.timeline
    const { stream, snapshot } = this.#joined ?? {}
    const { status, error, attempt, retryAt, pausedBy } = this.#connectivity()
    const isCurrent = status === 'complete' || ((status === 'live' || status === 'polling') && !isHolding)
    this.#state = Object.freeze({
      status,
      data: this.#value,
      error,
      updatedAt,
      attempt,
      retryAt,
      role: (stream ?? snapshot)?.role(),
      pausedBy,
      isStale: updatedAt !== undefined && (isKept || !isCurrent),
    })
    return this.#state
  }

  /** Connectivity may be another; tells only if it is. */
  #changed(): void {
    const before = this.#state
    this.#state = undefined
    const now = this.state()
    const names = Object.keys(now) as (keyof typeof now)[]
    if (before && names.every((name) => Object.is(before[name], now[name]))) {
      this.#state = before
      return
    }
    this.subscribers.stateChanged(true)
    this.#context.onStatus(this.key, now)
  }
}
