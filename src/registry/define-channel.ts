import type { StandardSchemaV1 } from '@standard-schema/spec'
import { check, isSchema, shown } from '../primitives/check'
import { configError } from '../primitives/errors'
import { hashKey } from '../primitives/hash-key'
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

/** Where in the stream a snapshot stands. */
export interface Position {
  /** The id of the last event that the snapshot contains. */
  id?: string
  /** The sequence number of the last event that the snapshot contains. */
  sequence?: number
}

/** What every channel may be told. */
export interface CommonOptions<E> {
  /**
   * The identity of the state: a string, or an array of plain data, hashed without collisions; the order of object keys
   * does not matter. One key with two different targets throws `config`. It stands in statistics, alerts and logs, so it
   * should hold no secret: see `urlKey`.
   */
  key: string | readonly unknown[]
  /** A terminal event: it is delivered, then the channel is 'complete' and leaves its source; what comes later is dropped. */
  until?: (event: E) => boolean
  /** Opt-in order: consecutive integers per channel. */
  sequence?: (event: E) => number
  /** Reads an envelope of your server's own; `undefined` drops the message. */
  normalize?: (message: RawMessage) => { type: string; data: unknown } | undefined
  /** Validates and types a snapshot's body. */
  schema?: StandardSchemaV1
  /** Where in the stream a snapshot stands. @defaultValue the response header `Last-Event-ID` */
  position?: (body: unknown, headers: Headers) => Position | undefined
  /** ms between polls; the smallest of all subscribers wins; never under 1 s (200 ms in test). @defaultValue by environment */
  interval?: number
  /** What to do while the stream cannot be had. @defaultValue 'poll' when there is a snapshot */
  fallback?: 'poll' | 'none'
  /** Whether all tabs, or only this page, share the source. @defaultValue 'tabs' */
  share?: 'tabs' | 'page'
  /** Applies when every tab that wants it is hidden. @defaultValue streams 'keep', polls 'pause' */
  whenHidden?: 'keep' | 'pause'
  /**
   * ms without a byte before a connection counts as dead; a number given here is armed from the start.
   * @defaultValue 45_000, armed by the source's first comment (a server that sends heartbeats)
   */
  idleTimeout?: number | false
  /** ms that a source outlives its last subscriber: a remount or a route change reuses it. @defaultValue 1_000 */
  grace?: number
  /** ms that the last state stays in the cache after that, shown at once, as stale, to the next subscriber. @defaultValue 300_000 */
  keep?: number
  /** The largest event that is accepted, in characters of its data. @defaultValue 1 MiB */
  maxEventBytes?: number
  /** `false`: the server has ids but replays nothing; a reconnect then resyncs from the snapshot. @defaultValue true */
  replay?: boolean
  /** Of the reducer: tabs take each other's state only if it is equal. */
  version?: string | number
}

type FromSnapshot<S> = (body: unknown) => S
type DataOf<M extends Schemas> = NoInfer<EventOf<M>['data']>

/**
 * Describes a channel: a stream, a snapshot, or both, and how events fold into state. Without `reduce` the state is the
 * latest event's data; without `fromSnapshot` it is the snapshot's body. `reduce` must be pure, and idempotent where a
 * snapshot does not say where in the stream it stands.
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
  <S, E extends StreamEvent = StreamEvent>(
    options: CommonOptions<E> & {
      stream: Target
      snapshot?: Target
      events?: never
      initial?: S
      reduce?: (state: S, event: E) => S
      fromSnapshot?: FromSnapshot<S>
    },
  ): Channel<S, E>
  <S = unknown>(
    options: CommonOptions<never> & {
      stream?: never
      snapshot: Target
      events?: never
      reduce?: never
      initial?: NoInfer<S>
      fromSnapshot?: FromSnapshot<S>
    },
  ): Channel<S, never>
  <M extends Schemas>(
    options: CommonOptions<EventOf<M>> & {
      stream: Target
      snapshot?: Target
      events: M
      reduce?: never
      initial?: DataOf<M>
      fromSnapshot?: FromSnapshot<DataOf<M>>
    },
  ): Channel<EventOf<M>['data'], EventOf<M>>
  <M extends Schemas, S>(
    options: CommonOptions<EventOf<M>> & {
      stream: Target
      snapshot: Target
      events: M
      initial?: never
      fromSnapshot: FromSnapshot<S>
      reduce: (state: NoInfer<S>, event: EventOf<M>) => NoInfer<S>
    },
  ): Channel<S, EventOf<M>>
  <M extends Schemas, S>(
    options: CommonOptions<EventOf<M>> & {
      stream: Target
      snapshot?: Target
      events: M
      initial: S
      fromSnapshot?: FromSnapshot<NoInfer<S>>
      reduce: (state: NoInfer<S>, event: EventOf<M>) => NoInfer<S>
    },
  ): Channel<S, EventOf<M>>
}

/** What stands behind a {@link Channel}, its types erased. */
export interface ChannelDefinition extends CommonOptions<StreamEvent> {
  readonly stream?: Target
  readonly snapshot?: Target
  readonly events?: Schemas
  readonly initial?: unknown
  readonly reduce?: (state: unknown, event: StreamEvent) => unknown
  readonly fromSnapshot?: (body: unknown) => unknown
}

/** Registered, so that a channel of one copy of the bundle is understood by another. */
const definition = Symbol.for('millrace.definition')

export const defineChannel: DefineChannel = ((options: ChannelDefinition) => {
  if (typeof options !== 'object' || options === null) throw configError('the description of a channel', shown(options))
  const { key, stream, snapshot, events } = options
  if (key === undefined) throw configError('a `key` that names the channel', 'none')
  if (!stream && !snapshot) throw configError('a `stream`, a `snapshot`, or both', 'neither')
  check('', options)
  for (const target of [stream, snapshot]) checkTarget(target)
  for (const [type, schema] of Object.entries(events ?? {}))
    if (!isSchema(schema)) throw configError(`a Standard Schema for the event "${type}"`, shown(schema))
  // Not `{ ...options }`: V8 gives each frozen copy of that kind a hidden class of its own, three times the memory.
  return Object.freeze({ key: hashKey(key), [definition]: Object.freeze(Object.assign({}, options)) })
}) as unknown as DefineChannel

export function definitionOf(channel: Channel<unknown, unknown>): ChannelDefinition {
  const found = (channel as { [definition]?: ChannelDefinition } | undefined)?.[definition]
  if (!found) throw configError('a channel made by `defineChannel`', typeof channel)
  return found
}
