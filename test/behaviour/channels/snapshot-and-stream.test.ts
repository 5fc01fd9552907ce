import { type Channel, type Client, type CommonOptions, defineChannel, type StreamEvent } from 'millrace'
import { afterEach, describe, expect, test } from 'vitest'
import { closeServers, startStream } from '../../support/http-server'
import { until } from '../../support/until'
import {
  block,
  catchReported,
  closeClients,
  type Feed,
  held,
  json,
  page,
  startClient,
  startFeed,
  status,
  type Watched,
  watch,
} from './watch'

afterEach(closeClients)
afterEach(closeServers)

/** A list to which every event is added: one too many, one too few or one in the wrong place would show. */
type List = readonly (string | number)[]
interface ListOptions extends Partial<CommonOptions<StreamEvent>> {
  initial?: List
  reduce?: (list: List, event: StreamEvent) => List
  fromSnapshot?: (body: unknown) => List
}
function listOf(
  { streamUrl: stream, snapshotUrl: snapshot }: Feed,
  options: ListOptions = {},
): Channel<List, StreamEvent> {
  return defineChannel<List, StreamEvent>({
    key: 'list',
    stream,
    snapshot,
    reduce: (list: List, { data }: StreamEvent) => [...list, data],
    ...options,
  } as never)
}
const at = (id: string | number) => ({ 'last-event-id': String(id) })

/** Opens a channel whose snapshot waits, sends these blocks, then lets the snapshot answer. */
async function meet(
  blocks: string,
  snapshot: ReturnType<typeof json>,
  options: ListOptions = {},
): Promise<{ client: Client; feed: Feed; watched: Watched<List, StreamEvent> }> {
  const gate = held(snapshot)
  const feed = await startFeed(gate.handler)
  const { client } = startClient()
  const watched = watch(client, listOf(feed, options))
  await until(() => gate.waiting === 1)
  // A block of an id alone behind them is no event, and shows that all before it has arrived.
  feed.write(`${blocks}id: read\n\n`)
  await until(() => client.stats().channels[0]!.lastEventId === 'read')
  gate.release()
  await until(() => watched.state.status === 'live')
  return { client, feed, watched }
}

describe('the stream opens first', () => {
  test('and the snapshot is asked for when it is open', async () => {
    const feed = await startFeed(json(['s']))
    const { client } = startClient()
    const watched = watch(client, listOf(feed))
    expect(watched.state.status).toBe('connecting')
    await until(() => watched.state.status === 'live')
    expect(feed.server.requests.map(({ url }) => url)).toEqual(['/stream', '/snapshot'])
    expect(feed.snapshotRequests[0]!.time).toBeGreaterThanOrEqual(feed.streamRequests[0]!.time)
  })

  test('and no event is told before there is a state to fold it onto', async () => {
    const gate = held(json(['s'], at(0)))
    const feed = await startFeed(gate.handler)
    const { client } = startClient()
    const watched = watch(client, listOf(feed))
    await until(() => gate.waiting === 1)
    feed.write(block('a', { id: 1 }))
    await until(() => client.stats().channels[0]?.lastEventId === '1')
    expect(watched).toMatchObject({ events: [], state: { status: 'connecting', data: undefined } })
    gate.release()
    await until(() => watched.events.length === 1)
    expect(watched.state).toMatchObject({ status: 'live', data: ['s', 'a'], isStale: false })
  })
})

describe('a snapshot that says by id where it stands', () => {
  const abc = block('a', { id: 1 }) + block('b', { id: 2 }) + block('c', { id: 3 })

  test('drops what it contains, and what comes after it is folded on top', async () => {
    const { watched, feed } = await meet(abc, json(['a', 'b'], at(2)))
    expect(watched.state.data).toEqual(['a', 'b', 'c'])
    feed.write(block('d', { id: 4 }))
    await until(() => watched.state.data?.length === 4)
    expect(watched.state.data).toEqual(['a', 'b', 'c', 'd'])
    expect(watched.data).toEqual(['c', 'd'])
  })

  test('drops everything when it is as new as the stream', async () => {
    const { watched } = await meet(abc, json(['a', 'b', 'c'], at(3)))
    expect(watched.state.data).toEqual(['a', 'b', 'c'])
    expect(watched.events).toEqual([])
  })

  test('is folded upon at once when it stands before the first event of a stream that starts from now on', async () => {
    const { watched, feed } = await meet('', json(['s'], at(17)))
    feed.write(block('a', { id: 18 }))
    await until(() => watched.events.length === 1)
    expect(watched.state.data).toEqual(['s', 'a'])
    feed.write(block('b', { id: 19 }))
    await until(() => watched.events.length === 2)
    expect(watched.state.data).toEqual(['s', 'a', 'b'])
  })

  test('is right in the end when it is newer than the stream', async () => {
    const { watched, feed } = await meet(block('a', { id: 1 }), json(['a', 'b', 'c'], at(3)))
    feed.write(block('b', { id: 2 }) + block('c', { id: 3 }) + block('d', { id: 4 }))
    await until(() => watched.data.at(-1) === 'd')
    expect(watched.state.data).toEqual(['a', 'b', 'c', 'd'])
    expect(watched.data).toEqual(['a', 'b', 'c', 'd'].slice(-watched.data.length))
  })

  test('is asked where it stands by `position`, which sees body and headers', async () => {
    const seen: unknown[] = []
    const { watched } = await meet(abc, json({ list: ['a', 'b'], upTo: '2' }, { 'x-head': 'h' }), {
      fromSnapshot: (body) => (body as { list: List }).list,
      position: (body, headers) => {
        seen.push(headers.get('x-head'))
        return { id: (body as { upTo: string }).upTo }
      },
    })
    expect(watched.state.data).toEqual(['a', 'b', 'c'])
    expect(seen).toEqual(['h'])
  })

  test('has an id in the characters that headers take', async () => {
    const { watched } = await meet(
      block('a', { id: 'ab-1_2' }) + block('b', { id: 'ab-1_3' }),
      json(['a'], at('ab-1_2')),
    )
    expect(watched.state.data).toEqual(['a', 'b'])
  })
})

describe('a snapshot that says by number where it stands', () => {
  const numbered = (n: number) => block({ n, text: `t${n}` })
  const options = {
    sequence: ({ data }: StreamEvent) => data.n,
    reduce: (list: List, { data }: StreamEvent) => [...list, data.n],
    fromSnapshot: (body: unknown) => (body as { list: List }).list,
    position: (body: unknown) => ({ sequence: (body as { list: number[] }).list.at(-1)! }),
  }

  test('drops what it contains', async () => {
    const { watched, feed } = await meet(numbered(1) + numbered(2) + numbered(3), json({ list: [1, 2] }), options)
    expect(watched.state.data).toEqual([1, 2, 3])
    feed.write(numbered(4))
    await until(() => watched.state.data?.length === 4)
    expect(watched.events.map(({ data }) => data.n)).toEqual([3, 4])
  })

  test('that is newer than the stream drops what comes late', async () => {
    const { watched, feed } = await meet(numbered(1), json({ list: [1, 2, 3] }), options)
    feed.write(numbered(2) + numbered(3) + numbered(4))
    await until(() => watched.events.some(({ data }) => data.n === 4))
    expect(watched.state.data).toEqual([1, 2, 3, 4])
    expect(watched.events.map(({ data }) => data.n)).toEqual([4])
    const sizes = watched.states.flatMap(({ data }) => (data ? [data.length] : []))
    expect(sizes).toEqual([...sizes].sort())
  })

  test('does not go back to before what was applied already', async () => {
    const { client, feed, watched } = await meet('', json({ list: [1, 2] }), options)
    feed.write(numbered(3) + numbered(4))
    await until(() => watched.state.data?.length === 4)
    // A cache in between answers with what was true a while ago.
    await client.refresh(listOf(feed, options))
    expect(watched.state.data).toEqual([1, 2, 3, 4])
    expect(feed.snapshotRequests).toHaveLength(2)
  })
})

describe('a snapshot that does not say where it stands', () => {
  test('has everything that was held folded on top, so that nothing is missing', async () => {
    const set = { reduce: (list: List, { data }: StreamEvent) => (list.includes(data) ? list : [...list, data]) }
    const { watched } = await meet(block('a') + block('b') + block('c'), json(['a', 'b']), set)
    expect(watched.state.data).toEqual(['a', 'b', 'c'])
    expect(watched.data).toEqual(['a', 'b', 'c'])
  })

  test('is asked for again after a reconnect where no id is known', async () => {
    const feed = await startFeed(json(['s']))
    const { client } = startClient()
    const watched = watch(client, listOf(feed))
    await until(() => watched.state.status === 'live')
    feed.snapshot(json(['s', 'missed']))
    feed.drop()
    await until(() => feed.snapshotRequests.length === 2)
    await until(() => watched.state.data?.length === 2)
    expect(watched.state.data).toEqual(['s', 'missed'])
  })

  test('is not asked for again after a reconnect that resumed from an id', async () => {
    const feed = await startFeed(json(['s'], at(0)))
    const { client } = startClient()
    const watched = watch(client, listOf(feed))
    await until(() => watched.state.status === 'live')
    feed.write(block('a', { id: 1 }))
    await until(() => watched.events.length === 1)
    feed.drop()
    await until(() => feed.streamRequests.length === 2 && feed.open === 1)
    feed.write(block('b', { id: 2 }))
    await until(() => watched.events.length === 2)
    expect(watched.state.data).toEqual(['s', 'a', 'b'])
    expect(feed.snapshotRequests).toHaveLength(1)
  })

  test('is asked for again where the server has ids but replays nothing', async () => {
    const feed = await startFeed(json(['s'], at(0)))
    const { client } = startClient()
    const watched = watch(client, listOf(feed, { replay: false }))
    await until(() => watched.state.status === 'live')
    feed.write(block('a', { id: 1 }))
    await until(() => watched.events.length === 1)
    feed.snapshot(json(['s', 'a', 'missed'], at(2)))
    feed.drop()
    await until(() => feed.snapshotRequests.length === 2)
    await until(() => watched.state.data?.length === 3)
  })
})

describe('a snapshot that fails', () => {
  const initial = { initial: ['i'] }

  test.each([
    ['500', status(500), 'http'],
    ['429', status(429), 'http'],
    ['a page', page, 'invalid-body'],
    ['a reset', ((_, response) => response.socket?.resetAndDestroy()) as ReturnType<typeof status>, 'network'],
  ] as const)('with %s leaves the events going, shows why, and is asked for again', async (_, answer, code) => {
    const feed = await startFeed(answer)
    const { client } = startClient()
    const watched = watch(client, listOf(feed, { ...initial, interval: 200 }))
    await until(() => watched.state.error !== undefined)
    feed.write(block('a', { id: 1 }))
    await until(() => watched.events.length === 1)
    expect(watched.state).toMatchObject({ status: 'live', data: ['i', 'a'], error: { code } })
    expect(watched.state.error!.message).toMatch(/^GET http:\/\/127\.0\.0\.1:\d+\/snapshot /)
    feed.snapshot(json(['s', 'a'], at(1)))
    await until(() => watched.state.error === undefined, 'a snapshot after all')
    expect(watched.state.data).toEqual(['s', 'a'])
    expect(watched.errors).toEqual([])
  })

  test('with 404 is asked no more, and its channel goes on without it where there is a beginning', async () => {
    const feed = await startFeed(status(404))
    const { client } = startClient()
    const watched = watch(client, listOf(feed, { ...initial, interval: 200 }))
    await until(() => watched.state.error !== undefined)
    feed.write(block('a', { id: 1 }))
    await until(() => watched.events.length === 1)
    expect(watched.state).toMatchObject({ status: 'live', data: ['i', 'a'], error: { code: 'http', status: 404 } })
    expect(feed.snapshotRequests).toHaveLength(1)
  })

  test('with 404 fails its channel where nothing can be folded onto', async () => {
    const feed = await startFeed(status(404))
    const { client } = startClient()
    const watched = watch(client, listOf(feed))
    await until(() => watched.errors.length === 1)
    expect(watched.state).toMatchObject({ status: 'failed', error: { code: 'http', status: 404 } })
    await until(() => feed.open === 0, 'the stream to be left too')
  })

  test('with 500 where nothing can be folded onto holds the events until it answers, and loses none', async () => {
    const feed = await startFeed(status(500))
    const { client } = startClient()
    const watched = watch(client, listOf(feed, { interval: 200 }))
    await until(() => watched.state.error !== undefined)
    feed.write(block('a', { id: 1 }) + block('b', { id: 2 }))
    await until(() => client.stats().channels[0]!.lastEventId === '2')
    expect(watched.events).toEqual([])
    expect(watched.state.error).toMatchObject({ code: 'http', status: 500 })
    feed.snapshot(json(['s', 'a'], at(1)))
    await until(() => watched.state.status === 'live' && watched.events.length > 0)
    expect(watched.state.data).toEqual(['s', 'a', 'b'])
    expect(watched.data).toEqual(['b'])
  })

  test('whose shape `fromSnapshot` cannot take names the function, is counted and told', async () => {
    const reported = catchReported()
    const feed = await startFeed(json({ no: 'list' }))
    const { client, alerts } = startClient()
    const watched = watch(
      client,
      listOf(feed, {
        fromSnapshot: (body) => [...(body as { list: string[] }).list],
      }),
    )
    await until(() => watched.errors.length === 1)
    expect(watched.state).toMatchObject({ status: 'failed', error: { code: 'callback' } })
    expect(watched.state.error!.message).toMatch(
      /^`fromSnapshot` of channel list threw at what GET .*\/snapshot answered\.$/,
    )
    expect(alerts.map(({ code }) => code)).toEqual(['invalid-event', 'failed'])
    expect(client.stats().channels[0]).toMatchObject({ invalid: 1 })
    expect(reported).toEqual([expect.objectContaining({ cause: expect.any(TypeError) })])
  })
})

describe('a terminal event', () => {
  const until_ = { until: ({ type }: StreamEvent) => type === 'done' }

  test('while the snapshot is under way is held, then delivered as the last', async () => {
    const gate = held(json(['s'], at(0)))
    const feed = await startFeed(gate.handler)
    const { client } = startClient()
    const watched = watch(client, listOf(feed, until_))
    await until(() => gate.waiting === 1)
    feed.write(block('a', { id: 1 }) + block('end', { id: 2, event: 'done' }) + block('late', { id: 3 }))
    await until(() => client.stats().channels[0]!.lastEventId === '3')
    gate.release()
    await until(() => watched.completions === 1)
    expect(watched.data).toEqual(['a', 'end'])
    expect(watched.state).toMatchObject({ status: 'complete', data: ['s', 'a', 'end'], isStale: false })
  })

  test('that the snapshot contains already is still the last word', async () => {
    const gate = held(json(['s', 'a', 'end'], at(2)))
    const feed = await startFeed(gate.handler)
    const { client } = startClient()
    const watched = watch(client, listOf(feed, until_))
    await until(() => gate.waiting === 1)
    feed.write(block('a', { id: 1 }) + block('end', { id: 2, event: 'done' }))
    await until(() => client.stats().channels[0]!.lastEventId === '2')
    gate.release()
    await until(() => watched.completions === 1)
    expect(watched.data).toEqual(['end'])
    expect(watched.state).toMatchObject({ status: 'complete', data: ['s', 'a', 'end'] })
  })
})

describe('equal data', () => {
  test('of a snapshot that is asked for again keeps its reference, and tells nobody', async () => {
    const feed = await startFeed(json({ users: [{ id: 1 }, { id: 2 }], n: 1 }))
    const { client } = startClient()
    const channel = defineChannel({ key: 'poll', snapshot: feed.snapshotUrl, interval: 60_000 })
    const watched = watch(client, channel)
    await until(() => watched.state.data !== undefined)
    const before = watched.state
    const told = watched.states.length
    await client.refresh(channel)
    expect(watched.state).toBe(before)
    expect(watched.states).toHaveLength(told)

    feed.snapshot(json({ users: [{ id: 1 }, { id: 3 }], n: 1 }))
    await client.refresh(channel)
    const users = (state: typeof before) => (state.data as { users: unknown[] }).users
    expect(users(watched.state)).toEqual([{ id: 1 }, { id: 3 }])
    expect(users(watched.state)[0]).toBe(users(before)[0])
    expect(feed.snapshotRequests).toHaveLength(3)
  })
})

test('a stream that has just opened shows what the snapshot brought even before the first event', async () => {
  const feed = await startFeed(json(['s']))
  feed.stream((_, response) => startStream(response))
  const { client } = startClient()
  const watched = watch(client, listOf(feed))
  await until(() => watched.state.status === 'live')
  expect(watched.state).toMatchObject({ data: ['s'], isStale: false, updatedAt: expect.any(Number) })
  expect(watched.statuses).toEqual(['connecting', 'live'])
})
