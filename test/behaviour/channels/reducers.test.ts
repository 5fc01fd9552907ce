import { defineChannel, type StreamEvent } from 'millrace'
import { afterEach, expect, test } from 'vitest'
import { closeServers } from '../../support/http-server'
import { until } from '../../support/until'
import { block, catchReported, closeClients, json, startClient, startFeed, watch } from './watch'

afterEach(closeClients)
afterEach(closeServers)

test('without a reducer the state is the data of the latest event', async () => {
  const feed = await startFeed()
  const { client } = startClient()
  const watched = watch(client, feed.streamUrl)
  await until(() => feed.open === 1)
  expect(watched.state).toMatchObject({ data: undefined, updatedAt: undefined, isStale: false })
  feed.write(block({ n: 1 }) + block({ n: 2 }))
  await until(() => watched.events.length === 2)
  expect(watched.state).toMatchObject({ data: { n: 2 }, updatedAt: expect.any(Number) })
})

test('a reducer folds from `initial`, and each event is told before the state that it leads to', async () => {
  const feed = await startFeed()
  const { client } = startClient()
  const sum = defineChannel<number, StreamEvent>({
    key: 'sum',
    stream: feed.streamUrl,
    initial: 10,
    reduce: (state, { data }) => state + data,
  })
  expect(client.getState(sum).data).toBe(10)
  const told: unknown[] = []
  client.subscribe(sum, { next: ({ data }) => told.push(`event ${data}`), state: ({ data }) => told.push(data) })
  await until(() => feed.open === 1 && client.getState(sum).status === 'live')
  told.length = 0
  feed.write(block(1) + block(2) + block(3))
  await until(() => told.length === 6)
  expect(told).toEqual(['event 1', 11, 'event 2', 13, 'event 3', 16])
})

test('a reducer that returns the same reference causes nothing but the event', async () => {
  const feed = await startFeed()
  const { client } = startClient()
  const initial = { seen: [] }
  const channel = defineChannel<unknown, StreamEvent>({
    key: 'same',
    stream: feed.streamUrl,
    initial,
    reduce: (state, { data }) => (data === 'other' ? { seen: ['other'] } : state),
  })
  const watched = watch(client, channel)
  await until(() => watched.state.status === 'live')
  const before = watched.state
  const told = watched.states.length
  feed.write(block('a') + block('b'))
  await until(() => watched.events.length === 2)
  expect(watched.state).toBe(before)
  expect(watched.states).toHaveLength(told)
  expect(watched.state.updatedAt).toBeUndefined()
  feed.write(block('other'))
  await until(() => watched.states.length === told + 1)
  expect(watched.state).not.toBe(before)
  expect(watched.state.updatedAt).toBeTypeOf('number')
})

test('a reducer that throws is reported, its event is still told, and the state stays as it was', async () => {
  const reported = catchReported()
  const feed = await startFeed()
  const { client } = startClient()
  const channel = defineChannel<number, StreamEvent>({
    key: 'throws',
    stream: feed.streamUrl,
    initial: 0,
    reduce(state, { data }) {
      if (data === 'bad') throw new Error('cannot fold')
      return state + 1
    },
  })
  const watched = watch(client, channel)
  await until(() => feed.open === 1)
  feed.write(block('a') + block('bad') + block('b'))
  await until(() => watched.events.length === 3)
  expect(watched.state).toMatchObject({ status: 'live', data: 2 })
  expect(reported).toEqual([
    expect.objectContaining({
      code: 'callback',
      message: '`reduce` of channel throws threw.',
      cause: expect.objectContaining({ message: 'cannot fold' }),
    }),
  ])
  expect(feed.streamRequests).toHaveLength(1)
})

test('a reducer is called once per event, however many subscribe', async () => {
  const feed = await startFeed()
  const { client } = startClient()
  let calls = 0
  const channel = defineChannel<number, StreamEvent>({
    key: 'once',
    stream: feed.streamUrl,
    initial: 0,
    reduce(state) {
      calls += 1
      return state + 1
    },
  })
  const watched = [1, 2, 3, 4].map(() => watch(client, channel))
  await until(() => feed.open === 1)
  feed.write(block('a') + block('b'))
  await until(() => watched.every(({ events }) => events.length === 2))
  expect(calls).toBe(2)
})

test('the newest description of a key wins: a reducer made anew is the one that folds', async () => {
  const feed = await startFeed()
  const { client } = startClient()
  const made = (step: number) =>
    defineChannel<number, StreamEvent>({
      key: 'anew',
      stream: feed.streamUrl,
      initial: 0,
      reduce: (state) => state + step,
    })
  const first = watch(client, made(1))
  await until(() => feed.open === 1)
  feed.write(block('a'))
  await until(() => first.events.length === 1)
  watch(client, made(10))
  feed.write(block('b'))
  await until(() => first.events.length === 2)
  expect(first.state.data).toBe(11)
  expect(feed.streamRequests).toHaveLength(1)
})

test('`fromSnapshot` shapes the body, and events are folded onto its shape', async () => {
  const feed = await startFeed(json({ users: ['anna'] }, { 'last-event-id': '0' }))
  const { client } = startClient()
  const channel = defineChannel<ReadonlySet<string>, StreamEvent>({
    key: 'users',
    stream: feed.streamUrl,
    snapshot: feed.snapshotUrl,
    fromSnapshot: (body) => new Set((body as { users: string[] }).users),
    reduce: (users, { data }) => new Set([...users, data]),
  })
  const watched = watch(client, channel)
  await until(() => watched.state.status === 'live')
  feed.write(block('ben', { id: 1 }))
  await until(() => watched.state.data?.size === 2)
  expect([...watched.state.data!]).toEqual(['anna', 'ben'])
})

test('`initial` that is falsy is a beginning like any other', async () => {
  for (const initial of [0, '', false, null]) {
    const feed = await startFeed()
    const { client } = startClient()
    const channel = defineChannel<unknown, StreamEvent>({
      key: ['falsy', initial],
      stream: feed.streamUrl,
      initial,
      reduce: (state, { data }) => [state, data],
    })
    const watched = watch(client, channel)
    await until(() => feed.open === 1)
    expect(watched.state.data).toBe(initial)
    feed.write(block('a'))
    await until(() => watched.events.length === 1)
    expect(watched.state.data).toEqual([initial, 'a'])
  }
})
