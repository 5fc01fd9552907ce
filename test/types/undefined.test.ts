import type {
  ClientOptions,
  CommonOptions,
  Coordination,
  EventsOptions,
  Flags,
  NormalizedEvent,
  Observer,
  Position,
  ReconnectingEventSourceInit,
  Rollout,
  StreamEvent,
  SubscribeOptions,
  TargetRequest,
} from 'millrace'
import { type Client, configure, createClient, defineChannel, subscribe } from 'millrace'
import type { UseChannelOptions, UseEventsOptions, UseJsonOptions } from 'millrace/react'
import type { bind } from 'millrace/vanilla'
import type * as vue from 'millrace/vue'
import { expectTypeOf, test } from 'vitest'

// With `exactOptionalPropertyTypes`, which tests are compiled with. What may be left out may be given as undefined.

/** The options of `T` that may be left out, and not be undefined. */
type Refuses<T> = {
  [K in keyof T]-?: Record<never, never> extends Pick<T, K>
    ? { [_ in K]: undefined } extends Pick<T, K>
      ? never
      : K
    : never
}[keyof T]
type Part<K extends keyof ClientOptions> = NonNullable<ClientOptions[K]>

/** Every interface of options. A new option of theirs is looked at too; a new interface belongs here. */
interface Options {
  client: ClientOptions
  backoff: Part<'backoff'>
  breaker: Part<'breaker'>
  limits: Part<'limits'>
  cache: Part<'cache'>
  thresholds: Part<'thresholds'>
  rollout: Rollout
  flags: Flags
  channel: CommonOptions<StreamEvent, number>
  target: TargetRequest
  position: Position
  normalized: NormalizedEvent
  subscribe: SubscribeOptions
  observer: Observer<number, StreamEvent>
  events: EventsOptions<StreamEvent>
  coordination: Coordination
  json: NonNullable<Parameters<Client['json']>[2]>
  source: ReconnectingEventSourceInit
  sourceBackoff: NonNullable<ReconnectingEventSourceInit['backoff']>
  bind: NonNullable<Parameters<typeof bind>[3]>
  react: UseChannelOptions<number, StreamEvent>
  reactEvents: UseEventsOptions<StreamEvent>
  reactJson: UseJsonOptions<number>
  vue: vue.UseChannelOptions<number, StreamEvent>
  vueEvents: vue.UseEventsOptions
  vueJson: vue.UseJsonOptions<number>
}

test('every option that may be left out may be undefined', () => {
  expectTypeOf<{ [K in keyof Options]: Refuses<Options[K]> }[keyof Options]>().toEqualTypeOf<never>()
  // It can tell.
  expectTypeOf<Refuses<{ a?: number; b?: number | undefined; c: number }>>().toEqualTypeOf<'a'>()
})

/** The compiler reads it; nothing runs. */
const never = (_: () => unknown): void => {}

test('those of defineChannel itself too', () =>
  never(() => {
    const none = undefined as undefined
    const channel = defineChannel<number>({
      key: 'k',
      stream: '/s',
      snapshot: none,
      events: none,
      initial: none,
      reduce: none,
      fromSnapshot: none,
      schema: none,
      interval: none,
    })
    defineChannel({ key: 'k', snapshot: '/s', stream: none, initial: none, fromSnapshot: none, reduce: none })
    createClient({ interval: none, backoff: { base: none }, flags: { tabs: none } })
    configure({ headers: none })
    subscribe(channel, { state: none, next: none }, { interval: none, signal: none })
  }))
