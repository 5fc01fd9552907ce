import { defineChannel, type StreamEvent } from 'millrace'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { closeServers } from '../../support/http-server'
import type { TestClock } from '../../support/test-clock'
import { until } from '../../support/until'
import { block, closeClients, type Feed, held, json, page, startFeed, startStill, status, watch } from './watch'

afterEach(closeClients)
afterEach(closeServers)

/** Lets time pass in steps, and every request that falls due be answered before the next step. */
async function pass(clock: TestClock, feed: Feed, ms: number, step = 50): Promise<void> {
  for (let passed = 0; passed < ms; passed += step) {
    await clock.advance(Math.min(step, ms - passed))
    await until(() => feed.server.openStreams - feed.open === 0)
    await settle(clock)
  }
}
/** An answer is under way from the server to the channel: its timers stand until it is there. */
async function settle(clock: TestClock): Promise<void> {
  await until(() => !clock.pending().some(({ label }) => /^(timeout|body) /.test(label)), 'answers that are under way')
}

async function startPolling(options: object = {}, clientOptions: object = {}) {
  let answers = 0
  const feed = await startFeed((request, response, raw) => {
    answers += 1
    json({ n: answers })(request, response, raw)
  })
  const still = startStill({ environment: 'production', ...clientOptions })
  const channel = defineChannel<{ n: number }>({ key: 'poll', snapshot: feed.snapshotUrl, ...options })
  return { feed, ...still, channel, asked: () => feed.snapshotRequests.length }
}

describe('the interval', () => {
  test('is 10 s in production, and the first question is asked at once', async () => {
    const { feed, client, clock, channel, asked } = await startPolling()
    const watched = watch(client, channel)
    expect(watched.state.status).toBe('connecting')
    await pass(clock, feed, 50)
    expect(watched.state).toMatchObject({ status: 'polling', data: { n: 1 }, isStale: false })
    await pass(clock, feed, 60_000, 500)
    // Ten seconds, and up to a tenth of it as jitter, never drifting.
    expect(asked()).toBeGreaterThanOrEqual(6)
    expect(asked()).toBeLessThanOrEqual(7)
    expect(watched.events).toEqual([])
  })

  test('is the smallest of all who subscribe, and grows back when that one leaves', async () => {
    const { feed, client, clock, channel, asked } = await startPolling({ interval: 20_000 })
    watch(client, channel)
    const hasty = watch(client, channel, { interval: 2_000 })
    watch(client, channel, { interval: 5_000 })
    await pass(clock, feed, 20_000, 250)
    expect(asked()).toBeGreaterThanOrEqual(10)
    expect(asked()).toBeLessThanOrEqual(11)
    hasty.unsubscribe()
    const before = asked()
    await pass(clock, feed, 20_000, 250)
    expect(asked() - before).toBeGreaterThanOrEqual(3)
    expect(asked() - before).toBeLessThanOrEqual(5)
  })

  test('is shared by channels with one snapshot', async () => {
    const { feed, client, clock, asked } = await startPolling()
    const of = (key: string, interval: number) => defineChannel({ key, snapshot: feed.snapshotUrl, interval })
    const slow = watch(client, of('slow', 30_000))
    const fast = watch(client, of('fast', 3_000))
    await pass(clock, feed, 12_000, 250)
    expect(asked()).toBeGreaterThanOrEqual(4)
    expect(asked()).toBeLessThanOrEqual(5)
    expect(slow.state.data).toEqual(fast.state.data)
  })

  test('is never under a second, nor under 200 ms in test', async () => {
    const production = await startPolling({ interval: 1 })
    watch(production.client, production.channel, { interval: 0 })
    await pass(production.clock, production.feed, 5_000, 100)
    expect(production.asked()).toBeLessThanOrEqual(6)
    const test_ = await startPolling({ interval: 1 }, { environment: 'test' })
    watch(test_.client, test_.channel)
    await pass(test_.clock, test_.feed, 2_000)
    expect(test_.asked()).toBeGreaterThanOrEqual(8)
    expect(test_.asked()).toBeLessThanOrEqual(11)
  })

  test('keeps to a grid: a hundred polls neither drift nor come early', async () => {
    const { feed, client, clock, channel } = await startPolling({ interval: 1_000 })
    const times: number[] = []
    client.on('request', ({ startedAt }) => times.push(startedAt))
    const start = clock.now()
    watch(client, channel)
    await pass(clock, feed, 100_000, 500)
    expect(times.length).toBeGreaterThanOrEqual(100)
    for (const [index, time] of times.entries()) {
      const late = time - start - index * 1_000
      expect(late).toBeGreaterThanOrEqual(0)
      expect(late).toBeLessThanOrEqual(101)
    }
    expect(new Set(times.map((time) => (time - start) % 1_000)).size, 'jitter').toBeGreaterThan(20)
  })

  test('beyond 2^31 ms is far away, not at once', async () => {
    const { feed, client, clock, channel, asked } = await startPolling({ interval: 2 ** 33 })
    watch(client, channel)
    await pass(clock, feed, 50)
    await pass(clock, feed, 30 * 24 * 3_600_000, 24 * 3_600_000)
    expect(asked()).toBe(1)
    expect(client.stats().timers.some(({ label, dueAt }) => label.startsWith('poll ') && dueAt > clock.now())).toBe(
      true,
    )
  })
})

describe('polls that take long', () => {
  test('never overlap: a slow answer makes its next one wait for the grid', async () => {
    const gate = held(json({ n: 1 }))
    const { feed, client, clock, channel, asked } = await startPolling({ interval: 1_000 })
    feed.snapshot(gate.handler)
    const watched = watch(client, channel)
    await clock.advance(0)
    await until(() => gate.waiting === 1)
    for (let step = 0; step < 10; step += 1) await clock.advance(430)
    expect(asked()).toBe(1)
    gate.release()
    await until(() => watched.state.data !== undefined)
    await settle(clock)
    await clock.advance(0)
    expect(asked()).toBe(1)
    // 4.3 s have passed: the grid's next place is at 5 s, not at once and not at 5.3.
    await pass(clock, feed, 700 + 100)
    expect(asked()).toBe(2)
  })

  test('are given up after 15 s, with a name and a next attempt', async () => {
    const gate = held(json({ n: 1 }))
    const { feed, client, clock, channel } = await startPolling({ interval: 5_000 })
    feed.snapshot(gate.handler)
    const watched = watch(client, channel)
    await clock.advance(0)
    await until(() => gate.waiting === 1)
    await clock.advance(14_999)
    expect(watched.state.status).toBe('connecting')
    await clock.advance(1)
    await until(() => watched.state.status === 'reconnecting')
    expect(watched.state).toMatchObject({ error: { code: 'timeout' }, attempt: 1, retryAt: expect.any(Number) })
    expect(watched.state.retryAt).toBeGreaterThan(clock.now())
  })
})

describe('polls that fail', () => {
  test('slow down while they do, and are back at their pace with the first success', async () => {
    const { feed, client, clock, channel, asked } = await startPolling(
      { interval: 1_000 },
      { flags: { breaker: false }, limits: { backgroundPerMinute: Infinity } },
    )
    feed.snapshot(status(503))
    const watched = watch(client, channel)
    const times: number[] = []
    client.on('request', ({ startedAt }) => times.push(startedAt))
    await pass(clock, feed, 64_000, 250)
    const pauses = times.slice(1).map((time, index) => time - times[index]!)
    expect(asked()).toBeLessThanOrEqual(7)
    for (const [index, pause] of pauses.entries())
      if (index > 0) expect(pause).toBeGreaterThan(1.5 * pauses[index - 1]!)
    expect(watched.state).toMatchObject({ status: 'reconnecting', attempt: times.length, error: { status: 503 } })
    expect(watched.state.retryAt! - clock.now()).toBeLessThanOrEqual(66_000)

    feed.snapshot(json({ n: 7 }))
    await pass(clock, feed, 66_000, 500)
    expect(watched.state).toMatchObject({ status: 'polling', attempt: 0, retryAt: undefined, error: undefined })
    const before = asked()
    await pass(clock, feed, 10_000, 250)
    expect(asked() - before).toBeGreaterThanOrEqual(9)
  })

  test('keep the data that was, and say that it is stale', async () => {
    const { feed, client, clock, channel } = await startPolling({ interval: 1_000 })
    const watched = watch(client, channel)
    await pass(clock, feed, 100)
    feed.snapshot(status(500))
    await pass(clock, feed, 1_200)
    expect(watched.state).toMatchObject({ status: 'reconnecting', data: { n: 1 }, isStale: true })
    expect(watched.errors).toEqual([])
  })

  test.each([
    ['', {}],
    [', as the server has asked,', { 'retry-after': '30' }],
  ])('stand where they are%s, and nobody is told anything, when others come and go', async (_, headers) => {
    const feed = await startFeed(status(503, headers))
    const { client, clock } = startStill({ environment: 'production' })
    const channel = defineChannel({ key: 'poll', snapshot: feed.snapshotUrl })
    const watched = watch(client, channel)
    await pass(clock, feed, 1_000)
    const { retryAt } = watched.state
    expect(retryAt).toBeGreaterThan(clock.now() + 1_000)
    const told = watched.states.length
    for (let n = 0; n < 20; n += 1) {
      const other = watch(client, channel, { interval: 60_000 })
      await clock.advance(1)
      if (n % 2) other.unsubscribe()
    }
    expect(watched.state.retryAt).toBe(retryAt)
    expect(watched.states).toHaveLength(told)
  })

  test('keep to `Retry-After`', async () => {
    const { feed, client, clock, channel, asked } = await startPolling({ interval: 1_000 })
    feed.snapshot(status(429, { 'retry-after': '30' }))
    watch(client, channel)
    await pass(clock, feed, 29_900, 500)
    expect(asked()).toBe(1)
    await pass(clock, feed, 2_500, 250)
    expect(asked()).toBe(2)
  })

  test('with 404 end for good, with advice', async () => {
    const { feed, client, clock, channel, asked } = await startPolling({ interval: 1_000 })
    feed.snapshot(status(404))
    const watched = watch(client, channel)
    await pass(clock, feed, 10_000, 500)
    expect(asked()).toBe(1)
    expect(watched.errors).toHaveLength(1)
    expect(watched.state).toMatchObject({ status: 'failed', error: { code: 'http', status: 404 } })
    expect(watched.state.error!.message).toMatch(/answered 404: no such URL/)
  })

  test('with a page instead of JSON go on slowly, and say what came', async () => {
    const { feed, client, clock, channel } = await startPolling({ interval: 1_000 })
    feed.snapshot(page)
    const watched = watch(client, channel)
    await pass(clock, feed, 100)
    expect(watched.state).toMatchObject({ status: 'reconnecting', error: { code: 'invalid-body' } })
    expect(watched.state.error!.message).toContain('text/html')
    expect(watched.state.retryAt).toBeGreaterThan(clock.now())
  })
})

describe('a page that is hidden', () => {
  const visibility = (state: 'hidden' | 'visible') => {
    const document = Object.assign(new EventTarget(), { visibilityState: state, baseURI: 'http://127.0.0.1/' })
    vi.stubGlobal('document', document)
    return (next: 'hidden' | 'visible') => {
      document.visibilityState = next
      document.dispatchEvent(new Event('visibilitychange'))
    }
  }

  test('polls no more, and asks once when it is seen again', async () => {
    const show = visibility('visible')
    const { feed, client, clock, channel, asked } = await startPolling({ interval: 1_000 })
    const watched = watch(client, channel)
    await pass(clock, feed, 100)
    show('hidden')
    expect(watched.state).toMatchObject({ status: 'paused', pausedBy: 'hidden', isStale: true })
    expect(client.stats().timers.filter(({ label }) => label.startsWith('poll'))).toEqual([])
    await pass(clock, feed, 60_000, 5_000)
    expect(asked()).toBe(1)
    show('visible')
    await pass(clock, feed, 100)
    expect(asked()).toBe(2)
    expect(watched.state).toMatchObject({ status: 'polling', pausedBy: undefined })
    await pass(clock, feed, 1_500)
    expect(asked()).toBe(3)
  })

  test('polls on for a channel that keeps, and streams stay open', async () => {
    const show = visibility('hidden')
    const { feed, client, clock, channel, asked } = await startPolling({ interval: 1_000, whenHidden: 'keep' })
    const streamed = watch(client, feed.streamUrl)
    watch(client, channel)
    await pass(clock, feed, 3_000)
    expect(asked()).toBeGreaterThanOrEqual(3)
    expect(streamed.state.status).toBe('live')
    show('visible')
  })

  test('pauses a stream whose channel says so, and goes on where it was', async () => {
    const show = visibility('visible')
    const { feed, client } = await startPolling()
    const channel = defineChannel<unknown, StreamEvent>({ key: 's', stream: feed.streamUrl, whenHidden: 'pause' })
    const watched = watch(client, channel)
    await until(() => watched.state.status === 'live')
    feed.write(block('a', { id: 4 }))
    await until(() => watched.events.length === 1)
    show('hidden')
    expect(watched.state).toMatchObject({ status: 'paused', pausedBy: 'hidden', attempt: 0 })
    await until(() => feed.open === 0)
    show('visible')
    await until(() => watched.state.status === 'live')
    expect(feed.streamRequests[1]!.headers['last-event-id']).toBe('4')
  })
})

test('a refresh asks now, once for all who want it, and never rejects for what the server says', async () => {
  const { feed, client, clock, channel, asked } = await startPolling({ interval: 60_000 })
  const watched = watch(client, channel)
  await pass(clock, feed, 100)
  await Promise.all([client.refresh(channel), client.refresh(channel), client.refresh(channel)])
  expect(asked()).toBe(2)
  expect(watched.state.data).toEqual({ n: 2 })
  feed.snapshot(status(500))
  await client.refresh(channel)
  expect(watched.state.error).toMatchObject({ status: 500 })
})

test('a refresh of a channel that nobody subscribes to is there for the next who does', async () => {
  const { feed, client, channel } = await startPolling({ interval: 60_000 })
  await client.refresh(channel)
  expect(client.getState(channel)).toMatchObject({ status: 'idle', data: { n: 1 }, isStale: true })
  expect(client.stats()).toMatchObject({ channels: [], timers: [{ label: 'keep' }] })
  expect(feed.snapshotRequests).toHaveLength(1)
})
