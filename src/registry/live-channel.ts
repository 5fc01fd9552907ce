/** A channel that somebody wants: joins its sources, shows how they are doing, and leaves them when nobody does any more. */
import { SCHEMA_TIMEOUT } from '../network/body'
import type { JsonAnswer } from '../network/coordinated-fetch'
import type { AlertCode } from '../primitives/alerts'
import { MillraceError } from '../primitives/errors'
import type { AskOptions, SnapshotSink, SnapshotSource } from '../sources/snapshot-source'
import type { StreamSink, StreamSource, StreamState } from '../sources/stream-source'
import type { Message } from '../stream/messages'
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
} from './channel-state'
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
/** ms that missing events are waited for. */
const PATIENCE = 2_000

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
    this.subscribers = new Subscribers(context.clock, this)
  }

  // What the registry asks of it.

  definition(): ChannelDefinition {
    return this.#definition
  }

  /** The newest description wins: identity is the key's, functions may be made anew at every render. */
  redefine(definition: ChannelDefinition): void {
    this.#definition = definition
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
    queueMicrotask(() => {
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
      this.data = new ChannelData(this, this.data)
      if (this.subscribers.all().size > 0) this.#join(true)
      this.#changed()
    }
    if (!this.#isJoined()) return this.#visit()
    if (this.stream && this.stream.state().name !== 'open') this.stream.restart()
    this.snapshot?.reschedule(true)
    // What is under way may be from before the change that it is asked for; a user waits for it.
    await this.snapshot?.pull('foreground', true)
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
    await source.pull('foreground', true)
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
    this.#leave()
    this.data.dispose()
    this.data = new ChannelData(this, undefined)
    this.#ended = undefined
    if (this.subscribers.all().size === 0) return this.quiet()
    this.#join(false)
    this.#changed()
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
    this.#end(failed(error))
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
    const { stream, snapshot, share } = this.#definition
    const { sources } = this.#context
    this.again = again
    if (snapshot) this.snapshot = sources.snapshot(snapshot, this.key, share)
    if (stream && this.#mayStream()) this.stream = sources.stream(stream, this.key, share)
    // The stream comes first: an event between the two would be lost the other way round.
    this.stream?.attach(this)
    this.snapshot?.attach(this)
    if (this.stream) this.onStream(this.stream.state())
    this.#wantAnswer()
    this.#changed()
  }

  #leave(): void {
    const { stream, snapshot } = this
    this.#validated()
    this.stream = this.snapshot = this.#snapshotError = this.#bodyError = undefined
    this.#open = undefined
    this.#hasOpened = this.#isPolling = this.#wasPolled = this.#snapshotFailed = this.#isAnswered = false
    stream?.detach(this)
    snapshot?.detach(this)
  }

  #stopGrace(): void {
    this.#cancelGrace?.()
    this.#cancelGrace = undefined
  }

  /** The grace is over: nothing of the channel is left but what it knew. */
  #vanish(): void {
    this.#cancelGrace = undefined
    const { value, updatedAt } = this.data
    this.#leave()
    this.data.dispose()
    this.#onGone({ value, updatedAt, isComplete: this.#ended?.status === 'complete' })
  }

  #end(how: Connectivity): void {
    this.#leave()
    this.data.dispose()
    this.#ended = how
    this.#changed()
    this.subscribers.end(how.error)
  }

  // What its sources ask and tell.

  label(): string {
    for (const { label } of this.subscribers.all()) if (label) return label
    return this.key
  }

  maxEventBytes(): number {
    return this.#definition.maxEventBytes ?? DEFAULT_EVENT_BYTES
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
    const { stream, snapshot, data } = this
    if (!stream || this.#ended) return
    if (next.name === 'complete' || next.name === 'failed') {
      data.giveUpSnapshot()
      const last = next.name === 'failed' ? failed(next.error) : complete
      if (!snapshot || data.updatedAt !== undefined || last.error) return this.#end(last)
      // What has ended before anybody came is still to be shown.
      void snapshot.pull('foreground', true).then(() => snapshot === this.snapshot && this.#end(last))
    }
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

  /** Does what the stream missed have to come from the snapshot? */
  #onOpened(source: StreamSource): void {
    const first = !this.#hasOpened
    this.#hasOpened = true
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
    const goesOn = this.stream ? this.data.giveUpSnapshot() : !final
    if (final && !goesOn) this.#end(failed(error))
    else if (this.stream && !final && !this.#isPolling) this.#snapshotFailed = true
  }

  onAnswer(answer: JsonAnswer | undefined, endpoint: string): void {
    const { data } = this
    this.#isAnswered = true
    if (!answer) {
      data.isKept = false
      this.#bodyError = undefined
      return this.#changed()
    }
    const body = readSnapshot(this.#definition, answer)
    if (!(body instanceof Promise)) return this.#takeBody(body, endpoint)
    const take = (late: SnapshotBody) => {
      if (data !== this.data) return
      this.#validated()
      this.#takeBody(late, endpoint)
    }
    void body.then(take)
    const why = `its schema has not validated within ${SCHEMA_TIMEOUT} ms`
    this.#stopValidation ??= this.#context.clock.after(SCHEMA_TIMEOUT, () => take({ why }), `schema ${this.key}`)
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
      const message = `${endpoint} answered with a body that ${body.why}: the server has changed, or the channel is wrong.`
      this.#bodyError = new MillraceError('invalid-body', message, { endpoint, cause: body.cause })
      if (stream ? !data.giveUpSnapshot() : this.retries() === 0) this.#end(failed(this.#bodyError))
      else this.#changed()
      return
    }
    const resumes = stream !== undefined && (this.#open ? stream.resumed() : stream.lastEventId() !== '')
    data.applySnapshot(body.value, stream && body.position, resumes)
    this.#snapshotFailed = false
    this.#bodyError = undefined
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

  dataChanged(): void {
    this.#state = undefined
    this.subscribers.stateChanged(false)
  }

  terminal(): void {
    this.#end(complete)
  }

  gap(why: string): boolean {
    const next = this.snapshot ? 'The snapshot is asked for again' : 'There is no snapshot to make up for it'
    this.#warn('gap', `${why}. ${next}.`)
    this.#resync('background')
    return this.snapshot !== undefined
  }

  invalid(why: string): void {
    this.#warn('invalid-event', `an event ${why}. It is dropped.`)
  }

  overflow(): void {
    this.#warn('overflow', 'too many events came before its snapshot did. The oldest are dropped.')
  }

  account(bytes: number): void {
    this.#context.account(bytes)
  }

  patience(run: () => void): () => void {
    return this.#context.clock.after(PATIENCE, run, `missing events ${this.key}`)
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

  #warn(code: AlertCode, what: string, subscriber?: string): void {
    const endpoint = (this.stream ?? this.snapshot)?.endpoint()
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
