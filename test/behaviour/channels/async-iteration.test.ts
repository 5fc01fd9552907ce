import { defineChannel, type EventsOptions, type StreamEvent } from 'millrace'
import { afterEach, describe, expect, test } from 'vitest'
import { closeServers, startServer } from '../../support/http-server'
import { until, within } from '../../support/until'
import { block, closeClients, startClient, startFeed, status } from './watch'

afterEach(closeClients)
afterEach(closeServers)

const blocks = (count: number, from = 1) => Array.from({ length: count }, (_, n) => block(from + n)).join('')

async function startEvents(options: EventsOptions<StreamEvent> = {}, until_?: (event: StreamEvent) => boolean) {
  const feed = await startFeed()
  const { client, alerts } = startClient()
  const channel = defineChannel<unknown, StreamEvent>({
    key: 'events',
    stream: feed.streamUrl,
    ...(until_ && { until: until_ }),
  })
  const iterator = client.events(channel, options)
  const next = () => within(5_000, iterator.next(), 'the next event')
  return { feed, client, alerts, channel, iterator, next }
}

/** Sends this many events while nobody takes them. */
async function overfill(started: Awaited<ReturnType<typeof startEvents>>, count: number): Promise<unknown> {
  const first = started.next()
  await until(() => started.feed.open === 1)
  started.feed.write(block('first'))
  await first
  let heard = 0
  started.client.subscribe(started.channel, () => {
    heard += 1
  })
  started.feed.write(blocks(count))
  await until(() => heard === count)
  return started.client.stats().channels[0]!.overflowed
}

test('a loop takes every event in order, and leaving it unsubscribes', async () => {
  const { feed, client, iterator } = await startEvents()
  const heard: unknown[] = []
  const loop = (async () => {
    for await (const { data } of iterator) {
      heard.push(data)
      if (data === 5) break
    }
  })()
  await until(() => feed.open === 1)
  feed.write(blocks(3))
  feed.write(blocks(4, 4))
  await within(5_000, loop, 'the end of the loop')
  expect(heard).toEqual([1, 2, 3, 4, 5])
  expect(client.stats().subscriptions.active).toBe(0)
  await until(() => feed.open === 0)
})

test('an iterator that nobody asks opens nothing', async () => {
  const { feed, client } = await startEvents()
  await new Promise((resolve) => setImmediate(resolve))
  expect(client.stats().channels).toEqual([])
  expect(feed.streamRequests).toEqual([])
})

test('events wait for a loop that is slower', async () => {
  const started = await startEvents()
  expect(await overfill(started, 100)).toBe(0)
  for (let n = 1; n <= 100; n += 1) expect((await started.next()).value).toMatchObject({ data: n })
})

test('several that ask at once are answered in order', async () => {
  const { feed, next } = await startEvents()
  const asked = [next(), next(), next()]
  await until(() => feed.open === 1)
  feed.write(blocks(3))
  expect((await Promise.all(asked)).map(({ value }) => value.data)).toEqual([1, 2, 3])
})

describe('when more events wait than the buffer holds', () => {
  const drain = async (started: Awaited<ReturnType<typeof startEvents>>, count: number) => {
    const values: unknown[] = []
    for (let n = 0; n < count; n += 1) values.push((await started.next()).value.data)
    return values
  }

  test('the oldest go by default, counted and told', async () => {
    const started = await startEvents({ buffer: 3 })
    expect(await overfill(started, 10)).toBe(7)
    expect(await drain(started, 3)).toEqual([8, 9, 10])
    expect(started.alerts).toEqual([expect.objectContaining({ code: 'overflow', channel: 'events' })])
  })

  test('the newest go with `drop-newest`', async () => {
    const started = await startEvents({ buffer: 3, overflow: 'drop-newest' })
    expect(await overfill(started, 10)).toBe(7)
    expect(await drain(started, 3)).toEqual([1, 2, 3])
  })

  test('`error` hands out what waits and then rejects with `overflow`, once', async () => {
    const started = await startEvents({ buffer: 3, overflow: 'error' })
    await overfill(started, 10)
    expect(await drain(started, 3)).toEqual([1, 2, 3])
    await expect(started.next()).rejects.toMatchObject({
      code: 'overflow',
      message: expect.stringMatching(/events: over 3 events wait.*Take them faster/),
    })
    expect(await started.next()).toEqual({ done: true, value: undefined })
    expect(started.client.stats().channels[0]!.subscribers).toHaveLength(1)
  })

  test('a function makes fewer of them, and what it leaves too many is cut from the front', async () => {
    const started = await startEvents({
      buffer: 3,
      overflow: (events) => events.filter(({ data }) => data % 2 === 0),
    })
    await overfill(started, 6)
    expect(await drain(started, 3)).toEqual([2, 4, 6])
    const stubborn = await startEvents({ buffer: 3, overflow: (events) => events })
    expect(await overfill(stubborn, 6)).toBe(3)
    expect(await drain(stubborn, 3)).toEqual([4, 5, 6])
  })

  test('the default buffer holds 1,024', async () => {
    const started = await startEvents()
    expect(await overfill(started, 1_030)).toBe(6)
  })
})

describe('the end of an iteration', () => {
  test('is an abort, which rejects with its reason whoever waits, once', async () => {
    const controller = new AbortController()
    const { feed, client, next } = await startEvents({ signal: controller.signal })
    const waiting = next()
    await until(() => feed.open === 1)
    const reason = new Error('enough')
    controller.abort(reason)
    await expect(waiting).rejects.toBe(reason)
    expect(await next()).toEqual({ done: true, value: undefined })
    expect(client.stats().subscriptions.active).toBe(0)
  })

  test('is an abort from before the beginning, which opens nothing', async () => {
    const { feed, next } = await startEvents({ signal: AbortSignal.abort(new Error('never')) })
    await expect(next()).rejects.toThrow('never')
    expect(await next()).toMatchObject({ done: true })
    expect(feed.streamRequests).toEqual([])
  })

  test('is the terminal event, which is handed out before it', async () => {
    const { feed, next } = await startEvents({}, ({ data }) => data === 2)
    const asked = [next(), next(), next(), next()]
    await until(() => feed.open === 1)
    feed.write(blocks(3))
    const results = await Promise.all(asked)
    expect(results.map(({ done, value }) => (done ? 'done' : value.data))).toEqual([1, 2, 'done', 'done'])
  })

  test('is a failure, which rejects', async () => {
    const server = await startServer(status(404))
    const { client } = startClient()
    const iterator = client.events(defineChannel<unknown, StreamEvent>({ key: 'gone', stream: server.url() }))
    await expect(within(5_000, iterator.next(), 'a rejection')).rejects.toMatchObject({ code: 'http', status: 404 })
    expect(await iterator.next()).toEqual({ done: true, value: undefined })
  })

  test('is the end of the client, which rejects with `closed`', async () => {
    const { feed, client, next } = await startEvents()
    const waiting = next()
    await until(() => feed.open === 1)
    client.close()
    await expect(waiting).rejects.toMatchObject({ code: 'closed' })
    expect(await next()).toMatchObject({ done: true })
  })

  test('is `return()`, which drops what waits and settles whoever waits', async () => {
    const started = await startEvents()
    await overfill(started, 5)
    expect(await started.iterator.return!()).toEqual({ done: true, value: undefined })
    expect(await started.next()).toEqual({ done: true, value: undefined })

    const other = await startEvents()
    const waiting = other.next()
    await until(() => other.feed.open === 1)
    await other.iterator.return!()
    expect(await waiting).toEqual({ done: true, value: undefined })
    expect(other.client.stats().subscriptions.active).toBe(0)
  })

  test('is `return()` before the beginning: nothing is ever opened', async () => {
    const { feed, iterator, next } = await startEvents()
    await iterator.return!()
    expect(await next()).toEqual({ done: true, value: undefined })
    expect(feed.streamRequests).toEqual([])
  })
})

test('what is out of range is refused at the door', async () => {
  const { client, channel } = await startEvents()
  for (const buffer of [0, -1, Number.NaN])
    expect(() => client.events(channel, { buffer })).toThrow(
      expect.objectContaining({
        code: 'config',
        message: `Expected \`buffer: number >= 1\`, got ${buffer}.`,
      }),
    )
})

test('an abort listener is removed when the iteration ends', async () => {
  const controller = new AbortController()
  const listeners = new Set<unknown>()
  const { signal } = controller
  const add = signal.addEventListener.bind(signal)
  const remove = signal.removeEventListener.bind(signal)
  signal.addEventListener = (type: string, listener: never) => {
    listeners.add(listener)
    add(type, listener)
  }
  signal.removeEventListener = (type: string, listener: never) => {
    listeners.delete(listener)
    remove(type, listener)
  }
  const { feed, iterator, next } = await startEvents({ signal })
  const waiting = next()
  await until(() => feed.open === 1)
  expect(listeners.size).toBe(1)
  feed.write(block('a'))
  await waiting
  await iterator.return!()
  expect(listeners.size).toBe(0)
})
