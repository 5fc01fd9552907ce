import { type Client, defineChannel, type StreamEvent } from 'millrace'
import { afterEach, expect, test } from 'vitest'
import {
  block,
  closeClients,
  json,
  startClient,
  startFeed,
  startStill,
  status,
  watch,
} from '../behaviour/channels/watch'
import { settledHeap } from '../support/heap'
import { closeServers, startServer, startStream, type TestServer } from '../support/http-server'
import { activeResources } from '../support/sockets'
import { until } from '../support/until'

afterEach(closeClients)
afterEach(closeServers)

const generous = { streams: Infinity, fetchesPer10s: Infinity, concurrency: Infinity }
const sockets = () => activeResources().TCPSocketWrap ?? 0

/** Opens so many channels, twenty on each stream, waits until each has heard something, and leaves them all. */
async function openAndClose(client: Client, server: TestServer, from: number, count: number): Promise<void> {
  const channels = Array.from({ length: count }, (_, n) =>
    defineChannel<unknown, StreamEvent>({
      key: ['many', from + n],
      stream: server.url(`/stream?n=${(from + n) % (count / 20)}`),
      grace: 5,
      keep: 0,
      idleTimeout: 60_000,
    }),
  )
  const watched = channels.map((channel) => watch(client, channel))
  await until(() => watched.every(({ events }) => events.length === 1), { what: 'an event each', within: 20_000 })
  expect(server.openStreams).toBe(count / 20)
  for (const { unsubscribe } of watched) unsubscribe()
  await until(() => client.stats().channels.length === 0 && server.openStreams === 0, 'the end of all')
}

test('of 2,000 channels nothing is left: no heap, no socket, no timer, no entry', { timeout: 60_000 }, async () => {
  const server = await startServer((_, response) =>
    startStream(response).write(`: hello\n${block('x'.repeat(1_000), { id: 1 })}`),
  )
  const { client } = startClient({ limits: generous })
  // Whatever is made once, by us, by fetch or by the runner, is made now.
  await openAndClose(client, server, 0, 200)
  const before = { heap: await settledHeap(), sockets: sockets() }
  for (let round = 1; round <= 2; round += 1) await openAndClose(client, server, round * 1_000, 1_000)
  await until(() => server.openSockets === 0, 'the last socket')
  const stats = client.stats()
  expect(stats).toMatchObject({ channels: [], timers: [], subscriptions: { active: 0, total: 2_200 }, memory: 0 })
  // The server's side of a connection may be gone before the client's.
  await until(() => sockets() <= before.sockets, 'no socket more than before')
  // A channel that stayed would hold its event of 1 kB and as much again for itself; this is half of that.
  expect((await settledHeap()) - before.heap).toBeLessThan(2_000_000)
})

test('what is kept is the last state alone, with one timer for all, and without a socket or a channel', async () => {
  const feed = await startFeed(json({ n: 1 }))
  const { client, clock } = startStill()
  const channels = [
    defineChannel<unknown, StreamEvent>({ key: 'both', stream: feed.streamUrl, snapshot: feed.snapshotUrl }),
    defineChannel<unknown, StreamEvent>({ key: 'polled', snapshot: `${feed.snapshotUrl}?polled` } as never),
  ]
  const watched = channels.map((channel) => watch(client, channel, { delivery: 'frame' }))
  await clock.advance(0)
  await until(() => watched.every(({ state }) => state.data !== undefined))
  feed.write(': heartbeat\n\n')
  for (const { unsubscribe } of watched) unsubscribe()
  await clock.advance(1_000)
  await until(() => feed.server.openStreams === 0)
  expect(client.stats()).toMatchObject({ channels: [], timers: [{ label: 'keep' }] })
  expect(clock.pending()).toHaveLength(1)
  for (const channel of channels) expect(client.getState(channel)).toMatchObject({ data: { n: 1 }, isStale: true })
  expect(client.stats().memory).toBeGreaterThan(0)
  await clock.advance(300_000)
  for (const channel of channels) expect(client.getState(channel).data).toBeUndefined()
  expect(client.stats().timers).toEqual([])
  expect(clock.pending()).toEqual([])
})

test.each([
  ['connects', (feed: Awaited<ReturnType<typeof startFeed>>) => feed.stream(() => {})],
  ['waits for its next attempt', (feed: Awaited<ReturnType<typeof startFeed>>) => feed.stream(status(503))],
  ['has failed', (feed: Awaited<ReturnType<typeof startFeed>>) => feed.stream(status(404))],
  ['is complete', (feed: Awaited<ReturnType<typeof startFeed>>) => feed.stream(status(204))],
  ['waits for its snapshot', (feed: Awaited<ReturnType<typeof startFeed>>) => feed.snapshot(() => {})],
  ['polls', (feed: Awaited<ReturnType<typeof startFeed>>) => feed.stream((_, r) => r.writeHead(200).end('page'))],
])('nothing is left of a channel that is left while it %s', async (_, arrange) => {
  const feed = await startFeed(json({ n: 1 }))
  arrange(feed)
  const { client, clock } = startStill()
  const watched = watch(
    client,
    defineChannel({ key: 'left', stream: feed.streamUrl, snapshot: feed.snapshotUrl, keep: 0 }),
  )
  await until(() => feed.streamRequests.length === 1)
  await clock.advance(0)
  watched.unsubscribe()
  await clock.advance(1_000)
  expect(client.stats()).toMatchObject({ channels: [], timers: [] })
  expect(clock.pending()).toEqual([])
  await until(() => feed.server.openStreams === 0, 'the end of every answer')
})

test('nothing is left of a client that is closed, whatever was under way', async () => {
  const feed = await startFeed(() => {})
  const { client, clock } = startStill()
  const streamed = watch(client, feed.streamUrl)
  await until(() => streamed.state.status === 'live')
  watch(client, defineChannel({ key: 'both', stream: feed.streamUrl, snapshot: feed.snapshotUrl }), {
    delivery: 'frame',
  })
  watch(client, defineChannel({ key: 'hangs', snapshot: feed.snapshotUrl }))
  const leaving = watch(client, `${feed.streamUrl}?leaving`)
  leaving.unsubscribe()
  client.json(feed.snapshotUrl).catch(() => {})
  await clock.advance(0)
  await until(() => feed.snapshotRequests.length > 0)
  feed.write(block(1))
  await until(() => streamed.events.length === 1)
  expect(clock.pending().length).toBeGreaterThanOrEqual(3)

  client.close()
  expect(client.stats()).toMatchObject({ channels: [], timers: [], subscriptions: { active: 0 } })
  expect(clock.pending()).toEqual([])
  await until(() => feed.server.openStreams === 0)
  expect(streamed.errors).toMatchObject([{ code: 'closed' }])
})

test('a signal that lives long holds no subscriber that has left', async () => {
  const feed = await startFeed()
  const { client } = startClient()
  const { signal } = new AbortController()
  let listeners = 0
  const { addEventListener, removeEventListener } = signal
  signal.addEventListener = (...args: Parameters<typeof addEventListener>) => {
    listeners += 1
    addEventListener.apply(signal, args)
  }
  signal.removeEventListener = (...args: Parameters<typeof removeEventListener>) => {
    listeners -= 1
    removeEventListener.apply(signal, args)
  }
  for (let n = 0; n < 50; n += 1) watch(client, feed.streamUrl, { signal }).unsubscribe()
  expect(listeners).toBe(0)
})

test('endpoints that were asked once are remembered, but no more than so many of them', async () => {
  const server = await startServer(json({}))
  const { client } = startClient({ limits: generous })
  for (let n = 0; n < 700; n += 100)
    await Promise.all(Array.from({ length: 100 }, (_, m) => client.json(server.url(`/item/${n + m}`))))
  expect(client.stats().endpoints.length).toBeLessThanOrEqual(500)
  expect(client.stats().cache.entries).toBeLessThanOrEqual(500)
})
