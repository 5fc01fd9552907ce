/** A channel that somebody wants: joins its sources, shows how they are doing, and leaves them when nobody does any more. */
import { SCHEMA_TIMEOUT } from '../network/body'
import type { JsonAnswer } from '../network/coordinated-fetch'
import type { AlertCode } from '../primitives/alerts'
import { callbackError } from '../primitives/callback'
import { MillraceError } from '../primitives/errors'
import { soon } from '../primitives/platform'
import { printable } from '../primitives/printable'
import type { AskOptions, SnapshotSink, SnapshotSource } from '../sources/snapshot-source'
import type { StreamSink, StreamSource, StreamState } from '../sources/stream-source'
import { onlooker } from '../sources/tabs/onlooker'
import type { Reconnect } from '../stream/event-stream'
import type { Message } from '../stream/messages'
import type { Mishap } from './callbacks'
import { ChannelData, type DataOwner, type KeptData } from './channel-data'
import {
  type ChannelState,
  type Connectivity,
  complete,
  failed,
  fromAnswer,
  fromFallback,
  fromSnapshot,
  fromStream,
  idle,
  isGivenUp,
  lastAsked,
} from './channel-state'
import { type Invalid, normalized, type Reading } from './decode'
import type { ChannelDefinition, StreamEvent } from './define-channel'
import type { RegistryContext } from './registry-context'
import { isRolledOut } from './rollout'
import { readSnapshot, type SnapshotBody } from './snapshot-body'
import type { Subscriber } from './subscriber'
import { Subscribers } from './subscribers'

/** What is kept of a channel for the next subscriber. */
export interface Kept extends KeptData {
  readonly isComplete: boolean
}

const DEFAULT_GRACE = 1_000
const DEFAULT_EVENT_BYTES = 2 ** 20

/** What is told of a source when it is left. */
export interface SourceFigures {
  readonly endpoint: string
  readonly lastEventId: string
  readonly reconnects: number
  readonly duplicates: number
}

const noFigures: SourceFigures = { endpoint: '', lastEventId: '', reconnects: 0, duplicates: 0 }

export class LiveChannel implements StreamSink, SnapshotSink, DataOwner {
  readonly key: string
  readonly subscribers: Subscribers
  data: ChannelData
  stream: StreamSource | undefined
  snapshot: SnapshotSource | undefined
  /** It was joined before, so its requests are background ones. */
  again = false
  readonly #context: RegistryContext
  readonly #onGone: (kept: Kept) => void
  #definition: ChannelDefinition
  #state: ChannelState<unknown> | undefined
  #ended: Connectivity | undefined
  /** Its stream has ended for good, and the snapshot is asked once more before that is shown. */
  #ending: Connectivity | undefined
  #figures = noFigures
  /** What `normalize` made of messages: it is called once for each. */
  #readings: WeakMap<Message, Reading> | undefined
  #cancelGrace: (() => void) | undefined
  /** Ends the wait for a schema that takes its time. */
  #stopValidation: (() => void) | undefined
  #isPolling = false
  #lastPace: number | undefined
  /** Its source has answered, be it that there is nothing new. */
  #isAnswered = false
  /** The stream was not open, so what was polled meanwhile is newer than what it will replay. */
  #wasPolled = false
  #open: StreamState | undefined
  #hasOpened = false
  /** Of a stream that was left with its last word, while the snapshot is still asked for. */
  #hadResumed = false
  #snapshotFailed = false
  #snapshotError: MillraceError | undefined
  /** What is wrong with the last answer, though it came. */
  #bodyError: MillraceError | undefined

  constructor(
    key: string,
    definition: ChannelDefinition,
    kept: Kept | undefined,
    context: RegistryContext,
    onGone: (kept: Kept) => void,
  ) {
    this.key = key
    this.#definition = definition
    this.#context = context
    this.#onGone = onGone
    this.#ended = kept?.isComplete ? complete : undefined
    this.data = new ChannelData(this, kept)
    this.subscribers = new Subscribers(context, this)
  }

  // What the registry asks of it.

  definition(): ChannelDefinition {
    return this.#definition
  }

  /** The newest description wins: identity is the key's, functions may be made anew at every render. */
  redefine(definition: ChannelDefinition): void {
    this.#definition = definition
  }

  /** Goes on with another target: what is known is of the one before. */
  moveTo(definition: ChannelDefinition): void {
    this.#definition = definition
    if (this.subscribers.all().size > 0) this.#startAnew()
    else this.#forget()
  }

  add(subscriber: Subscriber): void {
    const { counters } = this.#context
    this.#stopGrace()
    counters.asked++
    if (this.#isJoined()) counters.shared++
    else if (!this.#ended) this.#join(false)
    subscriber.owedState = true
    this.subscribers.add(subscriber)
    this.snapshot?.reschedule()
    this.#wantAnswer()
    const ended = this.#ended
    soon(() => {
      if (subscriber.owedState) this.subscribers.tell(subscriber)
      if (ended) this.subscribers.tellEnd(subscriber, ended.error)
    })
  }

  remove(subscriber: Subscriber): void {
    this.subscribers.remove(subscriber)
    if (this.subscribers.all().size > 0) this.snapshot?.reschedule()
    else
      this.#cancelGrace = this.#context.clock.after(
        this.#definition.grace ?? DEFAULT_GRACE,
        () => this.#vanish(),
        `grace ${this.key}`,
        true,
      )
  }

  /** Who comes to what is asked once takes an answer that is young enough, or has one asked for. */
  #wantAnswer(): void {
    if (this.subscribers.all().size > 0 && this.#isAskedOnce())
      void this.snapshot?.pull('foreground', false, this.maxAge())
  }

  /** Asks for the snapshot now, or connects now; a failed or complete channel starts again. */
  async refresh(): Promise<void> {
    if (this.#ended) {
      this.#ended = undefined
      const { value, updatedAt } = this.data
      this.data = new ChannelData(this, { value, updatedAt, lastEventId: '' })
      if (this.subscribers.all().size > 0) this.#join(true)
      this.#changed()
    }
    if (!this.#isJoined()) return this.#visit()
    if (this.stream && this.stream.state().name !== 'open') this.stream.restart()
    this.snapshot?.reschedule(true)
    // What is under way may be from before the change that it is asked for; a user waits for it.
    await this.snapshot?.pull('refresh', true)
  }

  /** Nobody subscribes: the snapshot alone is asked, for whoever comes next. */
  async #visit(): Promise<void> {
    const { snapshot } = this.#definition
    if (!snapshot) return
    const source = this.#context.sources.snapshot(snapshot, this.key, this.#definition.share)
    const sink: SnapshotSink = {
      key: this.key,
      again: true,
      snapshotWhenHidden: () => 'keep',
      interval: () => undefined,
      maxAge: () => undefined,
      retries: () => 0,
      asksWith: () => this.asksWith(),
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
    if (this.subscribers.all().size === 0 && !this.#cancelGrace) this.#vanish()
  }

  /** Settings have changed. */
  reconsider(): void {
    if (!this.#isJoined()) return
    if (this.#mayStream() === (this.stream !== undefined)) return this.snapshot?.reschedule()
    this.#leave()
    this.#join(true)
  }

  /** Leaves its sources, forgets what it knows, and starts anew for those who subscribe. */
  reset(): void {
    // What may be asked once alone is not asked again because somebody else is signed in.
    if (this.subscribers.all().size > 0) return this.#startAnew(this.stream?.spent())
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
    this.data.dispose()
    this.data = new ChannelData(this, undefined)
    this.#ended = undefined
  }

  /** Nothing may be pending any more: hands out what waits, and does not wait for a next subscriber. */
  quiet(): void {
    this.subscribers.flush()
    if (this.subscribers.all().size > 0) return
    this.#stopGrace()
    this.#vanish()
  }

  /** Ends it for all who subscribe. */
  close(error: MillraceError): void {
    if (!this.#ended) this.#end(failed(error))
    this.#stopGrace()
    for (const subscriber of this.subscribers.all()) this.subscribers.remove(subscriber)
  }

  // Joining and leaving its sources.

  #isJoined(): boolean {
    return this.stream !== undefined || this.snapshot !== undefined
  }

  #mayStream(): boolean {
    const { streaming, rollout } = this.#context.settings
    if (!this.#definition.stream) return false
    return !this.#definition.snapshot || (streaming && (!rollout || isRolledOut(rollout)))
  }

  #join(again: boolean): void {
    // What was kept, or is there from the start, may be the end of it.
    if (this.data.isDone()) return this.#end(complete)
    const { stream, snapshot, share } = this.#definition
    const { sources } = this.#context
    const from = this.data.position()
    this.again = again
    this.#figures = noFigures
    if (snapshot) this.snapshot = sources.snapshot(snapshot, this.key, share)
    if (stream && this.#mayStream()) this.stream = sources.stream(stream, this.key, share, from)
    const { stream: source } = this
    // The stream comes first: an event between the two would be lost the other way round.
    source?.attach(this)
    this.snapshot?.attach(this)
    if (source && from !== '') this.data.accept(source.since(from) ?? [])
    if (source === this.stream && source) this.onStream(source.state())
    this.#wantAnswer()
    this.#changed()
  }

  /** The sources are told at once, or when they have told all the others what this channel was told. */
  #leave(defer: (leave: () => void) => void = (leave) => leave()): void {
    const { stream, snapshot } = this
    this.#validated()
    if (stream ?? snapshot) this.#figures = this.figures()
    this.stream = this.snapshot = this.#snapshotError = this.#bodyError = undefined
    this.#open = this.#ending = undefined
    this.#hasOpened =
      this.#hadResumed =
      this.#isPolling =
      this.#wasPolled =
      this.#snapshotFailed =
      this.#isAnswered =
        false
    defer(() => {
      if (stream !== this.stream) stream?.detach(this)
      if (snapshot !== this.snapshot) snapshot?.detach(this)
    })
  }

  /** Of the source that it has, or had. */
  figures(): SourceFigures {
    const { stream } = this
    const source = stream ?? this.snapshot
    // A stream that was left while its snapshot is still asked for counts on.
    if (!source || (!stream && this.#figures.lastEventId !== '')) return this.#figures
    return {
      endpoint: source.endpoint(),
      lastEventId: stream?.lastEventId() ?? '',
      reconnects: stream?.reconnects() ?? 0,
      duplicates: stream?.duplicates() ?? 0,
    }
  }

  #stopGrace(): void {
    this.#cancelGrace?.()
    this.#cancelGrace = undefined
  }

  /** The grace is over: nothing of the channel is left but what it knew. */
  #vanish(): void {
    this.#cancelGrace = undefined
    const { value, updatedAt } = this.data
    const lastEventId = this.data.position()
    this.#leave()
    this.data.dispose()
    this.#onGone({ value, updatedAt, lastEventId, isComplete: this.#ended?.status === 'complete' })
  }

  /** What has ended stays ended. */
  #end(how: Connectivity): void {
    if (this.#ended) return
    const { error } = how
    const source = this.stream ?? this.snapshot
    this.#ended = how
    // Whoever shares a source hears the last word before it is left.
    this.#leave(soon)
    this.data.dispose()
    this.#changed()
    this.subscribers.end(error)
    if (error && error.code !== 'closed')
      this.#warn('failed', `channel ${this.key} has failed for good: ${error.message}`, undefined, source?.endpoint())
  }

  // What its sources ask and tell.

  label(): string {
    for (const { label } of this.subscribers.all()) if (label) return label
    return this.key
  }

  maxEventBytes(): number {
    return this.#definition.maxEventBytes ?? DEFAULT_EVENT_BYTES
  }

  connectTimeout(): number | undefined {
    return this.#definition.connectTimeout
  }

  reconnect(): Reconnect | undefined {
    return this.#definition.reconnect
  }

  idleTimeout(): number | false | undefined {
    return this.#definition.idleTimeout
  }

  streamWhenHidden(): 'keep' | 'pause' {
    return this.#definition.whenHidden ?? 'keep'
  }

  /** One answer is worth a request of a page that nobody looks at; a poll is not. */
  snapshotWhenHidden(): 'keep' | 'pause' {
    return this.#definition.whenHidden ?? (this.#isAskedOnce() ? 'keep' : 'pause')
  }

  maxAge(): number | undefined {
    const { maxAge } = this.#definition
    return maxAge === 'cache.ttl' ? this.#context.settings.cache.ttl : maxAge
  }

  retries(): number {
    return this.#isAskedOnce() ? (this.#definition.retry ?? Infinity) : Infinity
  }

  asksWith(): AskOptions {
    const { timeout, priority, group } = this.#definition
    return { timeout, priority, group } as AskOptions
  }

  hasFallback(): boolean {
    return this.#definition.snapshot !== undefined && this.#definition.fallback !== 'none'
  }

  askers(): number {
    return this.subscribers.all().size
  }

  /** ms between polls, `Infinity` for one answer; undefined while the stream is enough. */
  interval(): number | undefined {
    if (this.stream && !this.#isPolling && !this.#snapshotFailed) return undefined
    return this.#pace()
  }

  /** The shortest that anybody wants: who says nothing wants the channel's own, who says 0 wants none. */
  #pace(): number {
    const own = this.#definition.interval ?? this.#context.settings.interval
    // What was wanted last goes on until the grace is over.
    if (this.subscribers.all().size === 0) return this.#lastPace ?? (own || Infinity)
    let shortest = Infinity
    for (const { options } of this.subscribers.all())
      shortest = Math.min(shortest, (options.interval ?? own) || Infinity)
    this.#lastPace = shortest
    return shortest
  }

  #isAskedOnce(): boolean {
    return !this.stream && this.#pace() === Infinity
  }

  onMessages(messages: readonly Message[]): void {
    this.data.accept(messages)
  }

  onRestart(why = 'the server began anew: an id that was known came with other data'): void {
    this.data.restart(why)
  }

  identify(messages: readonly Message[]): readonly Message[] {
    if (!this.#definition.normalize) return messages
    let last: string | undefined
    return messages.map((message) => {
      const reading = this.readingOf(message)
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

  onGap(why: string): void {
    // The snapshot is on its way already where the stream has opened anew.
    if (this.data.isHolding) this.#tellGap(why)
    else this.gap(why)
  }

  wanted(): string | undefined {
    return this.#isFresh() ? this.#nameOfState() : undefined
  }

  given(): readonly [name: string, value: unknown] | undefined {
    const isShown = this.stream !== undefined && !this.#isFresh() && !this.data.isHolding
    return isShown ? [this.#nameOfState(), this.data.value] : undefined
  }

  take(states: Readonly<Record<string, unknown>>): void {
    const name = this.#nameOfState()
    if (!this.#isFresh() || !Object.hasOwn(states, name)) return
    this.data.applySnapshot(states[name], undefined, false)
    this.#hasOpened = true
  }

  /** Tabs take each other's state only if the same version of the reducer has made it. */
  #nameOfState(): string {
    return JSON.stringify([this.key, this.#definition.version])
  }

  /** Nothing is known, or only from before. */
  #isFresh(): boolean {
    return this.data.updatedAt === undefined || this.data.isKept
  }

  onStream(next: StreamState): void {
    const { stream, snapshot } = this
    if (!stream || this.#ended) return
    if (next.name === 'complete' || next.name === 'failed')
      return this.#onStreamOver(next.name === 'failed' ? failed(next.error) : complete)
    // In another tab, or after a take-over, one open connection may follow upon another.
    const opened = next.name === 'open' && next !== this.#open
    this.#open = next.name === 'open' ? next : undefined
    const polls = this.hasFallback() && isGivenUp(next)
    if (polls !== this.#isPolling) {
      this.#isPolling = polls
      this.#wasPolled ||= polls
      snapshot?.reschedule(polls)
    }
    if (opened) this.#onOpened(stream)
    // The stream comes first, but not for ever: when it is open the snapshot is asked for again.
    else if (next.name === 'connecting' && next.late && this.#isFresh()) void snapshot?.pull('foreground', false)
    this.#changed()
  }

  /** What has ended is still to be shown as it is now: the snapshot is asked once more, and may say that it is `done`. */
  #onStreamOver(last: Connectivity): void {
    const { snapshot, data } = this
    if (this.#ending) return
    if (snapshot && (last.error || data.updatedAt === undefined)) {
      this.#ending = last
      this.#open = undefined
      this.#isPolling = false
      this.#changed()
      void snapshot.pull('foreground', true).then(() => this.#ending === last && this.#endOfStream(last))
    } else this.#endOfStream(last)
  }

  /** What waits for a snapshot is told before the end: it may be the last word. */
  #endOfStream(last: Connectivity): void {
    this.data.giveUpSnapshot(true)
    if (!this.#ended && this.data.isDone()) this.#end(complete)
    this.#end(last)
  }

  /** Does what the stream missed have to come from the snapshot? */
  #onOpened(source: StreamSource): void {
    const first = !this.#hasOpened
    const { data } = this
    this.#hasOpened = true
    if (source.resumed() || (data.position() !== '' && source.since(data.position()))) data.confirmKept()
    else if (data.isKept) {
      data.dropKept()
      if (!this.snapshot)
        this.#warn('gap', 'what was kept cannot be gone on from. There is no snapshot to make up for it.')
    }
    if (first || this.#wasPolled || !source.resumed() || this.#definition.replay === false || this.data.isHolding)
      this.#resync(first ? 'foreground' : 'background')
    this.#wasPolled = false
  }

  #resync(kind: 'foreground' | 'background'): void {
    if (!this.snapshot) return
    this.data.expectSnapshot(true)
    void this.snapshot.pull(kind, true)
  }

  onSnapshot(): void {
    if (!this.snapshot || this.#ended) return
    const next = this.snapshot.state()
    this.#snapshotError = 'error' in next ? next.error : undefined
    this.#changed()
  }

  onAsk(): boolean {
    if (this.#open) this.data.expectSnapshot(false)
    return this.#open !== undefined
  }

  /** A stream goes on without its snapshot, if there is something to fold onto; the snapshot is asked for again, slowly. */
  onSnapshotError(error: MillraceError, final: boolean): void {
    if (this.#ended) return
    if (this.#ending) return
    const { data } = this
    const goesOn = this.stream || data.isHolding ? data.giveUpSnapshot(final && !this.stream) : !final
    if (final && !goesOn) this.#end(failed(error))
    else if (this.stream && !final && !this.#isPolling) this.#snapshotFailed = true
  }

  onAnswer(answer: JsonAnswer | undefined, endpoint: string): void {
    const { data } = this
    if (this.#ended) return
    this.#isAnswered = true
    if (!answer) {
      this.#snapshotFailed = !data.unchanged() && this.stream !== undefined
      this.#bodyError = undefined
      return this.#changed()
    }
    const body = readSnapshot(this.#definition, answer)
    if (!(body instanceof Promise)) return this.#takeBody(body, endpoint)
    const take = (late: SnapshotBody) => {
      if (data !== this.data || this.#ended) return
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
    const { data, stream } = this
    if (this.#ended) return
    if ('why' in body) {
      data.counts.invalid++
      this.#warn('invalid-event', `a snapshot ${body.why}.`)
      this.#bodyError = this.#errorOf(body, endpoint)
      if (this.#ending) return
      if (stream ? !data.giveUpSnapshot() : this.retries() === 0) this.#end(failed(this.#bodyError))
      else this.#changed()
      return
    }
    const resumes = stream ? (this.#open ? stream.resumed() : stream.lastEventId() !== '') : this.#hadResumed
    data.applySnapshot(body.value, this.#definition.stream ? body.position : undefined, resumes)
    this.#snapshotFailed = false
    this.#bodyError = undefined
  }

  #errorOf({ why, mishap }: { readonly why: string; readonly mishap?: Mishap }, endpoint: string): MillraceError {
    if (mishap) {
      const { name, cause } = mishap
      if (cause !== undefined) this.threw(name, cause)
      const what = cause === undefined ? `has not answered within ${SCHEMA_TIMEOUT} ms` : 'threw'
      return callbackError(name, `channel ${this.key}`, `${what} at what ${endpoint} answered`, cause)
    }
    const message = `${endpoint} answered with a body that ${why}: the server has changed, or the channel is wrong.`
    return new MillraceError('invalid-body', message, { endpoint })
  }

  // What its data asks and tells.

  now(): number {
    return this.#context.clock.now()
  }

  publish(event: StreamEvent, hasChanged: boolean): void {
    if (hasChanged) this.#state = undefined
    this.subscribers.publish(event)
    this.#context.onEvent(this.key, event)
  }

  elapsed(): number {
    return this.#context.clock.elapsed()
  }

  dataChanged(): void {
    this.#state = undefined
    this.subscribers.stateChanged(false)
  }

  terminal(): void {
    this.#end(complete)
  }

  /** All that is still wanted is the snapshot. */
  terminalHeld(): void {
    const { stream, snapshot } = this
    if (!stream || !snapshot) return
    this.#figures = this.figures()
    this.#hadResumed = stream.resumed()
    this.#open = this.stream = undefined
    soon(() => {
      if (this.stream !== stream) stream.detach(this)
    })
    snapshot.reschedule()
    this.#changed()
  }

  gap(why: string): boolean {
    this.#tellGap(why)
    this.#resync('background')
    return this.snapshot !== undefined
  }

  #tellGap(why: string): void {
    const next = this.snapshot ? 'The snapshot is asked for again' : 'There is no snapshot to make up for it'
    this.#warn('gap', `${why}. ${next}.`)
  }

  invalid({ why, mishap }: Invalid): void {
    this.#warn('invalid-event', `an event ${why}. It is dropped.`)
    if (mishap) this.threw(mishap.name, mishap.cause)
  }

  ignored(types: readonly string[]): void {
    const quoted = (names: readonly string[]) =>
      names
        .slice(0, 5)
        .map((name) => `"${printable(name)}"`)
        .join(', ')
    const listed = Object.keys(this.#definition.events ?? {})
    this.#warn('ignored', `all that comes is ignored: ${quoted(types)} came, and \`events\` lists ${quoted(listed)}.`)
  }

  threw(name: string, cause: unknown): void {
    this.#context.report(name, this.key, cause)
  }

  overflow(): void {
    this.#warn('overflow', 'too many events came before its snapshot did. The oldest are dropped.')
  }

  account(bytes: number): void {
    this.#context.account(bytes)
  }

  patience(ms: number, run: () => void): () => void {
    return this.#context.clock.after(ms, run, `missing events ${this.key}`, true)
  }

  fetchSince(id: string, onMessages: (messages: readonly Message[]) => void, onFailed: () => void): () => void {
    const { stream } = this.#definition
    const source = stream && this.#context.sources.streamSince(stream, id)
    if (!source) return () => {}
    const sink: StreamSink = {
      ...onlooker,
      key: this.key,
      again: true,
      label: () => this.label(),
      maxEventBytes: () => this.maxEventBytes(),
      streamWhenHidden: () => 'keep',
      onMessages,
      onStream({ name }) {
        if (name === 'waiting' || name === 'failed' || name === 'complete') onFailed()
      },
    }
    source.attach(sink)
    return () => source.detach(sink)
  }

  readingOf(message: Message): Reading {
    this.#readings ??= new WeakMap()
    let reading = this.#readings.get(message)
    if (!reading) {
      reading = normalized(this.#definition, message)
      this.#readings.set(message, reading)
    }
    return reading
  }

  since(id: string): readonly Message[] | undefined {
    return this.stream?.since(id)
  }

  lastEventId(): string {
    return this.stream?.lastEventId() ?? ''
  }

  // What its subscribers ask and tell.

  onOverflow({ label, id }: Subscriber, silently: boolean): void {
    this.data.counts.overflowed++
    if (!silently) this.#warn('overflow', `"${label ?? id}" takes events too slowly. The oldest are dropped.`, label)
  }

  #warn(
    code: AlertCode,
    what: string,
    subscriber?: string,
    endpoint: string | undefined = (this.stream ?? this.snapshot)?.endpoint(),
  ): void {
    this.#context.alert({
      code,
      message: `${endpoint ?? this.key}: ${what}`,
      endpoint,
      channel: this.key,
      subscriber,
    })
  }

  // The state that it shows.

  #connectivity(): Connectivity {
    const { stream, snapshot, data } = this
    if (this.#ended) return this.#ended
    const hasData = data.isKept ? false : data.updatedAt !== undefined || this.#isAnswered
    if (this.#ending) return lastAsked(this.#ending.error)
    if (!stream && snapshot && this.#isAskedOnce()) return fromAnswer(snapshot.state(), hasData, this.#bodyError)
    if (!stream) return snapshot ? fromSnapshot(snapshot.state(), hasData, this.#bodyError) : idle
    if (this.#isPolling && snapshot) return fromFallback(stream.state(), snapshot.state(), hasData)
    if (this.#open && data.isHolding && snapshot && this.#snapshotError) return fromSnapshot(snapshot.state(), hasData)
    const shown = fromStream(stream.state(), !data.isHolding || hasData)
    return shown.status === 'live' ? { ...shown, error: this.#snapshotError ?? this.#bodyError } : shown
  }

  state(): ChannelState<unknown> {
    if (this.#state) return this.#state
    const { value, updatedAt, isKept, isHolding } = this.data
    const { status, error, attempt, retryAt, pausedBy } = this.#connectivity()
    const current = status === 'complete' || ((status === 'live' || status === 'polling') && !isHolding)
    this.#state = Object.freeze({
      status,
      data: value,
      error,
      updatedAt,
      attempt,
      retryAt,
      role: (this.stream ?? this.snapshot)?.role(),
      pausedBy,
      isStale: updatedAt !== undefined && (isKept || !current),
    })
    return this.#state
  }

  /** Connectivity may be another; tells only if it is. */
  #changed(): void {
    const before = this.#state
    this.#state = undefined
    const now = this.state()
    if (
      before &&
      Object.keys(now).every((name) => Object.is(before[name as keyof typeof now], now[name as keyof typeof now]))
    ) {
      this.#state = before
      return
    }
    this.subscribers.stateChanged(true)
    this.#context.onStatus(this.key, now)
  }
}
