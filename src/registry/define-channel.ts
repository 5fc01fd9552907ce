import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { Priority } from '../network/request'
import { check, shown } from '../primitives/check'
import { configError } from '../primitives/errors'
import { hashKey } from '../primitives/hash-key'
import { channelOptions, schemaOptions } from '../primitives/options'
import { checkTarget, type Target } from '../sources/target'

/** Event type -> schema (zod, valibot, arktype …). Types that are not listed are ignored and counted. */
export type Schemas = Record<string, StandardSchemaV1>

/** One event of a channel's stream. */
// biome-ignore lint/suspicious/noExplicitAny: without schemas nothing is known of the data, and users write no casts
export interface StreamEvent<T extends string = string, D = any> {
  readonly type: T
  readonly data: D
  /** The id that the server gave this event, if it gave one. */
  readonly id?: string
  /** ms since the epoch. */
  readonly receivedAt: number
}

/** The discriminated union of the events that these schemas describe. */
export type EventOf<M extends Schemas> = string extends keyof M
  ? StreamEvent
  : { [K in keyof M & string]: StreamEvent<K, StandardSchemaV1.InferOutput<M[K]>> }[keyof M & string]

type DataOf<M extends Schemas> = EventOf<M>['data']

declare const types: unique symbol

/** A frozen description of a live view of data. It opens nothing; subscribing to it does. */
export interface Channel<S, E> {
  /** The identity of its state. */
  readonly key: string
  readonly [types]?: { state: S; event: E }
}

/** A message of a stream, before it becomes an event. */
export interface RawMessage {
  /** What the server's `event:` says, '' if it named none. */
  event: string
  data: string
  id?: string
}

/** An event that `normalize` has read out of a message. */
export interface NormalizedEvent {
  type: string
  data: unknown
  /** @defaultValue the message's */
  id?: string | undefined
}

/** A message that is no event, and says how far the stream has come: what a reconnect resumes from. */
export interface NormalizedId {
  id: string
  type?: undefined
}

/** What `normalize` may answer: one event, several in their order, an id alone, or nothing. */
export type Normalized = NormalizedEvent | readonly NormalizedEvent[] | NormalizedId | undefined

/** Where in the stream a snapshot stands. */
export interface Position {
  /** The id of the last event that the snapshot contains. */
  id?: string | undefined
  /** The sequence number of the last event that the snapshot contains. */
  sequence?: number | undefined
}

/** What every channel may be told. */
// biome-ignore lint/suspicious/noExplicitAny: options that are written down before a channel's state is known fit any
export interface CommonOptions<E, S = any, B = any> {
  /**
   * The identity of the state: a string, or an array of plain data, hashed without collisions; the order of object keys
   * does not matter. One key with two different targets throws `config`. It stands in statistics, alerts and logs, so it
   * should hold no secret: see `urlKey`.
   */
  key: string | readonly unknown[]
  /** A terminal event: it is delivered, then the channel is 'complete' and leaves its source; what comes later is dropped. */
  until?: ((event: E) => boolean) | undefined
  /**
   * A terminal state, wherever it comes from (`initial`, a snapshot, an event): it is shown, then the channel is
   * 'complete' and leaves its source.
   */
  done?: ((state: S) => boolean) | undefined
  /** Opt-in order: consecutive integers per channel. `undefined`: not part of the order, delivered in its place. */
  sequence?: ((event: E) => number | undefined) | undefined
  /**
   * Reads an envelope of your server's own: one event or several, each of which may have an id of its own; `{ id }` alone
   * only moves on what a reconnect resumes from; `undefined` drops the message.
   */
  normalize?: ((message: RawMessage) => Normalized) | undefined
  /** How data is read: `text` is the text that came. @defaultValue as JSON if it begins with `{`, `[` or `"`, else the text */
  parse?: 'json' | 'text' | undefined
  /** Validates and types a snapshot's body. */
  schema?: StandardSchemaV1<unknown, B> | undefined
  /** Where in the stream a snapshot stands. @defaultValue the response header `Last-Event-ID` */
  position?: ((body: B, headers: Headers) => Position | undefined) | undefined
  /**
   * ms between polls; the smallest of all subscribers wins; never under 1 s (200 ms in test). `0`: asked once, then only
   * as often as a subscriber says. @defaultValue by environment
   */
  interval?: number | undefined
  /** ms that a request for the snapshot, and each poll, may take, all of its waiting included. @defaultValue 15_000 */
  timeout?: number | undefined
  /** ms that a stream's head is waited for, before it counts as a failure. @defaultValue none: as an `EventSource` would */
  connectTimeout?: number | undefined
  /**
   * Whether a stream that broke off is asked again. `resume`: only if the server has named an id to resume from, else the
   * channel is 'failed' with `interrupted`; `never`: not at all. @defaultValue `always` for `GET`, `resume` for other methods
   */
  reconnect?: 'always' | 'resume' | 'never' | undefined
  /** What to do while the stream cannot be had. @defaultValue 'poll' when there is a snapshot */
  fallback?: 'poll' | 'none' | undefined
  /** Whether all tabs, or only this page, share the source. @defaultValue 'tabs' */
  share?: 'tabs' | 'page' | undefined
  /** Applies when every tab that wants it is hidden. @defaultValue streams 'keep', polls 'pause' */
  whenHidden?: 'keep' | 'pause' | undefined
  /**
   * ms without a byte before a connection counts as dead; a number given here is armed from the start.
   * @defaultValue 45_000, armed by the source's first comment (a server that sends heartbeats)
   */
  idleTimeout?: number | false | undefined
  /** ms that a source outlives its last subscriber: a remount or a route change reuses it. @defaultValue 1_000 */
  grace?: number | undefined
  /** ms that the last state stays in the cache after that, shown at once, as stale, to the next subscriber. @defaultValue 300_000 */
  keep?: number | undefined
  /** The largest event that is accepted, in characters of its data. @defaultValue 1 MiB */
  maxEventBytes?: number | undefined
  /** `false`: the server has ids but replays nothing; a reconnect then resyncs from the snapshot. @defaultValue true */
  replay?: boolean | undefined
  /** Of the reducer: tabs take each other's state only if it is equal. */
  version?: string | number | undefined
}

type Primitive = string | number | bigint | boolean | symbol | null | undefined
/**
 * What functions answer is inferred by itself, then compared with the state: taken for the state's type too, the 'done' of
 * `{ ...state, phase: 'done' }` would be any text. A literal keeps its type where it may be a `V`.
 */
type Answer<V> = V | object | [] | readonly Answer<V>[] | { [name: string]: Answer<V> }
type Either<A, B> = [B] extends [A] ? A : A | B
/** As `NoInfer`, which hides from a literal what it is to be. */
type Given<S> = [S][S extends unknown ? 0 : never]
/** What a function answers; what else there is where none is given, and its answer may be any object. */
type Answered<A, Else = never> = [object] extends [A] ? Else : A
/** What a snapshot's body becomes without `fromSnapshot`: what its schema answers; never if there is none. */
type Parsed<B> = unknown extends B ? never : B
/** Refuses answers that are no states. */
type Fits<A, S, E, B> = [A] extends [S]
  ? unknown
  : {
      schema?: StandardSchemaV1<unknown, Given<S>> | undefined
      reduce?: (state: S, event: E) => Given<S>
      fromSnapshot?: (body: B) => Given<S>
    }

interface Stream {
  stream: Target
  snapshot?: Target | undefined
}
interface StreamAndSnapshot {
  stream: Target
  snapshot: Target
}
interface Snapshot {
  stream?: undefined
  snapshot: Target
  events?: undefined
  reduce?: undefined
}
interface Events<M> {
  events: M
}
interface NoEvents {
  events?: undefined
}
interface Reduced<S, E, R> {
  reduce: (state: S, event: E) => R
}
interface NotReduced {
  reduce?: undefined
}

// What says the state's type. Both given: `initial` does. The first overload that is tried reads functions without
// parameters for all: so those in which every function is read literally come first.
interface InitialAndBody<S, B, F> {
  initial: S
  fromSnapshot: (body: B) => F
}
interface FromBody<S, B> {
  initial?: undefined
  fromSnapshot: (body: B) => S
}
interface BySchema<S> {
  initial?: Given<S> | undefined
  schema: Schema<S>
  fromSnapshot?: undefined
}
interface ByInitial<S> {
  initial: S
  fromSnapshot?: undefined
}
/** A type argument: the rest only has to fit. */
type Said<S, B> =
  | { initial?: S | undefined; schema?: Schema<Given<S>> | undefined; fromSnapshot?: undefined }
  | { initial?: S | undefined; schema?: Schema<B> | undefined; fromSnapshot: (body: B) => S }
  | { initial?: S | undefined; schema?: undefined; fromSnapshot?: ((body: B) => S) | undefined }
/** A reducer begins with `initial`, or with the snapshot; without one, the state is the latest event's data too. */
type Folded<S, E extends StreamEvent> =
  | ([E['data']] extends [S] ? NotReduced : never)
  | (Reduced<S, E, Given<S>> & ({ initial: S } | { snapshot: Target }))
type Schema<T> = StandardSchemaV1<unknown, T>

/**
 * Describes a channel: a stream, a snapshot, or both, and how events fold into state. Without `reduce` the state is the
 * latest event's data; without `fromSnapshot` it is the snapshot's body. `reduce` must be pure, and idempotent where a
 * snapshot does not say where in the stream it stands.
 *
 * The state's type is that of `initial`, else what `fromSnapshot` answers, else what comes out of `schema`, else the
 * events' data. `defineChannel<State>` says it instead, and any events; `defineChannel<State, typeof events>` knows those
 * too. An `initial` of a union that the compiler has narrowed (`const first: Job = { status: 'idle' }`) needs one of them.
 *
 * @throws MillraceError `config` if there is neither a stream nor a snapshot, or an option is out of range
 *
 * @example
 * ```ts
 * import { defineChannel } from 'millrace'
 * import { z } from 'zod'
 *
 * const users = defineChannel({
 *   key: ['users'],
 *   stream: '/api/users/stream',
 *   snapshot: '/api/users',
 *   events: { joined: z.object({ id: z.string() }), left: z.object({ id: z.string() }) },
 *   fromSnapshot: (body) => new Set(body as string[]),
 *   reduce(users, event) {
 *     const next = new Set(users)
 *     if (event.type === 'joined') next.add(event.data.id)
 *     else next.delete(event.data.id)
 *     return next
 *   },
 * })
 * ```
 */
export interface DefineChannel {
  // Events by their schemas, folded.
  <M extends Schemas, S, V extends Primitive, R extends Answer<V>, F extends Answer<V>, B>(
    options: CommonOptions<EventOf<M>, S, B> &
      (Stream & Events<M> & InitialAndBody<S, B, F> & Reduced<S, EventOf<M>, R>) &
      Fits<Answered<R> | Answered<F>, S, EventOf<M>, B>,
  ): Channel<S, EventOf<M>>
  <M extends Schemas, S, V extends Primitive, R extends Answer<V>, B>(
    options: CommonOptions<EventOf<M>, S, B> &
      (StreamAndSnapshot & Events<M> & FromBody<S, B> & Reduced<S, EventOf<M>, R>) &
      Fits<Answered<R>, S, EventOf<M>, B>,
  ): Channel<S, EventOf<M>>
  <M extends Schemas, S, V extends Primitive, R extends Answer<V>>(
    options: CommonOptions<EventOf<M>, S, S> &
      (StreamAndSnapshot & Events<M> & BySchema<S> & Reduced<S, EventOf<M>, R>) &
      Fits<Answered<R>, S, EventOf<M>, S>,
  ): Channel<S, EventOf<M>>
  <M extends Schemas, S, V extends Primitive, R extends Answer<V>, B>(
    options: CommonOptions<EventOf<M>, S, B> &
      (Stream & Events<M> & ByInitial<S> & Reduced<S, EventOf<M>, R>) &
      Fits<Answered<R> | Parsed<B>, S, EventOf<M>, B>,
  ): Channel<S, EventOf<M>>

  // Not folded: the state is the latest event's data.
  <M extends Schemas, V extends Primitive, F extends Answer<V>, B>(
    options: CommonOptions<EventOf<M>, DataOf<M>, B> &
      (StreamAndSnapshot & Events<M> & NotReduced) & {
        initial?: Given<DataOf<M>> | undefined
        fromSnapshot: (body: B) => F
      } & Fits<Answered<F>, DataOf<M>, EventOf<M>, B>,
  ): Channel<DataOf<M>, EventOf<M>>
  <M extends Schemas, B>(
    options: CommonOptions<EventOf<M>, Either<DataOf<M>, B>, B> &
      (StreamAndSnapshot & Events<M> & NotReduced & BySchema<B>),
  ): Channel<Either<DataOf<M>, B>, EventOf<M>>
  <M extends Schemas>(
    options: CommonOptions<EventOf<M>, DataOf<M>, unknown> &
      (Stream & Events<M> & NotReduced) & { initial?: Given<DataOf<M>> | undefined; fromSnapshot?: undefined },
  ): Channel<DataOf<M>, EventOf<M>>

  // The type arguments say it: the state's, and `typeof events`, without which they may be any.
  <S, M extends Schemas = Schemas, B = unknown>(
    options: CommonOptions<EventOf<M>, S, B> & Stream & Events<M> & Said<S, B> & Folded<S, EventOf<M>>,
  ): Channel<S, EventOf<M>>

  // Events without schemas.
  <S, E extends StreamEvent, V extends Primitive, R extends Answer<V>, F extends Answer<V>, B>(
    options: CommonOptions<E, S, B> &
      (Stream & NoEvents & InitialAndBody<S, B, F> & Partial<Reduced<S, E, R>>) &
      Fits<Answered<R> | Answered<F>, S, E, B>,
  ): Channel<S, E>
  <S, E extends StreamEvent, V extends Primitive, R extends Answer<V>>(
    options: CommonOptions<E, S, S> &
      (StreamAndSnapshot & NoEvents & BySchema<S> & Partial<Reduced<S, E, R>>) &
      Fits<Answered<R>, S, E, S>,
  ): Channel<S, E>
  <S, E extends StreamEvent, V extends Primitive, R extends Answer<V>, B>(
    options: CommonOptions<E, S, B> &
      (Stream & NoEvents & ByInitial<S> & Reduced<S, E, R>) &
      Fits<Answered<R> | Parsed<B>, S, E, B>,
  ): Channel<S, E>
  <S, E extends StreamEvent = StreamEvent, B = unknown>(
    options: CommonOptions<E, S, B> &
      Stream &
      NoEvents &
      Said<S, B> & { reduce?: ((state: S, event: E) => S) | undefined },
  ): Channel<S, E>

  // A snapshot alone.
  <S, V extends Primitive, F extends Answer<V>, B>(
    options: CommonOptions<never, S, B> & (Snapshot & InitialAndBody<S, B, F>) & Fits<Answered<F>, S, never, B>,
  ): Channel<S, never>
  <S, B extends S>(options: CommonOptions<never, S, B> & Snapshot & BySchema<S>): Channel<S, never>
  <S = unknown, B = unknown>(options: CommonOptions<never, S, B> & Snapshot & Said<S, B>): Channel<S, never>
}

/** What stands behind a {@link Channel}, its types erased. */
export interface ChannelDefinition extends CommonOptions<StreamEvent> {
  readonly stream?: Target
  readonly snapshot?: Target
  readonly events?: Schemas
  readonly initial?: unknown
  readonly reduce?: (state: unknown, event: StreamEvent) => unknown
  readonly fromSnapshot?: (body: unknown) => unknown
  /** ms: an answer that somebody else was given is new enough for this long. @defaultValue not at all */
  readonly maxAge?: number | 'cache.ttl' | undefined
  /** How often what is asked once is tried again before it has failed. @defaultValue until it answers */
  readonly retry?: number | undefined
  readonly priority?: Priority | undefined
  readonly group?: string | undefined
}

/** Registered, so that a channel of one copy of the bundle is understood by another. */
const definition = Symbol.for('millrace.definition')

export const defineChannel: DefineChannel = ((options: ChannelDefinition) => {
  if (typeof options !== 'object' || options === null) throw configError('the description of a channel', shown(options))
  const { key, stream, snapshot, events } = options
  if (key === undefined) throw configError('a `key` that names the channel', 'none')
  if (!stream && !snapshot) throw configError('a `stream`, a `snapshot`, or both', 'neither')
  check(channelOptions, options)
  check(schemaOptions, events, 'events.')
  for (const target of [stream, snapshot]) checkTarget(target)
  // Not `{ ...options }`: V8 gives each frozen copy of that kind a hidden class of its own, three times the memory.
  return Object.freeze({ key: hashKey(key), [definition]: Object.freeze(Object.assign({}, options)) })
}) as unknown as DefineChannel

export function definitionOf(channel: Channel<unknown, unknown>): ChannelDefinition {
  const found = (channel as { [definition]?: ChannelDefinition } | undefined)?.[definition]
  if (!found) throw configError('a channel made by `defineChannel`', typeof channel)
  return found
}
