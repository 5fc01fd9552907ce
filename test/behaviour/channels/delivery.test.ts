import { defineChannel, type MillraceError, type StreamEvent } from 'millrace'
import { afterEach, describe, expect, test } from 'vitest'
import { closeServers, startServer } from '../../support/http-server'
import { until } from '../../support/until'
import { block, catchReported, closeClients, startClient, startFeed, startStill, status, watch } from './watch'

afterEach(closeClients)
afterEach(closeServers)

const blocks = (count: number, from = 1) => Array.from({ length: count }, (_, n) => block(from + n)).join('')
const FRAME = 16

describe('each', () => {
  test('tells every event by itself, to `batch` too where there is no `next`', async () => {
    const feed = await startFeed()
    const { client } = startClient()
    const batches: unknown[][] = []
    const watched = watch(client, feed.streamUrl)
    client.subscribe(feed.streamUrl, { batch: (events) => batches.push(events.map(({ data }) => data)) })
    await until(() => feed.open === 1)
    feed.write(blocks(3))
    await until(() => watched.events.length === 3)
    expect(watched.data).toEqual([1, 2, 3])
    expect(batches).toEqual([[1], [2], [3]])
  })

  test('tells nothing during `subscribe`, and the state once after it', async () => {
    const feed = await startFeed()
    const { client } = startClient()
    const told: string[] = []
    client.subscribe(feed.streamUrl, { state: ({ status }) => told.push(status) })
    expect(told).toEqual([])
    await until(() => told.includes('live'))
    expect(told).toEqual(['connecting', 'live'])

    const late: string[] = []
    client.subscribe(feed.streamUrl, { state: ({ status }) => late.push(status) })
    expect(late).toEqual([])
    await Promise.resolve()
    expect(late).toEqual(['live'])
  })
})

describe('frame', () => {
  test('hands `batch` what came since the last frame, and `state` once for it', async () => {
    const feed = await startFeed()
    const { client, clock } = startStill()
    const batches: unknown[][] = []
    const states: unknown[] = []
    client.subscribe(
      feed.streamUrl,
      { batch: (events) => batches.push(events.map(({ data }) => data)), state: ({ data }) => states.push(data) },
      { delivery: 'frame' },
    )
    const plain = watch(client, feed.streamUrl)
    await until(() => plain.state.status === 'live')
    states.length = 0
    feed.write(blocks(3))
    await until(() => plain.events.length === 3)
    feed.write(blocks(2, 4))
    await until(() => plain.events.length === 5)
    expect({ batches, states }).toEqual({ batches: [], states: [] })
    await clock.advance(FRAME)
    expect({ batches, states }).toEqual({ batches: [[1, 2, 3, 4, 5]], states: [5] })
    await clock.advance(10 * FRAME)
    expect(batches).toHaveLength(1)
    expect(client.stats().timers.filter(({ label }) => label.startsWith('frame'))).toEqual([])
  })

  test('hands `next` each of them where there is no `batch`', async () => {
    const feed = await startFeed()
    const { client, clock } = startStill()
    const framed = watch(client, feed.streamUrl, { delivery: 'frame' })
    const plain = watch(client, feed.streamUrl)
    await until(() => feed.open === 1)
    feed.write(blocks(3))
    await until(() => plain.events.length === 3)
    expect(framed.events).toEqual([])
    await clock.advance(FRAME)
    expect(framed.data).toEqual([1, 2, 3])
  })

  test('holds a bounded number, drops the oldest, and counts and tells it', async () => {
    const feed = await startFeed()
    const { client, clock, alerts } = startStill()
    const sizes: number[] = []
    let first: unknown
    client.subscribe(
      feed.streamUrl,
      {
        batch(events) {
          sizes.push(events.length)
          first = events[0]!.data
        },
      },
      { delivery: 'frame', label: 'slow one' },
    )
    let heard = 0
    client.subscribe(feed.streamUrl, () => {
      heard += 1
    })
    await until(() => feed.open === 1)
    feed.write(blocks(10_050))
    await until(() => heard === 10_050)
    await clock.advance(FRAME)
    expect(sizes).toEqual([10_000])
    expect(first).toBe(51)
    expect(client.stats().channels[0]).toMatchObject({ overflowed: 50, events: 10_050 })
    expect(alerts).toEqual([expect.objectContaining({ code: 'overflow', subscriber: 'slow one' })])
  })

  test('what waits for a frame is told before the end', async () => {
    const feed = await startFeed()
    const { client } = startStill()
    const told: unknown[] = []
    const channel = defineChannel<unknown, StreamEvent>({
      key: 'ends',
      stream: feed.streamUrl,
      until: ({ data }) => data === 2,
    })
    client.subscribe(
      channel,
      { batch: (events) => told.push(events.length), complete: () => told.push('complete') },
      { delivery: 'frame' },
    )
    await until(() => feed.open === 1)
    feed.write(blocks(2))
    await until(() => told.includes('complete'))
    expect(told).toEqual([2, 'complete'])
  })
})

describe('latest', () => {
  test('hands `next` the last since the frame, and counts what it drops without an alert', async () => {
    const feed = await startFeed()
    const { client, clock, alerts } = startStill()
    const latest = watch(client, feed.streamUrl, { delivery: 'latest' })
    const plain = watch(client, feed.streamUrl)
    await until(() => feed.open === 1)
    feed.write(blocks(7))
    await until(() => plain.events.length === 7)
    await clock.advance(FRAME)
    feed.write(blocks(1, 8))
    await until(() => plain.events.length === 8)
    await clock.advance(FRAME)
    expect(latest.data).toEqual([7, 8])
    expect(client.stats().channels[0]).toMatchObject({ overflowed: 6 })
    expect(alerts).toEqual([])
  })
})

describe('subscribers do each other no harm', () => {
  const throwing = { next: fail, state: fail, error: fail, complete: fail }
  function fail(): never {
    throw new Error('thrown by a subscriber')
  }

  test('one that throws at everything is reported, and starves nobody', async () => {
    const reported = catchReported()
    const feed = await startFeed()
    const { client } = startClient()
    const channel = defineChannel<unknown, StreamEvent>({
      key: 'throws',
      stream: feed.streamUrl,
      until: ({ data }) => data === 3,
    })
    client.subscribe(channel, throwing)
    const watched = watch(client, channel)
    client.subscribe(channel, throwing, { delivery: 'frame' })
    await until(() => watched.state.status === 'live')
    feed.write(blocks(3))
    await until(() => watched.completions === 1)
    expect(watched.data).toEqual([1, 2, 3])
    expect(watched.statuses).toEqual(['connecting', 'live', 'complete'])
    // Each function once, however often it throws.
    expect(reported.map((error) => (error as Error).message).sort()).toEqual([
      '`complete` of channel throws threw.',
      '`next` of channel throws threw.',
      '`state` of channel throws threw.',
    ])
    expect(new Set(reported.map((error) => ((error as Error).cause as Error).message))).toEqual(
      new Set(['thrown by a subscriber']),
    )
    expect(feed.streamRequests).toHaveLength(1)
  })

  test('one that throws at `error` keeps nobody from hearing of the failure', async () => {
    const reported = catchReported()
    const server = await startServer(status(404))
    const { client } = startClient()
    client.subscribe(server.url(), throwing)
    const watched = watch(client, server.url())
    await until(() => watched.errors.length === 1)
    expect(watched.errors[0]).toMatchObject({ code: 'http', status: 404 })
    expect(reported).not.toEqual([])
  })

  test('one that leaves inside a handler hears nothing more, not even the rest of the chunk', async () => {
    const feed = await startFeed()
    const { client } = startClient()
    const heard: unknown[] = []
    const subscription = client.subscribe(feed.streamUrl, ({ data }) => {
      heard.push(data)
      if (data === 2) subscription.unsubscribe()
    })
    const other = watch(client, feed.streamUrl)
    await until(() => feed.open === 1)
    feed.write(blocks(4))
    await until(() => other.events.length === 4)
    expect(heard).toEqual([1, 2])
    subscription.unsubscribe()
    expect(client.stats().subscriptions.active).toBe(1)
  })

  test('one that takes another one out is obeyed within the same event', async () => {
    const feed = await startFeed()
    const { client } = startClient()
    const heard: unknown[] = []
    const first = watch(client, feed.streamUrl)
    client.subscribe(feed.streamUrl, () => second.unsubscribe())
    const second = client.subscribe(feed.streamUrl, ({ data }) => heard.push(data))
    await until(() => feed.open === 1)
    feed.write(blocks(2))
    await until(() => first.events.length === 2)
    expect(heard).toEqual([])
  })

  test('one that comes inside a handler hears the next event, not the one that is being told', async () => {
    const feed = await startFeed()
    const { client } = startClient()
    const heard: unknown[] = []
    client.subscribe(feed.streamUrl, ({ data }) => {
      if (data === 1) client.subscribe(feed.streamUrl, (event) => heard.push(event.data))
    })
    const other = watch(client, feed.streamUrl)
    await until(() => feed.open === 1)
    feed.write(blocks(3))
    await until(() => other.events.length === 3)
    expect(heard).toEqual([2, 3])
    expect(feed.streamRequests).toHaveLength(1)
  })

  test('one that leaves before its microtask hears nothing at all', async () => {
    const feed = await startFeed()
    const { client } = startClient()
    const watched = watch(client, feed.streamUrl)
    watched.unsubscribe()
    await until(() => client.stats().channels.length === 0)
    expect(watched.states).toEqual([])
  })

  test('the client can be closed inside a handler', async () => {
    const feed = await startFeed()
    const { client } = startClient()
    const errors: MillraceError[] = []
    const heard: unknown[] = []
    client.subscribe(feed.streamUrl, {
      next({ data }) {
        heard.push(data)
        client.close()
      },
      error: (error) => errors.push(error),
    })
    await until(() => feed.open === 1)
    feed.write(blocks(3))
    await until(() => errors.length === 1)
    expect(heard).toEqual([1])
    expect(errors[0]!.code).toBe('closed')
    await until(() => feed.open === 0)
  })
})

test('labels name subscribers in the statistics', async () => {
  const feed = await startFeed()
  const { client } = startClient()
  watch(client, feed.streamUrl, { label: 'header badge' })
  watch(client, feed.streamUrl)
  const [channel] = client.stats().channels
  expect(channel!.subscribers).toEqual([
    { id: expect.any(String), label: 'header badge', since: expect.any(Number) },
    { id: expect.any(String), since: expect.any(Number) },
  ])
  expect(channel!.source).toMatch(/^GET http:\/\/127\.0\.0\.1:\d+\/stream$/)
})
