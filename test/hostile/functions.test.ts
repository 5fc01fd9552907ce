import type { StandardSchemaV1 } from '@standard-schema/spec'
import { type Channel, defineChannel, type StreamEvent } from 'millrace'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { block, catchReported, closeClients, startClient, startStill, watch } from '../behaviour/channels/watch'
import { memoryFetch } from '../bench/clients'
import { until } from '../support/until'

/** What a function of the user's throws is told to the platform; anything else would be ours. */
class Thrown extends Error {}
const boom = (): never => {
  throw new Thrown('boom')
}

let reported: readonly unknown[]
beforeEach(() => {
  reported = catchReported()
})
afterEach(() => {
  for (const error of reported) expect(error).toMatchObject({ code: 'callback', cause: expect.any(Thrown) })
})
afterEach(closeClients)

/** A promise to `await`, though it is none. */
const thenable = Object.fromEntries([['then', () => {}]])

const schemaOf = (validate: (value: unknown) => unknown): StandardSchemaV1 =>
  ({ '~standard': { version: 1, vendor: 'test', validate } }) as never

/** Answers well only for the text `good`. */
const answers: [string, (value: unknown) => unknown][] = [
  ['throws', boom],
  ['answers nothing', () => undefined],
  ['answers null', () => null],
  ['answers a number', () => 7],
  ['answers a promise that is kept', async (value) => ({ value })],
  ['answers a promise that is broken', async () => boom()],
  ['answers a promise without an end', () => new Promise(() => {})],
  ['answers what looks like a promise', () => thenable],
  ['has issues that are none', () => ({ issues: 'many' })],
  ['has issues that are nothing', () => ({ issues: [null] })],
  ['has issues with an odd path', () => ({ issues: [{ path: [null, Symbol('x'), { key: Symbol('y') }] }] })],
  ['has issues with a path that is none', () => ({ issues: [{ path: 7 }] })],
]

test.each(answers)('an event whose schema %s is invalid, and the next one is heard', async (_, answer) => {
  const started = startClient({
    fetch: memoryFetch((write) => write(block('bad', { event: 'page' }) + block('good', { event: 'page' }))),
  })
  const page = schemaOf((value) => (value === 'good' ? { value } : answer(value)))
  const channel = defineChannel({ key: 'x', stream: 'https://example.com/', events: { page } })
  const watched = watch(started.client, channel)
  await until(() => watched.data.length > 0)
  expect(watched.data).toEqual(['good'])
  expect(started.client.stats().channels[0]).toMatchObject({ events: 1, invalid: 1 })
  expect(started.codes).toEqual(['invalid-event'])
  expect(reported.length).toBeLessThanOrEqual(1)
})

describe.each(answers.filter(([name]) => name !== 'answers a promise that is kept'))(
  'where a schema %s',
  (_, answer) => {
    test('a snapshot is an error, and the next one is shown', async () => {
      let polls = 0
      const { client, clock } = startStill({ fetch: async () => Response.json(++polls < 3 ? 'bad' : 'good') })
      const schema = schemaOf((value) => (value === 'good' ? { value } : answer(value)))
      const watched = watch(
        client,
        defineChannel({ key: 'x', snapshot: 'https://example.com/', schema, interval: 20_000, keep: 0 }),
      )
      // Longer than anybody may take.
      await clock.advance(18_000)
      expect(watched.state).toMatchObject({ status: 'reconnecting', data: undefined })
      expect(watched.state.error?.code).toMatch(/^(invalid-body|callback)$/)
      await clock.advance(60_000)
      expect(watched.state).toMatchObject({ status: 'polling', data: 'good', error: undefined })
      watched.unsubscribe()
      await clock.advance(2_000)
      expect(client.stats()).toMatchObject({ channels: [], timers: [] })
    })

    test('json rejects', async () => {
      const { client, clock } = startStill({ fetch: async () => Response.json('bad') })
      const asked = client.json('https://example.com/', {}, { schema: schemaOf(answer) }).then(
        () => 'fulfilled',
        (error) => error,
      )
      await clock.advance(15_000)
      const outcome = await Promise.race([asked, clock.advance(0).then(() => 'pending')])
      expect(outcome).toBeInstanceOf(Error)
      expect(client.stats().timers).toEqual([])
    })
  },
)

const functions = {
  reduce: boom,
  until: boom,
  sequence: boom,
  normalize: boom,
  fromSnapshot: boom,
  position: boom,
}
const events = block({ n: 1 }) + block({ n: 2 })

test.each(Object.keys(functions) as (keyof typeof functions)[])(
  'a `%s` that throws does not end the stream',
  async (name) => {
    const streams: ((text: string) => void)[] = []
    const stream = memoryFetch((write) => {
      streams.push(write)
      write(events)
    })
    const { client } = startClient({
      fetch: (input, init) =>
        String(input).endsWith('snapshot') ? Promise.resolve(Response.json(0)) : stream(input, init),
    })
    const channel = defineChannel({
      key: 'x',
      stream: 'https://example.com/stream',
      snapshot: 'https://example.com/snapshot',
      initial: 0,
      [name]: functions[name],
    } as never) as Channel<unknown, StreamEvent>
    const watched = watch(client, channel)
    await until(() => watched.state.status === 'live')
    const { events: heard, invalid } = client.stats().channels[0]!
    expect(heard + invalid).toBeGreaterThanOrEqual(2)
    expect(watched.errors).toEqual([])
    expect(streams).toHaveLength(1)
  },
)

test.each([
  ['a number', 7],
  ['a text', 'x'],
  ['no type', { data: 1 }],
  ['a type that is no text', { type: {}, data: 1 }],
  ['a promise', Promise.resolve({ type: 'x', data: 1 })],
  ['what looks like a promise', thenable],
])('a `normalize` that answers %s makes the event invalid', async (_, answer) => {
  const started = startClient({ fetch: memoryFetch((write) => write(`${events}id: end\ndata: 3\n\n`)) })
  const channel = defineChannel({
    key: 'x',
    stream: 'https://example.com/',
    normalize: ({ id, data }) => (id ? { type: 'end', data } : (answer as never)),
  })
  const watched = watch(started.client, channel)
  await until(() => watched.events.length > 0)
  expect(watched.events.map(({ type }) => type)).toEqual(['end'])
  expect(started.client.stats().channels[0]).toMatchObject({ events: 1, invalid: 2 })
  expect(started.codes).toEqual(['invalid-event'])
})

test('a `normalize` whose promise breaks breaks nothing else', async () => {
  const { client } = startClient({ fetch: memoryFetch((write) => write(events)) })
  const normalize = (async () => boom()) as never
  const watched = watch(client, defineChannel({ key: 'x', stream: 'https://example.com/', normalize }))
  await until(() => client.stats().channels[0]?.invalid === 2)
  expect(watched.events).toEqual([])
})

test.each([
  ['a text', 'x'],
  ['numbers that are none', { sequence: Number.NaN, id: 7 }],
  ['a promise', Promise.resolve({ id: 'x' })],
  ['null', null],
])('a `position` that is %s is none', async (_, position) => {
  const stream = memoryFetch((write) => write(events))
  const { client } = startClient({
    fetch: (input, init) =>
      String(input).endsWith('snapshot') ? Promise.resolve(Response.json('base')) : stream(input, init),
  })
  const channel = defineChannel<unknown[], StreamEvent>({
    key: 'x',
    stream: 'https://example.com/stream',
    snapshot: 'https://example.com/snapshot',
    fromSnapshot: (body) => [body],
    reduce: (state, { data }) => [...state, data.n],
    position: () => position as never,
  })
  const watched = watch(client, channel)
  await until(() => watched.state.status === 'live')
  await until(() => watched.state.data?.length === 3)
  expect(watched.state.data).toEqual(['base', 1, 2])
})
