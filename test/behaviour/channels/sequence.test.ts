import { defineChannel, type StreamEvent } from 'millrace'
import { afterEach, expect, test } from 'vitest'
import { closeServers } from '../../support/http-server'
import { until } from '../../support/until'
import { block, catchReported, closeClients, type Feed, json, startFeed, startStill, watch } from './watch'

afterEach(closeClients)
afterEach(closeServers)

const numbered = ({ streamUrl: stream }: Feed, more: object = {}) =>
  defineChannel<number[], StreamEvent>({
    key: 'numbered',
    stream,
    initial: [],
    reduce: (list: number[], { data }: StreamEvent) => [...list, data],
    sequence: ({ data }: StreamEvent) => data,
    ...more,
  } as never)
const send = (feed: Feed, ...numbers: number[]) => feed.write(numbers.map((n) => block(n)).join(''))

async function startNumbered(more: object = {}, feed?: Feed) {
  const own = feed ?? (await startFeed())
  const started = startStill()
  const watched = watch(started.client, numbered(own, more))
  await until(() => watched.state.status === 'live')
  return { ...started, feed: own, watched, stats: () => started.client.stats().channels[0]! }
}

test('events that come out of order are told in order, and counted', async () => {
  const { feed, watched, stats } = await startNumbered()
  send(feed, 1, 3, 5, 4, 2, 6)
  await until(() => watched.events.length === 6)
  expect(watched.data).toEqual([1, 2, 3, 4, 5, 6])
  expect(watched.state.data).toEqual([1, 2, 3, 4, 5, 6])
  expect(stats()).toMatchObject({ events: 6, outOfOrder: 3, duplicates: 0 })
})

test('duplicates are dropped and counted', async () => {
  const { feed, watched, stats } = await startNumbered()
  send(feed, 1, 2, 2, 1, 4, 4, 3, 3)
  await until(() => watched.events.length === 4)
  await until(() => stats().duplicates === 4)
  expect(watched.data).toEqual([1, 2, 3, 4])
})

test('the first number may be any', async () => {
  const { feed, watched } = await startNumbered()
  send(feed, 900, 901)
  await until(() => watched.events.length === 2)
})

test('what is missing is waited for, then given up as a gap, where there is no snapshot', async () => {
  const { feed, watched, alerts, clock, client } = await startNumbered()
  send(feed, 1, 4, 3)
  await until(() => client.stats().channels[0]!.outOfOrder === 2)
  expect(client.stats().timers.map(({ label }) => label)).toContain('missing events numbered')
  expect(watched.data).toEqual([1])
  await clock.advance(1_999)
  expect(watched.data).toEqual([1])
  await clock.advance(1)
  expect(watched.data).toEqual([1, 3, 4])
  expect(alerts).toEqual([
    expect.objectContaining({
      code: 'gap',
      channel: 'numbered',
      message: expect.stringMatching(/number 1 .*snapshot/),
    }),
  ])
  send(feed, 5, 2)
  await until(() => watched.data.length === 4)
  await until(() => client.stats().channels[0]!.duplicates === 1, 'the one that comes too late')
  expect(watched.data).toEqual([1, 3, 4, 5])
})

test('a gap that fills in time is none', async () => {
  const { feed, watched, alerts, clock, client } = await startNumbered()
  send(feed, 1, 3)
  await until(() => client.stats().channels[0]!.outOfOrder === 1)
  await clock.advance(1_500)
  send(feed, 2)
  await until(() => watched.events.length === 3)
  await clock.advance(10_000)
  expect(alerts).toEqual([])
  expect(client.stats().timers.map(({ label }) => label)).not.toContain('missing events numbered')
})

test('with a snapshot a gap is filled from it, and what waits is told after it', async () => {
  let upTo = 0
  const feed = await startFeed((request, response, raw) =>
    json(Array.from({ length: upTo }, (_, n) => n + 1))(request, response, raw),
  )
  const position = (body: unknown) => ({ sequence: (body as number[]).length })
  const { watched, alerts, clock, client } = await startNumbered(
    { snapshot: feed.snapshotUrl, position, initial: undefined },
    feed,
  )
  send(feed, 1, 2)
  await until(() => watched.events.length === 2)
  send(feed, 5, 6)
  await until(() => client.stats().channels[0]!.outOfOrder === 2)
  upTo = 4
  await clock.advance(2_000)
  await until(() => watched.state.data?.length === 6)
  expect(watched.state.data).toEqual([1, 2, 3, 4, 5, 6])
  expect(watched.data).toEqual([1, 2, 5, 6])
  expect(alerts).toMatchObject([{ code: 'gap' }])
  expect(feed.snapshotRequests).toHaveLength(2)
})

test('the window is bounded: a hundred that wait are a gap at once', async () => {
  const { feed, watched, alerts } = await startNumbered()
  send(feed, 1, ...Array.from({ length: 99 }, (_, n) => n + 3))
  await until(() => watched.events.length === 1)
  expect(alerts).toEqual([])
  send(feed, 102)
  await until(() => watched.events.length === 101)
  expect(watched.data).toEqual([1, ...Array.from({ length: 100 }, (_, n) => n + 3)])
  expect(alerts).toMatchObject([{ code: 'gap' }])
})

test('a terminal event waits for those before it', async () => {
  const { feed, watched } = await startNumbered({ until: ({ data }: StreamEvent) => data === 3 })
  send(feed, 1, 3, 2)
  await until(() => watched.completions === 1)
  expect(watched.data).toEqual([1, 2, 3])
})

test('`sequence` that throws, or answers with no number, is one event that is invalid and not the end of the stream', async () => {
  const reported = catchReported()
  const { feed, watched, stats } = await startNumbered({
    sequence: ({ data }: StreamEvent) => {
      if (data === 66) throw new Error('no number')
      return data === 67 ? Number.NaN : data
    },
  })
  send(feed, 1, 66, 67, 2)
  await until(() => watched.data.includes(2))
  expect(watched.data).toEqual([1, 2])
  expect(stats()).toMatchObject({ invalid: 2, reconnects: 0 })
  expect(watched.state.status).toBe('live')
  expect(reported.length).toBeLessThanOrEqual(1)
  expect(feed.streamRequests).toHaveLength(1)
})
