import { defineChannel, type StreamEvent } from 'millrace'
import { afterEach, describe, expect, test } from 'vitest'
import {
  block,
  catchReported,
  closeClients,
  held,
  json,
  startClient,
  startFeed,
  startStill,
  status,
  watch,
} from '../behaviour/channels/watch'
import { closeServers, startStream } from '../support/http-server'
import { until } from '../support/until'

afterEach(closeClients)
afterEach(closeServers)

type Numbers = readonly number[]
const add = (numbers: Numbers, { data }: StreamEvent): Numbers => [...numbers, data]

/** A stream that replays from any id, and whose first connection starts at its head. */
async function startLog(last: number, snapshotAt: number) {
  const log = Array.from({ length: last }, (_, n) => n + 1)
  const open = new Set<{ write(text: string): unknown }>()
  const feed = await startFeed((request, response, raw) =>
    json(log.slice(0, snapshotAt), { 'last-event-id': `e${snapshotAt}x` })(request, response, raw),
  )
  feed.stream((request, response) => {
    startStream(response).write(': hello\n\n')
    const from = request.headers['last-event-id']
    if (from !== undefined)
      for (const n of log)
        if (n > Number.parseInt(String(from).slice(1), 10)) response.write(block(n, { id: `e${n}x` }))
    open.add(response)
    response.once('close', () => open.delete(response))
  })
  return {
    feed,
    append() {
      log.push(log.length + 1)
      for (const response of open) response.write(block(log.length, { id: `e${log.length}x` }))
    },
  }
}

describe('a snapshot that stands before what its stream began with', () => {
  test('is caught up with, in order, and each event is told once', async () => {
    const { feed, append } = await startLog(3, 1)
    const { client, alerts } = startClient()
    const channel = defineChannel<Numbers, StreamEvent>({
      key: 'log',
      stream: feed.streamUrl,
      snapshot: feed.snapshotUrl,
      reduce: add,
    })
    const watched = watch(client, channel)
    await until(() => watched.state.data?.length === 1 && watched.state.status === 'live')
    append()
    append()
    await until(() => watched.state.data?.length === 5)
    expect(watched.state).toMatchObject({ data: [1, 2, 3, 4, 5], isStale: false })
    expect(watched.data).toEqual([2, 3, 4, 5])
    append()
    await until(() => watched.events.length === 5)
    expect(watched.state.data).toEqual([1, 2, 3, 4, 5, 6])
    expect(alerts.map(({ code }) => code)).toEqual([])
    // What was asked for the place is asked no more.
    expect(feed.streamRequests).toHaveLength(2)
  })

  test('is told as a gap where what is missing cannot be had, and what came goes on', async () => {
    const feed = await startFeed(json([1], { 'last-event-id': 'e1x' }))
    const { client, alerts } = startClient()
    const channel = defineChannel<Numbers, StreamEvent>({
      key: 'log',
      stream: feed.streamUrl,
      snapshot: feed.snapshotUrl,
      reduce: add,
    })
    const watched = watch(client, channel)
    await until(() => watched.state.status === 'live')
    feed.stream(status(404))
    feed.write(block(4, { id: 'e4x' }))
    await until(() => watched.state.data?.length === 2)
    expect(watched.state.data).toEqual([1, 4])
    expect(alerts.map(({ code }) => code)).toContain('gap')
  })
})

describe('what is kept', () => {
  test('goes on from the last id that it contains, without a snapshot too', async () => {
    const { feed, append } = await startLog(0, 0)
    const { client, alerts } = startClient()
    const channel = defineChannel<Numbers, StreamEvent>({
      key: 'kept',
      stream: feed.streamUrl,
      initial: [],
      reduce: add,
      grace: 0,
    })
    const first = watch(client, channel)
    await until(() => first.state.status === 'live')
    append()
    append()
    await until(() => first.state.data?.length === 2)
    first.unsubscribe()
    await until(() => client.stats().channels.length === 0)
    append()
    const second = watch(client, channel)
    expect(second.state).toMatchObject({ data: [1, 2], isStale: true })
    await until(() => second.state.data?.length === 3)
    expect(second.state).toMatchObject({ data: [1, 2, 3], isStale: false })
    expect(feed.streamRequests.at(-1)!.headers['last-event-id']).toBe('e2x')
    expect(alerts.map(({ code }) => code)).toEqual([])
  })

  test('of a server without ids is stale until the first event replaces it, and a gap is told', async () => {
    const feed = await startFeed()
    const { client, alerts } = startClient()
    const channel = defineChannel<Numbers, StreamEvent>({
      key: 'kept',
      stream: feed.streamUrl,
      initial: [],
      reduce: add,
      grace: 0,
    })
    const first = watch(client, channel)
    await until(() => first.state.status === 'live')
    feed.write(block(1))
    await until(() => first.state.data?.length === 1)
    first.unsubscribe()
    await until(() => client.stats().channels.length === 0)
    const second = watch(client, channel)
    await until(() => second.state.status === 'live')
    expect(second.state).toMatchObject({ data: [1], isStale: true })
    expect(alerts.map(({ code }) => code)).toEqual(['gap'])
    feed.write(block(9))
    await until(() => second.events.length === 1)
    expect(second.state).toMatchObject({ data: [9], isStale: false })
  })

  test.each([
    ['set back an hour', -3_600_000],
    ['set forward an hour', 3_600_000],
  ])('is gone when its time is over, and not before, though the wall is %s', async (_, by) => {
    const feed = await startFeed(json({ n: 1 }))
    let shift = 0
    const { client, clock } = startStill()
    const { now } = clock
    // The hand that nobody sets goes by the test's own time.
    Object.assign(clock, { now: () => now() + shift, monotonic: () => now() })
    client.close()
    const started = startClient({ clock })
    const channel = defineChannel({ key: 'wall', snapshot: feed.snapshotUrl, grace: 0, keep: 60_000 })
    const watched = watch(started.client, channel)
    await until(async () => {
      await clock.advance(0)
      return watched.state.data
    })
    watched.unsubscribe()
    await clock.advance(1)
    shift = by
    if (by < 0) {
      await clock.advance(50_000)
      expect(started.client.getState(channel).data).toEqual({ n: 1 })
    }
    await clock.advance(60_000)
    expect(started.client.getState(channel).data).toBeUndefined()
    expect(started.client.stats().timers).toEqual([])
  })
})

describe('the end', () => {
  test('is what `done` says of a state, of a snapshot that is polled and of `initial` too', async () => {
    const feed = await startFeed(json({ over: true }))
    const { client } = startClient()
    const done = (state: unknown) => (state as { over?: boolean }).over === true
    const polled = watch(client, defineChannel({ key: 'polled', snapshot: feed.snapshotUrl, done }))
    const initial = watch(
      client,
      defineChannel({ key: 'initial', snapshot: feed.snapshotUrl, initial: { over: true }, done }),
    )
    await until(() => polled.completions === 1 && initial.completions === 1)
    expect(polled.state).toMatchObject({ status: 'complete', data: { over: true } })
    expect(feed.snapshotRequests).toHaveLength(1)
  })

  test('of a stream that fails for good is the snapshot as it is then, and `complete` if that is done', async () => {
    const feed = await startFeed(json({ over: true }))
    feed.stream(status(404))
    const { client, alerts } = startClient()
    const both = { stream: feed.streamUrl, snapshot: feed.snapshotUrl }
    const failing = watch(client, defineChannel({ key: 'failing', ...both }))
    const done = watch(client, defineChannel<{ over: boolean }>({ key: 'done', ...both, done: ({ over }) => over }))
    await until(() => failing.errors.length === 1 && done.completions === 1)
    expect(failing.state).toMatchObject({ status: 'failed', data: { over: true } })
    expect(done.errors).toEqual([])
    expect(alerts.map(({ code }) => code)).toEqual(['failed'])
  })

  test('stays: `close` does not fail it, and its figures are still there', async () => {
    const feed = await startFeed()
    const { client } = startClient()
    const channel = defineChannel({ key: 'end', stream: feed.streamUrl, until: ({ type }) => type === 'end' })
    const watched = watch(client, channel)
    await until(() => feed.open === 1)
    feed.write(block('a', { id: 1 }) + block('b', { id: 2, event: 'end' }) + block('c', { id: 3 }))
    await until(() => watched.completions === 1)
    expect(client.stats().channels[0]).toMatchObject({ events: 2, status: 'complete', source: `GET ${feed.streamUrl}` })
    client.close()
    expect(watched.errors).toEqual([])
    expect(watched.data).toEqual(['a', 'b'])
  })

  test('that waits for its snapshot ends the connection', async () => {
    const gate = held(json({ done: 1 }))
    const feed = await startFeed(gate.handler)
    const { client } = startClient()
    const channel = defineChannel({
      key: 'held',
      stream: feed.streamUrl,
      snapshot: feed.snapshotUrl,
      until: ({ type }) => type === 'end',
    })
    const watched = watch(client, channel)
    await until(() => gate.waiting === 1)
    feed.write(block({ done: 2 }, { id: 1, event: 'end' }))
    await until(() => feed.open === 0)
    expect(watched.completions).toBe(0)
    gate.release()
    await until(() => watched.completions === 1)
    expect(watched.state.data).toEqual({ done: 2 })
    expect(feed.streamRequests).toHaveLength(1)
  })
})

describe('what a message says', () => {
  test('`normalize` moves the position by an id alone, which the next connection resumes from', async () => {
    const feed = await startFeed()
    const { client } = startClient()
    const channel = defineChannel<unknown, StreamEvent>({
      key: 'cursor',
      stream: feed.streamUrl,
      normalize: ({ data }) => {
        const { cursor, items } = JSON.parse(data)
        return items ? items.map((item: unknown) => ({ type: 'item', data: item, id: cursor })) : { id: cursor }
      },
    })
    const watched = watch(client, channel)
    await until(() => feed.open === 1)
    feed.write(block({ cursor: 'c1', items: ['a', 'b'] }) + block({ cursor: 'c2' }))
    await until(() => client.stats().channels[0]!.lastEventId === 'c2')
    expect(watched.events.map(({ data, id }) => [data, id])).toEqual([
      ['a', 'c1'],
      ['b', 'c1'],
    ])
    feed.drop()
    await until(() => feed.streamRequests.length === 2)
    expect(feed.streamRequests[1]!.headers['last-event-id']).toBe('c2')
  })

  test('ten that are all ignored are told, by what came and what is listed, without data', async () => {
    const feed = await startFeed()
    const { client, alerts } = startClient()
    const anything = { '~standard': { version: 1 as const, vendor: 'test', validate: (value: unknown) => ({ value }) } }
    watch(client, defineChannel({ key: 'deaf', stream: feed.streamUrl, events: { joined: anything } }))
    await until(() => feed.open === 1)
    feed.write(block({ type: 'user.joined', secret: 'hunter2' }).repeat(10))
    await until(() => alerts.length === 1)
    expect(alerts[0]).toMatchObject({ code: 'ignored', channel: 'deaf' })
    expect(alerts[0]!.message).toContain('"user.joined" came, `events` lists "joined"')
    expect(alerts[0]!.message).not.toContain('hunter2')
  })
})

test('a handler that rejects later is told once by its name, and starves nobody', async () => {
  const reported = catchReported()
  const feed = await startFeed()
  const { client } = startClient()
  const channel = defineChannel({ key: 'later', stream: feed.streamUrl })
  client.subscribe(channel, { next: (async () => Promise.reject(new Error('later'))) as never })
  const watched = watch(client, channel)
  await until(() => feed.open === 1)
  feed.write(block('a') + block('b'))
  await until(() => watched.events.length === 2 && reported.length > 0)
  expect(reported).toMatchObject([
    { code: 'callback', message: '`next` of channel later threw.', cause: { message: 'later' } },
  ])
})

test.each(['reduce', 'until', 'done', 'sequence', 'normalize'] as const)(
  'an asynchronous `%s` is told by its name, and what it rejects with ends nothing',
  async (name) => {
    const reported = catchReported()
    const feed = await startFeed()
    const { client, alerts } = startClient()
    const rejects = async () => Promise.reject(new Error('later'))
    const channel = defineChannel({ key: 'later', stream: feed.streamUrl, initial: 0, [name]: rejects } as never)
    const watched = watch(client, channel)
    await until(() => feed.open === 1)
    feed.write(block('a', { id: 1 }) + block('b', { id: 2 }))
    await until(() => client.stats().channels[0]!.lastEventId === '2')
    await until(() => reported.length + alerts.length > 0)
    const told = [...reported, ...alerts].map((each) => (each as Error).message).join()
    expect(told).toContain(`\`${name}\``)
    expect(watched.errors).toEqual([])
    expect(feed.streamRequests).toHaveLength(1)
  },
)

describe('a key with two targets, seen by views', () => {
  const of = (url: string) => defineChannel({ key: 'edited', snapshot: url })

  test('moves over to the newest while somebody develops, and those who still disagree are told once', async () => {
    const feed = await startFeed((request, response, raw) => json(request.url)(request, response, raw))
    const { client, clock, alerts } = startStill({ environment: 'development' })
    const [one, other] = [of(`${feed.snapshotUrl}?token=secret`), of(`${feed.snapshotUrl}?v=2`)]
    const leave = client.store(one).subscribe(() => {})
    client.store(other).subscribe(() => {})
    leave()
    await clock.advance(1_500)
    await until(() => client.getState(other).data === '/snapshot?v=2')
    expect(alerts).toEqual([])
    client.store(one).subscribe(() => {})
    await clock.advance(1_500)
    expect(alerts).toMatchObject([{ code: 'config', channel: 'edited' }])
    expect(alerts[0]!.message).not.toContain('secret')
  })

  test('stays with the oldest elsewhere, tells, and throws only where somebody subscribes by hand', async () => {
    const feed = await startFeed(json(1))
    const { client, alerts } = startClient()
    client.store(of(feed.snapshotUrl)).subscribe(() => {})
    expect(() => client.store(of(`${feed.snapshotUrl}?2`)).subscribe(() => {})).not.toThrow()
    expect(alerts.map(({ code }) => code)).toEqual(['config'])
    expect(() => watch(client, of(`${feed.snapshotUrl}?3`))).toThrow('one target for the channel key')
  })
})
