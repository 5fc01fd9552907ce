import { type Channel, defineChannel, type StreamEvent } from 'millrace'
import * as v from 'valibot'
import { describe, expectTypeOf, test } from 'vitest'
import * as z from 'zod'

// Read by the compiler: `tsc -p test` says what is wrong. Run, it shows that nothing here throws.

interface State {
  phase: 'running' | 'done'
  done: number
}
const initial: State = { phase: 'running', done: 0 }
const stream = 'http://127.0.0.1/stream'
const snapshot = 'http://127.0.0.1/snapshot'
const events = { page: z.object({ n: z.number() }), over: z.literal('over') }
type StateOf<C> = C extends Channel<infer S, unknown> ? S : never
type EventIn<C> = C extends Channel<unknown, infer E> ? E : never
type Same<A, B> = (<T>() => T extends A ? 0 : 1) extends <T>() => T extends B ? 0 : 1 ? true : false
/** Asks for one argument more, of the type that the state has, if it is not `S`. */
const stateIs = <S>() => ({
  of: <C>(_: C, ..._wrong: Same<StateOf<C>, S> extends true ? [] : [StateOf<C>]): void => {},
})

describe('a literal that a function answers is of the union that the state has there', () => {
  test('with events', () => {
    const s = stateIs<State>()
    s.of(defineChannel({ key: '1', stream, events, initial, reduce: (state) => ({ ...state, phase: 'done' }) }))
    s.of(
      defineChannel({
        key: '2',
        stream,
        events,
        initial,
        reduce: (state, event) => (event.type === 'page' && event.data.n > 9 ? { ...state, phase: 'done' } : state),
      }),
    )
    s.of(defineChannel({ key: '3', stream, events, initial, reduce: () => ({ phase: 'done', done: 1 }) }))
    s.of(
      defineChannel({
        key: '4',
        stream,
        events,
        initial,
        reduce(state, event) {
          switch (event.type) {
            case 'page':
              return { ...state, done: state.done + event.data.n }
            case 'over':
              return { phase: 'done', done: state.done }
          }
        },
      }),
    )
    s.of(
      defineChannel({
        key: '5',
        stream,
        events,
        reduce: (state) => ({ ...state, phase: 'done' }),
        initial,
      }),
    )
    s.of(
      defineChannel({
        key: '6',
        stream,
        events,
        initial: { phase: 'running', done: 0 } as State,
        reduce: (state) => ({ ...state, phase: 'done' }),
      }),
    )
    s.of(
      defineChannel({
        key: '7',
        stream,
        events,
        initial: { phase: 'running', done: 0 },
        reduce: (state: State) => ({ ...state, phase: 'done' }),
      }),
    )
    s.of(
      defineChannel({
        key: '8',
        stream,
        events,
        initial: { phase: 'running', done: 0 },
        reduce: (state: State, event): State => ({ ...state, phase: event.type === 'over' ? 'done' : 'running' }),
      }),
    )
    s.of(
      defineChannel({
        key: '9',
        stream,
        events,
        initial,
        until: (event) => event.type === 'over',
        done: (state) => state.phase === 'done',
        reduce: (state, event) => (event.type === 'over' ? { ...state, phase: 'done' } : state),
      }),
    )
    stateIs<{ phase: 'running' | 'done' }>().of(
      defineChannel({
        key: '10',
        stream,
        events,
        initial: { phase: 'running' as 'running' | 'done' },
        reduce: (state, event) => (event.type === 'over' ? { ...state, phase: 'done' } : state),
      }),
    )
    stateIs<'running' | 'done'>().of(
      defineChannel({ key: '11', stream, events, initial: 'running' as 'running' | 'done', reduce: () => 'done' }),
    )
    stateIs<State[]>().of(
      defineChannel({
        key: '12',
        stream,
        events,
        initial: [] as State[],
        reduce: (list) => [...list, { phase: 'done', done: 1 }],
      }),
    )
    stateIs<Record<string, State>>().of(
      defineChannel({
        key: '13',
        stream,
        events,
        initial: {} as Record<string, State>,
        reduce: (all) => ({ ...all, a: { phase: 'done', done: 1 } }),
      }),
    )
    stateIs<State | null>().of(
      defineChannel({
        key: '14',
        stream,
        events,
        initial: null as State | null,
        reduce: (state) => state && { ...state, phase: 'done' },
      }),
    )
    type Job = { status: 'idle' } | { status: 'busy'; since: number } | { status: 'failed'; why: string }
    stateIs<Job>().of(
      defineChannel({
        key: '15',
        stream,
        events,
        initial: { status: 'idle' } as Job,
        reduce: (job, event) => {
          if (job.status === 'busy') return { status: 'failed', why: 'x' }
          return event.type === 'page' ? { status: 'busy', since: event.receivedAt } : { status: 'idle' }
        },
      }),
    )
    stateIs<Map<string, State>>().of(
      defineChannel({
        key: '16',
        stream,
        events,
        initial: new Map<string, State>(),
        reduce: (map) => new Map(map).set('a', { phase: 'done', done: 1 }),
      }),
    )
    stateIs<[number, 'a' | 'b']>().of(
      defineChannel({
        key: '17',
        stream,
        events,
        initial: [0, 'a'] as [number, 'a' | 'b'],
        reduce: ([n]) => [n + 1, 'b'],
      }),
    )
    stateIs<number>().of(defineChannel({ key: '18', stream, events, initial: 0, reduce: (n) => n + 1 }))
    stateIs<{ count: number; names: string[] }>().of(
      defineChannel({
        key: '19',
        stream,
        events,
        initial: { count: 0, names: [] as string[] },
        reduce: (s) => ({ count: s.count + 1, names: [...s.names, 'x'] }),
      }),
    )
    stateIs<string | null>().of(
      defineChannel({ key: '20', stream, events, initial: null as string | null, reduce: (_, event) => event.type }),
    )
    stateIs<boolean>().of(defineChannel({ key: '21', stream, events, initial: false as boolean, reduce: () => true }))
    const flag = defineChannel({ key: '22', stream, events, initial: false, reduce: () => true })
    expectTypeOf<StateOf<typeof flag>>().toEqualTypeOf<boolean>()
    s.of(defineChannel({ key: '24', stream, events, initial, reduce: (state) => Object.assign({}, state) }))
    s.of(defineChannel({ key: '25', stream, events, initial, reduce: (state) => JSON.parse(String(state)) }))
  })

  test('with a snapshot', () => {
    const s = stateIs<State>()
    s.of(
      defineChannel({
        key: '1',
        stream,
        snapshot,
        events,
        initial,
        fromSnapshot: () => ({ phase: 'done', done: 9 }),
        reduce: (state) => state,
      }),
    )
    s.of(
      defineChannel({
        key: '2',
        stream,
        snapshot,
        events,
        initial,
        fromSnapshot: (body) => ({ phase: 'done', done: Number(body) }),
        reduce: (state) => ({ ...state, phase: 'running' }),
      }),
    )
    s.of(
      defineChannel({
        key: '3',
        stream,
        snapshot,
        events,
        fromSnapshot: (body) => body as State,
        reduce: (state) => ({ ...state, phase: 'running' }),
      }),
    )
    s.of(
      defineChannel({
        key: '4',
        stream,
        snapshot,
        events,
        fromSnapshot: (): State => ({ phase: 'running', done: 0 }),
        reduce: (state) => ({ ...state, phase: 'running' }),
      }),
    )
    s.of(defineChannel({ key: '6', snapshot, initial, fromSnapshot: () => ({ phase: 'done', done: 9 }) }))
    s.of(defineChannel({ key: '7', snapshot, initial, fromSnapshot: (b) => ({ phase: 'done', done: Number(b) }) }))
    s.of(defineChannel({ key: '8', snapshot, initial }))
    stateIs<State | null>().of(
      defineChannel({ key: '9', snapshot, initial: null, fromSnapshot: (body) => body as State }),
    )
    const list = defineChannel({ key: '10', snapshot, initial: [], fromSnapshot: (body) => body as State[] })
    expectTypeOf<StateOf<typeof list>>().toEqualTypeOf<State[]>()
    s.of(defineChannel({ key: '12', stream, snapshot, initial, fromSnapshot: () => ({ phase: 'done', done: 9 }) }))
    stateIs<'a' | 'b'>().of(
      defineChannel({ key: '13', stream, snapshot, events: { x: z.enum(['a', 'b']) }, fromSnapshot: () => 'a' }),
    )
    s.of(
      defineChannel({
        key: '14',
        stream,
        snapshot,
        events: { x: z.object({ phase: z.enum(['running', 'done']), done: z.number() }) },
        initial: { phase: 'running', done: 1 },
        fromSnapshot: () => ({ phase: 'done', done: 1 }),
      }),
    )
  })

  test('without schemas', () => {
    const s = stateIs<State>()
    s.of(defineChannel({ key: '1', stream, initial, reduce: (state) => ({ ...state, phase: 'done' }) }))
    s.of(defineChannel({ key: '2', stream, initial, reduce: () => ({ phase: 'done', done: 1 }) }))
    s.of(
      defineChannel({
        key: '3',
        stream,
        initial: { phase: 'running', done: 0 } as State,
        reduce: (state, { type }) => (type === 'x' ? { ...state, phase: 'done' } : state),
      }),
    )
    const typed = defineChannel({
      key: '4',
      stream,
      initial,
      reduce: (state, event: StreamEvent<'x', number>) => ({ ...state, done: event.data, phase: 'done' }),
    })
    expectTypeOf(typed).toEqualTypeOf<Channel<State, StreamEvent<'x', number>>>()
    s.of(
      defineChannel<State>({
        key: '5',
        stream,
        initial: { phase: 'running', done: 0 },
        reduce: (state) => ({ ...state, phase: 'done' }),
      }),
    )
    s.of(defineChannel<State>({ key: '6', stream, initial, reduce: () => ({ phase: 'done', done: 1 }) }))
    s.of(defineChannel<State>({ key: '7', snapshot, fromSnapshot: () => ({ phase: 'done', done: 1 }) }))
    stateIs<number>().of(defineChannel({ key: '8', stream, reduce: (n: number, { data }) => n + data, initial: 0 }))
    s.of(
      defineChannel({
        key: '9',
        stream,
        initial,
        fromSnapshot: () => ({ phase: 'done', done: 3 }),
        snapshot,
        done: (state) => state.phase === 'done',
        reduce: (state) => ({ ...state, phase: 'done' }),
      }),
    )
  })

  test('and what is wrong stays so', () => {
    // @ts-expect-error
    defineChannel({ key: 'k', stream, events, initial, reduce: (state) => ({ ...state, phase: 'dnoe' }) })
    // @ts-expect-error
    defineChannel({ key: 'k', stream, initial, reduce: (state) => ({ ...state, phase: 'dnoe' }) })
    // @ts-expect-error
    defineChannel({ key: 'k', stream, initial, reduce: () => ({ phase: 'dnoe', done: 1 }) })
    // @ts-expect-error
    defineChannel({ key: 'k', stream, events, initial, reduce: (s) => s, snapshot, fromSnapshot: () => 1 })
    const fromSnapshot = () => ({ phase: 'dnoe', done: 1 }) as const
    // @ts-expect-error
    defineChannel({ key: 'k', stream, events, initial, reduce: (s) => s, snapshot, fromSnapshot })
    // @ts-expect-error
    defineChannel({ key: 'k', snapshot, initial, fromSnapshot })
    // @ts-expect-error
    defineChannel({ key: 'k', stream, events, initial: 0, reduce: (s) => String(s) })
    // @ts-expect-error
    defineChannel({ key: 'k', stream, events, initial: 0, reduce: () => undefined })
    // @ts-expect-error
    defineChannel({ key: 'k', stream, events, initial, reduce: (s) => void s })
    // @ts-expect-error
    defineChannel({ key: 'k', stream, events, initial, reduce: (s, event) => (event.data.m ? s : s) })
    // @ts-expect-error
    defineChannel<State>({ key: 'k', stream, events, initial, reduce: (s) => ({ ...s, phase: 'dnoe' }) })
    // @ts-expect-error
    defineChannel<State>({ key: 'k', stream, events, initial, reduce: (s) => s.dnoe })
    // @ts-expect-error
    defineChannel({ key: 'k', stream, events, initial, until: (event) => event.type === 'dnoe', reduce: (s) => s })
    // @ts-expect-error
    defineChannel({ key: 'k', stream, events, initial, done: (state) => state.phase === 'dnoe', reduce: (s) => s })
    // @ts-expect-error
    defineChannel<State>({ key: 'k', stream, events, reduce: (s) => s })
    // @ts-expect-error
    defineChannel({ key: 'k', stream, snapshot, events: { x: z.number() }, fromSnapshot: () => 'c' })
  })
})

describe('the schema of the snapshot', () => {
  const schema = z.object({ done: z.string().transform(Number) })
  test('types the state', () => {
    stateIs<string[]>().of(defineChannel({ key: '1', snapshot, schema: z.array(z.string()) }))
    stateIs<{ done: number }>().of(defineChannel({ key: '2', snapshot, schema }))
    stateIs<{ done: number }>().of(defineChannel({ key: '3', stream, snapshot, schema }))
    stateIs<{ done: number }>().of(defineChannel({ key: '4', snapshot, schema, initial: { done: 0 } }))
    stateIs<{ done: number }>().of(
      defineChannel({
        key: '5',
        stream,
        snapshot,
        schema,
        events,
        reduce: (s, e) => ({ done: s.done + (e.type === 'page' ? e.data.n : 0) }),
      }),
    )
    stateIs<{ done: number }>().of(
      defineChannel({
        key: '6',
        stream,
        snapshot,
        schema,
        events,
        initial: { done: 0 },
        reduce: (s) => ({ done: s.done + 1 }),
      }),
    )
    stateIs<{ phase: 'a' | 'b' }>().of(
      defineChannel({
        key: '7',
        stream,
        snapshot,
        schema: z.object({ phase: z.enum(['a', 'b']) }),
        events,
        reduce: (s) => ({ ...s, phase: 'b' }),
      }),
    )
    stateIs<{ phase: 'a' | 'b' }>().of(
      defineChannel({
        key: '8',
        stream,
        snapshot,
        schema: z.object({ phase: z.enum(['a', 'b']) }),
        reduce: (s) => ({ ...s, phase: 'b' }),
      }),
    )
    stateIs<{ n: number }>().of(
      defineChannel({
        key: '9',
        stream,
        snapshot,
        schema: z.object({ n: z.number() }),
        events: { x: z.object({ n: z.number() }) },
      }),
    )
    stateIs<{ a: string }>().of(defineChannel({ key: '10', snapshot, schema: v.object({ a: v.string() }) }))
    stateIs<{ n: number } | 'over'>().of(
      defineChannel({ key: '11', stream, snapshot, schema: z.object({ n: z.number() }), events }),
    )
    stateIs<{ phase: 'a' | 'b' }>().of(
      defineChannel({ key: '12', snapshot, schema: z.object({ phase: z.enum(['a', 'b']) }), initial: { phase: 'a' } }),
    )
    stateIs<{ phase: 'a' | 'b' }>().of(
      defineChannel({
        key: '13',
        stream,
        snapshot,
        schema: z.object({ phase: z.enum(['a', 'b']) }),
        initial: { phase: 'a' },
        events,
        reduce: (s) => ({ ...s, phase: 'b' }),
      }),
    )
    stateIs<{ done: number }>().of(defineChannel<{ done: number }>({ key: '14', snapshot, schema }))
  })
  test('types the body', () => {
    const body = (n: { done: number }) => n.done
    stateIs<number>().of(defineChannel({ key: '1', snapshot, schema, fromSnapshot: (b) => b.done }))
    stateIs<number>().of(defineChannel({ key: '2', stream, snapshot, schema, fromSnapshot: (b) => b.done }))
    stateIs<number>().of(
      defineChannel({
        key: '3',
        stream,
        snapshot,
        schema,
        events,
        initial: 0,
        fromSnapshot: (b) => b.done,
        reduce: (n) => n,
      }),
    )
    stateIs<number>().of(
      defineChannel({ key: '4', stream, snapshot, schema, events, fromSnapshot: (b) => b.done, reduce: (n) => n }),
    )
    stateIs<number>().of(defineChannel({ key: '5', snapshot, schema, fromSnapshot: body }))
    stateIs<number>().of(
      defineChannel({ key: '6', stream, snapshot, schema, initial: 0, fromSnapshot: (b) => b.done, reduce: (n) => n }),
    )
    stateIs<number>().of(defineChannel({ key: '7', snapshot, schema, initial: 0, fromSnapshot: (b) => b.done }))
    stateIs<number>().of(
      defineChannel({ key: '8', stream, snapshot, schema, events: { n: z.number() }, fromSnapshot: (b) => b.done }),
    )
    stateIs<State>().of(
      defineChannel({
        key: '9',
        stream,
        snapshot,
        schema,
        events,
        initial,
        fromSnapshot: (b) => ({ phase: 'done', done: b.done }),
        position: (b) => ({ sequence: b.done, id: undefined }),
        reduce: (s) => ({ ...s, phase: 'done' }),
      }),
    )
    stateIs<number>().of(defineChannel<number>({ key: '10', snapshot, schema, fromSnapshot: (b) => Number(b) }))
    stateIs<Map<string, number>>().of(
      defineChannel({
        key: '11',
        snapshot,
        schema: z.array(z.tuple([z.string(), z.number()])),
        fromSnapshot: (b) => new Map(b),
      }),
    )
  })
  test('and what does not fit it is refused', () => {
    // @ts-expect-error
    defineChannel({ key: 'k', snapshot, schema, fromSnapshot: (b) => b.dnoe })
    // @ts-expect-error
    defineChannel({ key: 'k', stream, snapshot, schema, events, initial: 'text', reduce: (s) => s })
    // @ts-expect-error
    defineChannel<string>({ key: 'k', snapshot, schema })
    // @ts-expect-error
    defineChannel({ key: 'k', snapshot, schema, initial: 'text' })
    // @ts-expect-error
    defineChannel({ key: 'k', snapshot, schema, position: (b) => ({ id: b.dnoe }) })
  })
})

describe('one type argument', () => {
  test('says what the state is, and the events are any', () => {
    const c = defineChannel<State>({
      key: '1',
      stream,
      events,
      initial: { phase: 'running', done: 0 },
      reduce: (s) => ({ ...s, phase: 'done' }),
    })
    expectTypeOf(c).toEqualTypeOf<Channel<State, StreamEvent>>()
    stateIs<string[]>().of(
      defineChannel<string[]>({ key: '2', stream, snapshot, events, reduce: (names, e) => [...names, e.data] }),
    )
    stateIs<State>().of(defineChannel<State>({ key: '3', stream, events }))
    stateIs<State>().of(
      defineChannel<State>({ key: '4', stream, snapshot, events, fromSnapshot: () => ({ phase: 'done', done: 1 }) }),
    )
    stateIs<State>().of(defineChannel<State>({ key: '5', stream, events, initial }))
    stateIs<State>().of(
      defineChannel<State>({
        key: '6',
        stream,
        events,
        initial,
        until: (e) => e.data.n > 1,
        reduce: () => ({ phase: 'done', done: 1 }),
      }),
    )
    const two = defineChannel<State, typeof events>({
      key: '7',
      stream,
      events,
      initial: { phase: 'running', done: 0 },
      reduce: (s, e) => (e.type === 'over' ? { ...s, phase: 'done' } : s),
    })
    expectTypeOf<EventIn<typeof two>['type']>().toEqualTypeOf<'page' | 'over'>()
    stateIs<State>().of(two)
    stateIs<State>().of(
      defineChannel<State>({
        key: '8',
        stream,
        snapshot,
        events,
        schema: z.unknown(),
        fromSnapshot: () => ({ phase: 'done', done: 1 }),
        reduce: (s) => s,
      }),
    )
  })
})
