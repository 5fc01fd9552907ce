import { type Client, defineChannel, type StreamEvent } from 'millrace'
import { afterEach, expect, test } from 'vitest'
import { block, closeClients, json, startClient, watch } from '../behaviour/channels/watch'
import { leavesLess } from '../support/heap'
import { closeServers, startServer, startStream, type TestServer } from '../support/http-server'
import { activeResources } from '../support/sockets'
import { until } from '../support/until'

afterEach(closeClients)
afterEach(closeServers)

const generous = {
  streams: Infinity,
  fetchesPer10s: Infinity,
  backgroundPerMinute: Infinity,
  concurrency: Infinity,
  queue: Infinity,
}

/** Streams one event and stays open; its snapshot is what the path says. */
async function startCrowdServer(): Promise<TestServer> {
  const server = await startServer((request, response, raw) => {
    ;(server.requests as unknown[]).length = 0 // the record of a million requests would be the leak
    if (request.url.startsWith('/snapshot')) json({ of: request.url })(request, response, raw)
    else startStream(response).write(`: heartbeat\n${block('x'.repeat(200), { id: 1 })}`)
  })
  return server
}

/** But answers in the cache, which is bounded. */
function nothingIsLeft(client: Client): void {
  const { bytes } = client.stats().cache
  expect(client.stats()).toMatchObject({ channels: [], timers: [], subscriptions: { active: 0 }, memory: bytes })
}

test('40,000 mounts and unmounts, some within the grace period and some after it, leave nothing', async () => {
  const server = await startCrowdServer()
  const { client } = startClient({ limits: generous })
  const channel = (n: number) =>
    defineChannel<unknown, StreamEvent>({
      key: ['page', n % 10],
      stream: server.url(`/stream?n=${n % 10}`),
      snapshot: server.url(`/snapshot?n=${n % 10}`),
      reduce: (state) => state,
      grace: 2,
      keep: 0,
    })
  // So many rounds that what `fetch` holds of requests that were broken off, which does not grow, weighs little in each.
  await leavesLess(5_000, 400, async (round) => {
    for (let n = 0; n < 100; n += 1) {
      const { signal } = new AbortController()
      const { unsubscribe } = client.subscribe(
        channel(n),
        { next() {}, state() {} },
        { signal, label: `mount ${n}`, delivery: n % 2 ? 'frame' : 'each' },
      )
      if (n % 7 === 0) await new Promise((resolve) => setTimeout(resolve, 1))
      unsubscribe()
    }
    if (round % 10 === 9) await until(() => client.stats().channels.length === 0)
  })
  // A request that was broken off ends its timer a moment later.
  await until(() => client.stats().timers.length + client.stats().channels.length + server.openStreams === 0)
  expect(client.stats().subscriptions.total).toBe(40_000)
  nothingIsLeft(client)
})

test('20,000 channels that are opened, heard and closed leave nothing', async () => {
  const server = await startCrowdServer()
  const { client } = startClient({ limits: generous })
  const before = activeResources().Timeout ?? 0
  // A channel that stayed would hold a kilobyte and more: of 500, half a megabyte.
  await leavesLess(50_000, 40, async (round) => {
    const watched = Array.from({ length: 500 }, (_, n) =>
      watch(
        client,
        defineChannel<unknown, StreamEvent>({
          key: ['crowd', round, n],
          stream: server.url(`/stream?n=${n % 25}`),
          grace: 1,
          keep: 0,
        }),
      ),
    )
    await until(() => watched.every(({ events }) => events.length > 0), { what: 'an event each', within: 20_000 })
    for (const { unsubscribe } of watched) unsubscribe()
    await until(() => client.stats().channels.length === 0 && server.openStreams === 0)
  })
  nothingIsLeft(client)
  await until(() => server.openSockets === 0)
  expect(activeResources().Timeout ?? 0).toBeLessThanOrEqual(before + 1)
})

test('a million events through one channel leave nothing but the last of them', async () => {
  const chunk = Array.from({ length: 1_000 }, (_, n) => block({ n, text: 'x'.repeat(100) }, { id: n })).join('')
  let write = (_: string): Promise<void> => Promise.resolve()
  const server = await startServer((_, response) => {
    startStream(response)
    write = (text) => new Promise((resolve) => response.write(text, () => resolve()))
  })
  const { client } = startClient()
  let heard = 0
  const channel = defineChannel<number, StreamEvent>({
    key: 'torrent',
    stream: server.url(),
    initial: 0,
    reduce: (count) => count + 1,
  })
  client.subscribe(channel, () => {
    heard += 1
  })
  await until(() => client.getState(channel).status === 'live')
  await leavesLess(100_000, 20, async (round) => {
    for (let n = 0; n < 50; n += 1) await write(chunk)
    await until(() => heard === (round + 1) * 50_000, { what: 'every event', within: 30_000 })
  })
  expect(client.getState(channel).data).toBe(1_000_000)
  expect(client.stats().memory).toBeLessThan(2_000_000)
})

test('a stream that drops 2,000 times leaves neither timers nor connections behind', async () => {
  const server = await startServer((_, response) => {
    ;(server.requests as unknown[]).length = 0
    startStream(response).write(block('x'), () => response.socket?.resetAndDestroy())
  })
  const { client } = startClient({ limits: generous, backoff: { base: 0.2, cap: 1, resetAfter: 0 } })
  let heard = 0
  client.subscribe(server.url(), () => {
    heard += 1
  })
  // Bare `fetch` leaves 65 kB for a while after a hundred connections that were reset.
  await leavesLess(70_000, 20, async (round) => {
    await until(() => heard >= (round + 1) * 100, { what: 'a hundred connections more', within: 30_000 })
  })
  expect(client.stats().timers.length).toBeLessThanOrEqual(2)
  expect(server.mostOpenStreams).toBeLessThanOrEqual(2)
})
