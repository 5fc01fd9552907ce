import { defineChannel, ReconnectingEventSource } from 'millrace'
import { afterEach, expect, test, vi } from 'vitest'
import { block, closeClients, json, startClient, startFeed, startStill, watch } from '../behaviour/channels/watch'
import { closeServers, startServer, startStream } from '../support/http-server'
import { until } from '../support/until'

afterEach(closeClients)
afterEach(closeServers)

/** Lets the reconnect that waits happen, and its answer come. */
async function reconnected(still: ReturnType<typeof startStill>, isThere: () => boolean): Promise<void> {
  const timer = await until(() => still.client.stats().timers.find(({ label }) => label.startsWith('reconnect ')))
  await still.clock.advance(timer!.dueAt - still.clock.now() + 1)
  await until(isThere)
}

test('a proxy that accepts, sends nothing and cuts after a minute is a failure each time, and is stood in for by polls', async () => {
  const feed = await startFeed(json({ polled: true }))
  const still = startStill()
  const watched = watch(still.client, defineChannel({ key: 'a', stream: feed.streamUrl, snapshot: feed.snapshotUrl }))
  for (let failures = 1; failures <= 3; failures++) {
    await until(() => feed.open === 1)
    await still.clock.advance(60_000)
    feed.end()
    await until(() => watched.state.attempt === failures)
    await reconnected(still, () => feed.open === 1)
  }
  // It is open once more, which proves nothing.
  await until(() => watched.state.status === 'polling')
  feed.write(block({ streamed: true }))
  await until(() => watched.state.status === 'live')
  expect(watched.state.attempt).toBe(0)
})

test('a server that says a word and closes is asked ever less often, and is not called failing', async () => {
  const server = await startServer((_, response) => startStream(response).end(block(1)))
  const { client, clock } = startStill({ environment: 'production' })
  const watched = watch(client, defineChannel({ key: 'a', stream: server.url(), snapshot: server.url('/never') }))
  const delays: number[] = []
  for (let n = 1; n <= 5; n++) {
    await until(() => server.requests.filter(({ url }) => url === '/').length === n)
    const timer = await until(() => client.stats().timers.find(({ label }) => label.startsWith('reconnect ')))
    delays.push(Math.round(timer!.dueAt - clock.now()))
    expect(watched.state.attempt).toBeLessThanOrEqual(1)
    await clock.advance(timer!.dueAt - clock.now())
  }
  expect(delays).toEqual([2_000, 3_000, 5_000, 9_000, 17_000])
  expect(watched.statuses).not.toContain('polling')
})

test('a fetch that cannot read a body in pieces is said to be one, for good', async () => {
  const fetch = vi.fn(async () => {
    const response = new Response('data: 1\n\n', { headers: { 'content-type': 'text/event-stream' } })
    return Object.defineProperty(response, 'body', { value: undefined })
  })
  const { client } = startClient({ fetch })
  const watched = watch(client, 'http://localhost/stream')
  await until(() => watched.state.status === 'failed')
  expect(watched.state.error).toMatchObject({ code: 'config', message: expect.stringContaining('in pieces') })
  expect(fetch).toHaveBeenCalledTimes(1)
})

test('an answer that does not come is waited for, unless a `connectTimeout` says how long', async () => {
  const server = await startServer(() => {})
  const errors: unknown[] = []
  const source = new ReconnectingEventSource(server.url(), { connectTimeout: 50, backoff: { base: 5, cap: 10 } })
  source.onerror = ({ error }) => errors.push(error?.code)
  await until(() => server.requests.length === 3)
  source.close()
  expect(new Set(errors)).toEqual(new Set(['timeout']))
})

test('a header function that hangs or throws has a name, and the stream is tried again', async () => {
  const server = await startServer((request, response) => startStream(response).write(block(request.headers.token)))
  const { client, clock } = startStill()
  let calls = 0
  const headers = () => {
    calls++
    if (calls === 1) return new Promise<HeadersInit>(() => {})
    if (calls === 2) throw new Error('no token now')
    return { token: '"fresh"' }
  }
  const watched = watch(client, defineChannel({ key: 'mine', stream: { url: server.url(), headers } }))
  await clock.advance(15_000)
  await until(() => watched.state.error)
  expect(watched.state).toMatchObject({ status: 'reconnecting', error: { code: 'callback' } })
  expect(watched.state.error!.message).toMatch(/`headers` of mine has not answered within 15000 ms/)
  await clock.advance(1_000)
  await until(() => watched.state.attempt === 2)
  expect(watched.state.error!.message).toMatch(/`headers` of mine threw/)
  await clock.advance(2_000)
  await until(() => watched.state.data === 'fresh')
  expect(server.requests).toHaveLength(1)
})

test('offline is a hint: what is wanted is tried, rarely, and at once when the browser is online again', async () => {
  const page = new EventTarget()
  vi.stubGlobal('addEventListener', page.addEventListener.bind(page))
  vi.stubGlobal('removeEventListener', page.removeEventListener.bind(page))
  const navigator = { onLine: false }
  vi.stubGlobal('navigator', navigator)
  const feed = await startFeed()
  const near = watch(startClient().client, feed.streamUrl)
  await until(() => near.state.status === 'live', 'a server on this machine')

  feed.stream((_, response) => void response.socket?.destroy())
  const still = startStill()
  const watched = watch(still.client, feed.streamUrl)
  await until(() => still.client.stats().timers.some(({ label }) => label.startsWith('reconnect ')))
  expect(watched.state).toMatchObject({ status: 'paused', pausedBy: 'offline' })
  const asked = feed.streamRequests.length
  await still.clock.advance(29_000)
  expect(feed.streamRequests).toHaveLength(asked)
  feed.stream()
  navigator.onLine = true
  page.dispatchEvent(new Event('online'))
  await until(() => watched.state.status === 'live')
})
