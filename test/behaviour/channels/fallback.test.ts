import { defineChannel, type StreamEvent } from 'millrace'
import { afterEach, describe, expect, test } from 'vitest'
import { closeServers } from '../../support/http-server'
import { until } from '../../support/until'
import { block, closeClients, type Feed, json, page, startClient, startFeed, startStill, status, watch } from './watch'

afterEach(closeClients)
afterEach(closeServers)

const both = ({ streamUrl: stream, snapshotUrl: snapshot }: Feed, more: object = {}) =>
  defineChannel<unknown, StreamEvent>({ key: 'both', stream, snapshot, interval: 1_000, ...more })

/** Lets the next attempt fall due, and be answered. */
async function attempt(feed: Feed, still: ReturnType<typeof startStill>, count: number): Promise<void> {
  while (feed.streamRequests.length < count) {
    const next = still.client.stats().timers.find(({ label }) => label.startsWith('reconnect '))
    if (next) await still.clock.advance(next.dueAt - still.clock.now())
    await until(() => still.client.stats().timers.every(({ label }) => !/^(late|overdue) answer /.test(label)))
  }
}

describe('a stream that cannot be had', () => {
  test('is given up for polling after three failed attempts in a row, not after two', async () => {
    const feed = await startFeed(json({ polled: true }))
    feed.stream(status(503))
    const still = startStill()
    const watched = watch(still.client, both(feed))
    await until(() => watched.state.status === 'reconnecting')
    expect(watched.state).toMatchObject({ attempt: 1, error: { code: 'http', status: 503 }, data: undefined })
    await attempt(feed, still, 2)
    await until(() => watched.state.attempt === 2)
    expect(feed.snapshotRequests).toEqual([])
    await attempt(feed, still, 3)
    await still.clock.advance(0)
    await until(() => watched.state.status === 'polling')
    // It says why it polls, and when the stream is tried again.
    expect(watched.state).toMatchObject({
      data: { polled: true },
      error: { code: 'http', status: 503 },
      attempt: 3,
      retryAt: expect.any(Number),
      isStale: false,
    })
    expect(watched.state.retryAt).toBeGreaterThan(still.clock.now())
  })

  test('is probed on with backoff, and polling stops the moment it is back', async () => {
    const feed = await startFeed(json({ polled: true }))
    feed.stream(status(503))
    const still = startStill()
    const watched = watch(still.client, both(feed))
    await attempt(feed, still, 3)
    await until(() => still.client.stats().timers.some(({ label }) => label.startsWith('poll ')))
    await still.clock.advance(0)
    await until(() => watched.state.status === 'polling')
    await attempt(feed, still, 5)
    expect(watched.state.status).toBe('polling')
    expect(watched.state.attempt).toBeGreaterThanOrEqual(4)

    feed.stream()
    await attempt(feed, still, 6)
    await until(() => watched.state.status === 'live')
    await until(
      () => !still.client.stats().timers.some(({ label }) => /^(timeout|body|late answer|overdue answer) /.test(label)),
    )
    expect(watched.state).toMatchObject({ error: undefined, attempt: 0, retryAt: undefined })
    expect(still.client.stats().timers.filter(({ label }) => label.startsWith('poll '))).toEqual([])
    const polls = feed.snapshotRequests.length
    await still.clock.advance(10_000)
    expect(feed.snapshotRequests).toHaveLength(polls)
    feed.write(block('streamed'))
    await until(() => watched.data.includes('streamed'))
  })

  test('that was live is reconnected before anything is polled', async () => {
    const feed = await startFeed(json({ polled: true }, { 'last-event-id': '0' }))
    const { client } = startClient()
    const watched = watch(client, both(feed))
    await until(() => watched.state.status === 'live')
    for (let drop = 1; drop <= 4; drop += 1) {
      feed.write(block(drop, { id: drop }))
      await until(() => watched.events.length === drop)
      // Every connection lives long enough to count: three drops are not three failures in a row.
      await new Promise((resolve) => setTimeout(resolve, 210))
      feed.drop()
      await until(() => watched.state.status === 'reconnecting')
      await until(() => watched.state.status === 'live')
    }
    expect(watched.statuses).not.toContain('polling')
    expect(feed.snapshotRequests).toHaveLength(1)
  })

  test('is not given up with `fallback: none`', async () => {
    const feed = await startFeed(json({ polled: true }))
    feed.stream(status(503))
    const still = startStill()
    const watched = watch(still.client, both(feed, { fallback: 'none' }))
    await attempt(feed, still, 6)
    await still.clock.advance(0)
    await until(() => watched.state.attempt === 6)
    expect(watched.state.status).toBe('reconnecting')
    expect(feed.snapshotRequests).toEqual([])
  })

  test('and has no snapshot goes on reconnecting', async () => {
    const feed = await startFeed()
    feed.stream(status(503))
    const still = startStill()
    const watched = watch(still.client, feed.streamUrl)
    await attempt(feed, still, 6)
    await until(() => watched.state.attempt === 6)
    expect(watched.state).toMatchObject({ status: 'reconnecting', retryAt: expect.any(Number) })
  })

  test('for good (404) fails its channel, snapshot or not, which is shown as it is then', async () => {
    const feed = await startFeed(json({ polled: true }))
    feed.stream(status(404))
    const { client } = startClient()
    const watched = watch(client, both(feed))
    await until(() => watched.errors.length === 1)
    expect(watched.state).toMatchObject({ status: 'failed', error: { code: 'http', status: 404 }, retryAt: undefined })
    expect(watched.state.data).toEqual({ polled: true })
    expect(feed.snapshotRequests).toHaveLength(1)
    expect(feed.streamRequests).toHaveLength(1)
  })
})

describe('a stream that is answered with a page', () => {
  test('fails where there is no snapshot, and says what came', async () => {
    const feed = await startFeed()
    feed.stream(page)
    const { client } = startClient()
    const watched = watch(client, feed.streamUrl)
    await until(() => watched.errors.length === 1)
    expect(watched.state).toMatchObject({ status: 'failed', error: { code: 'content-type', status: 200 } })
    expect(watched.state.error!.message).toMatch(
      /^GET .*\/stream answered with text\/html, expected text\/event-stream: /,
    )
    expect(feed.streamRequests).toHaveLength(1)
  })

  test('fails with `fallback: none` too', async () => {
    const feed = await startFeed(json(1))
    feed.stream(page)
    const { client } = startClient()
    const watched = watch(client, both(feed, { fallback: 'none' }))
    await until(() => watched.errors.length === 1)
    expect(watched.state).toMatchObject({ status: 'failed', error: { code: 'content-type' } })
  })

  test('is polled for at once where there is one, and probed at the cap of the backoff', async () => {
    const feed = await startFeed(json({ polled: true }))
    feed.stream(page)
    const still = startStill()
    const watched = watch(still.client, both(feed))
    await until(() => feed.streamRequests.length === 1)
    await until(() => still.client.stats().timers.some(({ label }) => label.startsWith('reconnect ')))
    await still.clock.advance(0)
    await until(() => watched.state.status === 'polling')
    expect(watched.state).toMatchObject({ data: { polled: true }, error: { code: 'content-type' } })
    expect(watched.state.retryAt! - still.clock.now()).toBeGreaterThanOrEqual(30_000)

    feed.stream()
    await attempt(feed, still, 2)
    await until(() => watched.state.status === 'live')
    expect(watched.state.error).toBeUndefined()
  })
})

describe('the flag and the rollout', () => {
  test('`streaming: false` polls where there is a snapshot, and pauses the rest; `true` streams again', async () => {
    const feed = await startFeed(json({ polled: true }))
    const { client } = startClient({ flags: { streaming: false } })
    const polled = watch(client, both(feed))
    const plain = watch(client, feed.streamUrl)
    await until(() => polled.state.status === 'polling')
    expect(plain.state).toMatchObject({ status: 'paused', pausedBy: 'disabled' })
    expect(feed.streamRequests).toEqual([])
  })

  test.each([
    [{ percent: 0, id: 'anna' }, 'polling'],
    [{ percent: 100, id: 'anna' }, 'live'],
    [{ percent: 100, id: 'anna', only: ['ben'] }, 'polling'],
    [{ percent: 0, id: 'ben', only: ['ben'] }, 'live'],
  ])('with the rollout %j a channel with a snapshot is %s', async (rollout, expected) => {
    const feed = await startFeed(json({ polled: true }))
    const { client } = startClient({ rollout })
    const watched = watch(client, both(feed))
    await until(() => watched.state.data !== undefined && watched.state.status !== 'connecting')
    expect(watched.state.status).toBe(expected)
    expect(feed.streamRequests).toHaveLength(expected === 'live' ? 1 : 0)
  })

  test('a rollout of half the people lets about half of them stream, always the same ones', async () => {
    const feed = await startFeed(json(1))
    const streams = (id: string) => {
      const { client } = startClient({ rollout: { percent: 50, id } })
      watch(client, both(feed))
      const source = client.stats().channels[0]!.source
      client.close()
      return source.endsWith('/stream')
    }
    const ids = Array.from({ length: 200 }, (_, n) => `user-${n}`)
    const first = ids.map(streams)
    expect(ids.map(streams)).toEqual(first)
    const share = first.filter(Boolean).length
    expect(share).toBeGreaterThan(70)
    expect(share).toBeLessThan(130)
  })
})

describe('more streams than an origin takes', () => {
  test('the fifth waits with a name and an alert, polls if it can, and takes the first slot that comes free', async () => {
    const feed = await startFeed(json({ polled: true }))
    const { client, alerts } = startClient({ limits: { streams: 4 } })
    const first = [1, 2, 3, 4].map((n) => watch(client, `${feed.streamUrl}?n=${n}`))
    await until(() => feed.open === 4)
    const waiting = watch(client, `${feed.streamUrl}?n=5`)
    const polling = watch(
      client,
      defineChannel({ key: 'six', stream: `${feed.streamUrl}?n=6`, snapshot: feed.snapshotUrl }),
    )
    expect(waiting.state).toMatchObject({ status: 'paused', pausedBy: 'stream-limit' })
    expect(alerts).toEqual(
      expect.arrayContaining([expect.objectContaining({ code: 'stream-limit', value: 5, limit: 4 })]),
    )
    await until(() => polling.state.status === 'polling')
    // What is not a stream still gets through.
    expect(await client.json(feed.snapshotUrl)).toEqual({ polled: true })
    expect(feed.open).toBe(4)

    first[0]!.unsubscribe()
    await until(() => waiting.state.status === 'live', 'a slot')
    first[1]!.unsubscribe()
    await until(() => polling.state.status === 'live', 'another slot')
    expect(feed.open).toBe(4)
  })
})
