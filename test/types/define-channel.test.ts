import { type } from 'arktype'
import {
  type Channel,
  type ChannelState,
  type Client,
  type DefineChannel,
  defineChannel,
  type StreamEvent,
} from 'millrace'
import * as v from 'valibot'
import { describe, expectTypeOf, test } from 'vitest'
import * as z from 'zod'

// Read by the compiler: `tsc -p test` says what is wrong. Run, it shows that nothing here throws.

const stream = 'http://127.0.0.1/stream'
const snapshot = 'http://127.0.0.1/snapshot'
declare const client: Client
/** The compiler reads it; nothing runs. */
const never = (_: () => unknown): void => {}

type StateOf<C> = C extends Channel<infer S, unknown> ? S : never
type EventIn<C> = C extends Channel<unknown, infer E> ? E : never

describe('events by their schemas', () => {
  const users = defineChannel({
    key: 'users',
    stream,
    events: { joined: z.object({ id: z.string() }), left: z.object({ id: z.string(), why: z.string().optional() }) },
    initial: new Map<string, number>(),
    reduce(state, event) {
      expectTypeOf(state).toEqualTypeOf<Map<string, number>>()
      expectTypeOf(event.type).toEqualTypeOf<'joined' | 'left'>()
      if (event.type === 'left') expectTypeOf(event.data).toEqualTypeOf<{ id: string; why?: string | undefined }>()
      else expectTypeOf(event.data).toEqualTypeOf<{ id: string }>()
      return state
    },
    until: (event) => event.type === 'left' && event.data.why === 'closed',
    sequence: (event) => event.receivedAt,
  })

  test('are a discriminated union with zod', () => {
    expectTypeOf<StateOf<typeof users>>().toEqualTypeOf<Map<string, number>>()
    expectTypeOf<EventIn<typeof users>['type']>().toEqualTypeOf<'joined' | 'left'>()
    expectTypeOf<Extract<EventIn<typeof users>, { type: 'joined' }>['data']>().toEqualTypeOf<{ id: string }>()
    expectTypeOf<EventIn<typeof users>['id']>().toEqualTypeOf<string | undefined>()
  })

  test('are a discriminated union with valibot, by what comes out of a schema', () => {
    const prices = defineChannel({
      key: 'prices',
      stream,
      events: { price: v.object({ last: v.pipe(v.string(), v.transform(Number)) }), halt: v.literal(true) },
      initial: 0,
      reduce: (last, event) => (event.type === 'price' ? event.data.last : last),
    })
    expectTypeOf<StateOf<typeof prices>>().toEqualTypeOf<number>()
    expectTypeOf<Extract<EventIn<typeof prices>, { type: 'price' }>['data']>().toEqualTypeOf<{ last: number }>()
    expectTypeOf<Extract<EventIn<typeof prices>, { type: 'halt' }>['data']>().toEqualTypeOf<true>()
  })

  test('are a discriminated union with arktype', () => {
    const moves = defineChannel({
      key: 'moves',
      stream,
      events: { moved: type({ x: 'number' }), 'over!': type('string') },
    })
    expectTypeOf<Extract<EventIn<typeof moves>, { type: 'moved' }>['data']>().toEqualTypeOf<{ x: number }>()
    expectTypeOf<StateOf<typeof moves>>().toEqualTypeOf<{ x: number } | string>()
  })

  test('without a reducer the state is the data of any of them', () => {
    const notes = defineChannel({ key: 'notes', stream, events: { note: z.string(), count: z.number() } })
    expectTypeOf(notes).toEqualTypeOf<
      Channel<string | number, StreamEvent<'note', string> | StreamEvent<'count', number>>
    >()
    const shaped = defineChannel({
      key: 'notes',
      stream,
      snapshot,
      events: { note: z.string() },
      fromSnapshot: (body) => String(body),
    })
    expectTypeOf<StateOf<typeof shaped>>().toEqualTypeOf<string>()
  })

  test('with a snapshot and no beginning, the snapshot says what the state is', () => {
    const board = defineChannel({
      key: 'board',
      stream,
      snapshot,
      events: { added: z.string() },
      fromSnapshot: (body) => {
        expectTypeOf(body).toBeUnknown()
        return body as readonly string[]
      },
      reduce(list, event) {
        expectTypeOf(list).toEqualTypeOf<readonly string[]>()
        return [...list, event.data]
      },
    })
    expectTypeOf<StateOf<typeof board>>().toEqualTypeOf<readonly string[]>()
  })

  test('with a beginning, the beginning does', () => {
    const board = defineChannel({
      key: 'board',
      stream,
      snapshot,
      events: { added: z.string() },
      initial: [] as string[],
      fromSnapshot: (body) => body as string[],
      reduce: (list, event) => [...list, event.data],
    })
    expectTypeOf<StateOf<typeof board>>().toEqualTypeOf<string[]>()
  })

  test('that are a record of schemas of which no name is known are any events', () => {
    const schemas: Record<string, z.ZodString> = {}
    const any = defineChannel({ key: 'any', stream, events: schemas })
    expectTypeOf<EventIn<typeof any>>().toEqualTypeOf<StreamEvent>()
  })
})

describe('without schemas', () => {
  test('state and events are what one says they are', () => {
    const counted = defineChannel<number, StreamEvent<'tick', { n: number }>>({
      key: 'counted',
      stream,
      initial: 0,
      reduce(count, event) {
        expectTypeOf(event.type).toEqualTypeOf<'tick'>()
        return count + event.data.n
      },
    })
    expectTypeOf(counted).toEqualTypeOf<Channel<number, StreamEvent<'tick', { n: number }>>>()
  })

  test('the state may be all that one says', () => {
    const one = defineChannel<number>({ key: 'one', stream, reduce: (sum, { data }) => sum + data, initial: 0 })
    expectTypeOf(one).toEqualTypeOf<Channel<number, StreamEvent>>()
    expectTypeOf(defineChannel<number>({ key: 'a', stream })).toEqualTypeOf<Channel<number, StreamEvent>>()
    expectTypeOf(defineChannel<number>({ key: 'b', stream, snapshot })).toEqualTypeOf<Channel<number, StreamEvent>>()
    expectTypeOf(defineChannel<number>({ key: 'c', snapshot })).toEqualTypeOf<Channel<number, never>>()
  })

  test('the data of an event is anything, so that plain users write no casts', () => {
    const plain = defineChannel({ key: 'plain', stream })
    expectTypeOf<EventIn<typeof plain>['data']>().toBeAny()
    expectTypeOf<EventIn<typeof plain>['type']>().toEqualTypeOf<string>()
  })

  test('a snapshot alone has no events, and its type from its shape or from what one says', () => {
    const unknown = defineChannel({ key: 'poll', snapshot })
    expectTypeOf(unknown).toEqualTypeOf<Channel<unknown, never>>()
    const shaped = defineChannel({ key: 'poll', snapshot, fromSnapshot: (body) => ({ n: Number(body) }) })
    expectTypeOf(shaped).toEqualTypeOf<Channel<{ n: number }, never>>()
    const said = defineChannel<string[]>({ key: 'poll', snapshot, initial: [] })
    expectTypeOf(said).toEqualTypeOf<Channel<string[], never>>()
  })

  test('targets may be text, URLs, requests, or functions of them', () => {
    const targets = [
      '/relative',
      new URL(stream),
      { url: stream, method: 'POST', body: '{}', credentials: 'include' as const },
      { url: new URL(stream), headers: async () => ({ authorization: 'x' }), body: () => new FormData() },
      () => stream,
      async () => ({ url: stream }),
    ]
    for (const target of targets)
      expectTypeOf(defineChannel({ key: 't', stream: target })).toExtend<Channel<unknown, StreamEvent>>()
  })
})

describe('what is no channel is refused by the compiler', () => {
  const events = { joined: z.object({ id: z.string() }) }

  test('neither stream nor snapshot, or no key', () => {
    // @ts-expect-error nothing to ask for
    never(() => defineChannel({ key: 'k' }))
    // @ts-expect-error no key
    never(() => defineChannel({ stream }))
    // @ts-expect-error a key of one number
    never(() => defineChannel({ key: 1, stream }))
  })

  test('a reducer with nothing to begin with', () => {
    // @ts-expect-error neither `initial` nor `fromSnapshot`
    never(() => defineChannel({ key: 'k', stream, events, reduce: (state: string[]) => state }))
    // @ts-expect-error a snapshot alone has no events to fold
    never(() => defineChannel({ key: 'k', snapshot, initial: 0, reduce: (state: number) => state }))
  })

  test('a reducer that answers with another type', () => {
    // @ts-expect-error text is no list
    never(() => defineChannel({ key: 'k', stream, events, initial: [] as string[], reduce: () => 'text' }))
    const fromSnapshot = () => 'text'
    // @ts-expect-error a shape that is not the beginning's
    never(() => defineChannel({ key: 'k', stream, snapshot, events, initial: 0, fromSnapshot, reduce: (n) => n }))
  })

  test('a type of event that is not listed', () => {
    never(() =>
      defineChannel({
        key: 'k',
        stream,
        events,
        initial: 0,
        // @ts-expect-error there is no `left`
        reduce: (count, event) => (event.type === 'left' ? 0 : count),
      }),
    )
    never(() =>
      defineChannel({
        key: 'k',
        stream,
        events,
        initial: 0,
        // @ts-expect-error there is no `name` in it
        reduce: (_, event) => event.data.name,
      }),
    )
  })

  test('schemas that are none, and options that there are not', () => {
    // @ts-expect-error a function is no schema
    never(() => defineChannel({ key: 'k', stream, events: { joined: (data: unknown) => data } }))
    // @ts-expect-error no such policy
    never(() => defineChannel({ key: 'k', stream, fallback: 'guess' }))
    // @ts-expect-error no such word
    never(() => defineChannel({ key: 'k', stream, reconnect: 'sometimes' }))
    // @ts-expect-error no such option
    never(() => defineChannel({ key: 'k', stream, retries: 3 }))
  })
})

describe('what a client does with channels', () => {
  const channel = defineChannel({ key: 'k', stream, events: { joined: z.object({ id: z.string() }) } })

  test('observers, iterators and stores know its types', () => {
    never(() => {
      const subscription = client.subscribe(channel, {
        next: (event) => expectTypeOf(event.data).toEqualTypeOf<{ id: string }>(),
        batch: (events) => expectTypeOf(events[0]!.type).toEqualTypeOf<'joined'>(),
        state: (state) => expectTypeOf(state).toEqualTypeOf<ChannelState<{ id: string }>>(),
      })
      expectTypeOf(subscription.state.data).toEqualTypeOf<{ id: string } | undefined>()
      client.subscribe(channel, (event) => expectTypeOf(event.type).toEqualTypeOf<'joined'>())
      client.subscribe('/plain', (event) => expectTypeOf(event).toEqualTypeOf<StreamEvent>())
      expectTypeOf(client.events(channel)).toEqualTypeOf<AsyncIterableIterator<StreamEvent<'joined', { id: string }>>>()
      expectTypeOf(client.store(channel).getSnapshot()).toEqualTypeOf<ChannelState<{ id: string }>>()
      expectTypeOf(client.getState(channel).data).toEqualTypeOf<{ id: string } | undefined>()
    })
  })

  test('a state is read, not written', () => {
    never(() => {
      const state = client.getState(channel)
      // @ts-expect-error read-only
      state.status = 'live'
      // @ts-expect-error read-only
      channel.key = 'other'
    })
  })

  test('a channel of more can stand where one of less is wanted, never the other way round', () => {
    expectTypeOf(channel).toExtend<Channel<unknown, StreamEvent>>()
    const wide = defineChannel({ key: 'w', stream })
    // @ts-expect-error any text is not 'joined'
    const narrow: Channel<{ id: string }, StreamEvent<'joined', { id: string }>> = wide
    expectTypeOf(narrow).not.toBeAny()
  })

  test('json knows its schema, or what one says', () => {
    never(() => {
      expectTypeOf(client.json<{ n: number }>('/n')).toEqualTypeOf<Promise<{ n: number }>>()
      expectTypeOf(client.json('/n', {}, { schema: z.object({ n: z.number() }) })).toEqualTypeOf<
        Promise<{ n: number }>
      >()
      expectTypeOf(client.json('/n')).toEqualTypeOf<Promise<unknown>>()
    })
  })
})

test('the function is the interface that is exported', () => {
  expectTypeOf(defineChannel).toEqualTypeOf<DefineChannel>()
})
