import { defineChannel, type StreamEvent } from 'millrace'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import {
  block,
  closeClients,
  fast,
  json,
  startClient,
  startFeed,
  startStill,
  status,
  watch,
} from '../behaviour/channels/watch'
import { closeServers, startServer, startStream } from '../support/http-server'
import { until } from '../support/until'

afterEach(closeClients)
afterEach(closeServers)

describe("with a clock of one's own", () => {
  /** Who asked the platform for time, timers or chance, by a line of the library that did. */
  let strays: string[] = []
  beforeEach(() => {
    strays = []
    const spy = (target: object, name: string) => {
      const callable = target as Record<string, (...args: unknown[]) => unknown>
      const original = callable[name]!
      vi.spyOn(callable, name).mockImplementation((...args) => {
        // Who called: past this file and the runner's spies. What `fetch` does inside is its own affair.
        const lines = new Error().stack?.split('\n').slice(1) ?? []
        const caller = lines.find((line) => !/node_modules|one-clock\.test/.test(line)) ?? ''
        if (/\/(src|dist)\//.test(caller)) strays.push(`${name} ${caller.trim()}`)
        return original.apply(target, args)
      })
    }
    for (const name of ['setTimeout', 'setInterval', 'setImmediate']) spy(globalThis, name)
    spy(Date, 'now')
    spy(Math, 'random')
    spy(performance, 'now')
  })

  test('everything runs by it: reconnects, idle watches, polls, timeouts, retries, budgets, frames and graces', async () => {
    const feed = await startFeed(json({ n: 1 }))
    const { client, clock } = startStill({ limits: { backgroundPerMinute: 6, burst: 1 } })
    const start = clock.now()
    const labels = new Set<string>()
    const look = () => {
      const timers = client.stats().timers
      // What the clock has to do is what the client says that it has to do, by name and to the millisecond.
      expect([...timers].sort((a, b) => a.dueAt - b.dueAt)).toEqual(clock.pending())
      for (const { label, dueAt } of timers) {
        expect(label).toMatch(/\S/)
        expect(dueAt).toBeGreaterThanOrEqual(start)
        labels.add(label.split(' ')[0]!)
      }
    }
    const streamed = watch(client, feed.streamUrl, { delivery: 'frame' })
    const polled = watch(client, defineChannel({ key: 'polled', snapshot: feed.snapshotUrl, interval: 5_000 }))
    const numbered = watch(
      client,
      defineChannel<unknown, StreamEvent>({ key: 'n', stream: feed.streamUrl, sequence: ({ data }) => data }),
    )
    look()
    await clock.advance(0)
    await until(() => streamed.state.status === 'live' && polled.state.status === 'polling')
    look()
    feed.write(`: heartbeat\n\n${block(1)}${block(3)}`)
    await until(() => numbered.events.length === 1)
    look()
    await clock.advance(3_000)
    expect(numbered.events).toHaveLength(2)
    feed.stream(status(503))
    feed.drop()
    await until(() => streamed.state.status === 'reconnecting')
    look()
    const retried = client.json(`${feed.streamUrl}?retried`, {}, { retry: 1 }).catch(() => {})
    await until(() => client.stats().timers.some(({ label }) => label.startsWith('retry ')))
    look()
    for (let step = 0; step < 40; step += 1) {
      await clock.advance(1_000)
      look()
    }
    await retried
    numbered.unsubscribe()
    look()
    expect([...labels].sort()).toEqual(
      expect.arrayContaining(['frame', 'grace', 'idle', 'missing', 'poll', 'reconnect', 'retry', 'budget']),
    )
    client.close()
    look()
    expect(strays).toEqual([])
  })

  test('time stands in states and events as that clock tells it', async () => {
    const feed = await startFeed()
    const { client, clock } = startStill()
    const watched = watch(client, feed.streamUrl)
    await until(() => feed.open === 1)
    await clock.advance(12_345)
    feed.write(block('a'))
    await until(() => watched.events.length === 1)
    expect(watched.events[0]!.receivedAt).toBe(clock.now())
    expect(watched.state.updatedAt).toBe(clock.now())
    expect(client.stats().since).toBe(clock.now() - 12_345)
    watched.unsubscribe()
    expect(client.stats().subscriptions.averageLifetime).toBe(12_345)
  })

  test('two runs with one seed do the same at the same time', async () => {
    const run = async () => {
      const server = await startServer((_, response) => response.writeHead(503).end())
      const { client, clock } = startStill({ backoff: { jitter: 'full' } })
      const start = clock.now()
      const watched = watch(client, server.url())
      const delays: number[] = []
      for (let attempt = 1; attempt <= 6; attempt += 1) {
        await until(() => watched.state.attempt === attempt && client.stats().timers.length === 1)
        delays.push(watched.state.retryAt! - start)
        await clock.advance(watched.state.retryAt! - clock.now())
      }
      client.close()
      return delays
    }
    const delays = await run()
    expect(await run()).toEqual(delays)
    expect(new Set(delays).size).toBe(6)
  })
})

describe('beyond 2^31 ms', () => {
  let warnings: Error[] = []
  const note = (warning: Error) => warnings.push(warning)
  beforeEach(() => {
    warnings = []
    process.on('warning', note)
  })
  afterEach(() => {
    process.off('warning', note)
  })
  const beyond = 2 ** 33
  /** Long enough for a timer that overflows to fire a hundred times, as Node's do: after 1 ms. */
  const aWhile = () => new Promise((resolve) => setTimeout(resolve, 150))

  test('an interval, an idle timeout, a grace and a retention are far away, not at once', async () => {
    const feed = await startFeed(json({ n: 1 }))
    const { client } = startClient({ interval: beyond })
    const polled = watch(client, defineChannel({ key: 'p', snapshot: feed.snapshotUrl }))
    const lasting = { idleTimeout: beyond, grace: beyond, keep: beyond }
    const streamed = watch(client, defineChannel({ key: 's', stream: feed.streamUrl, ...lasting }))
    await until(() => polled.state.status === 'polling' && streamed.state.status === 'live')
    streamed.unsubscribe()
    await aWhile()
    expect(feed.snapshotRequests).toHaveLength(1)
    expect(feed).toMatchObject({ open: 1, streamRequests: [expect.anything()] })
    for (const label of ['poll ', 'idle watch ', 'grace '])
      expect(client.stats().timers.find((timer) => timer.label.startsWith(label))!.dueAt).toBeGreaterThan(
        Date.now() + 2 ** 32,
      )
    expect(warnings).toEqual([])
  })

  test.each([
    ['Retry-After in seconds', (_: string) => status(503, { 'retry-after': '99999999999' })],
    ['Retry-After as a date', (_: string) => status(503, { 'retry-after': 'Fri, 31 Dec 9999 23:59:59 GMT' })],
    [
      'retry:',
      (text: string) => (_: unknown, response: Parameters<typeof startStream>[0]) => startStream(response).end(text),
    ],
  ])('%s is capped at 5 min, and is not a loop', async (_, answer) => {
    const server = await startServer(answer('retry: 99999999999999999999\n\n') as never)
    const { client } = startClient()
    const watched = watch(client, server.url())
    await until(() => watched.state.status === 'reconnecting')
    const wait = watched.state.retryAt! - Date.now()
    expect(wait).toBeGreaterThan(299_000)
    expect(wait).toBeLessThanOrEqual(300_000 + fast.cap)
    await aWhile()
    expect(server.requests).toHaveLength(1)
    expect(warnings).toEqual([])
  })

  test('a backoff whose cap is beyond it waits that long', async () => {
    const server = await startServer(status(503))
    const { client } = startClient({ backoff: { base: beyond, cap: beyond, jitter: 'none' } })
    const watched = watch(client, server.url())
    await until(() => watched.state.status === 'reconnecting')
    await aWhile()
    expect(server.requests).toHaveLength(1)
    expect(watched.state.retryAt).toBeGreaterThan(Date.now() + 2 ** 32)
    expect(warnings).toEqual([])
  })

  test('a timeout and a ttl of a request are meant as they are', async () => {
    const server = await startServer(json({ n: 1 }))
    const { client } = startClient()
    const options = { timeout: beyond, ttl: beyond, staleIfError: beyond }
    expect(await client.json(server.url(), {}, options)).toEqual({ n: 1 })
    await aWhile()
    expect(await client.json(server.url(), {}, options)).toEqual({ n: 1 })
    expect(server.requests).toHaveLength(1)
    expect(warnings).toEqual([])
  })
})

test('an attempt that a fake clock of the runner drives is driven, since globals are looked up at every call', async () => {
  const server = await startServer(status(503))
  const { client } = startClient({ backoff: { base: 60_000, cap: 60_000, jitter: 'none', resetAfter: 5_000 } })
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] })
  try {
    const watched = watch(client, server.url())
    await until(() => watched.state.status === 'reconnecting')
    expect(server.requests).toHaveLength(1)
    vi.advanceTimersByTime(60_000)
    await until(() => server.requests.length === 2)
  } finally {
    client.close()
    vi.useRealTimers()
  }
})
