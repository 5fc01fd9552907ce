/** A poll keeps its pace whatever the wall clock says, and an answer without a body is none of an error. */
import { defineChannel } from 'millrace'
import { afterEach, describe, expect, test } from 'vitest'
import { closeClients, json, startClient, startFeed, startStill, status, watch } from '../behaviour/channels/watch'
import { closeServers, startServer } from '../support/http-server'
import { createTestClock } from '../support/test-clock'
import { until } from '../support/until'

afterEach(closeClients)
afterEach(closeServers)

/** A clock whose wall may be set, while its timers go on. */
function startWall() {
  const clock = createTestClock()
  let ahead = 0
  let fixed: number | undefined
  const wall = {
    set(ms: number) {
      ahead += ms
    },
    fix() {
      fixed = clock.now() + ahead
    },
  }
  const own = { ...clock, now: () => fixed ?? clock.now() + ahead, monotonic: () => clock.now() }
  return { clock, own, wall }
}

describe('polls', () => {
  test.each([
    ['set back an hour', (wall: ReturnType<typeof startWall>['wall']) => wall.set(-3_600_000)],
    ['set forward an hour', (wall) => wall.set(3_600_000)],
    ['fixed, as a page-test tool does', (wall) => wall.fix()],
  ] satisfies [string, (wall: ReturnType<typeof startWall>['wall']) => void][])(
    'keep their pace when the clock is %s',
    async (_, change) => {
      const server = await startServer(json({ n: 1 }))
      const { clock, own, wall } = startWall()
      const { client } = startClient({ clock: own })
      watch(client, defineChannel({ key: 'poll', snapshot: server.url('/poll'), interval: 1_000 }))
      const pass = async (ms: number) => {
        for (let passed = 0; passed < ms; passed += 100) {
          await clock.advance(100)
          await until(() => !clock.pending().some(({ label }) => /^(timeout|body) /.test(label)))
        }
      }
      await pass(2_000)
      const before = server.requests.length
      change(wall)
      await pass(10_000)
      expect(server.requests.length - before).toBeGreaterThanOrEqual(8)
      // One more, at most, that was overdue by the new time.
      expect(server.requests.length - before).toBeLessThanOrEqual(11)
    },
  )

  test('that come sooner than any may are told of once, and by the shortest interval', async () => {
    const server = await startServer(json(1))
    const { client, clock, alerts } = Object.assign(startStill({ environment: 'production' }), {
      alerts: [] as unknown[],
    })
    client.on('alert', (alert) => alerts.push(alert))
    const channel = defineChannel({ key: 'hasty', snapshot: server.url('/hasty'), interval: 10 })
    watch(client, channel)
    watch(client, channel)
    await clock.advance(0)
    expect(alerts).toMatchObject([{ code: 'config', channel: 'hasty', value: 10, limit: 1_000 }])
  })
})

describe('an answer without a body', () => {
  test.each([204, 304])('%i to a poll is nothing new: what is shown stays, without an error', async (code) => {
    const feed = await startFeed(json({ v: 1 }))
    const { client } = startClient()
    const watched = watch(client, defineChannel({ key: 'k', snapshot: feed.snapshotUrl, interval: 200 }))
    await until(() => watched.state.status === 'polling')
    const { data, updatedAt } = watched.state
    feed.snapshot(status(code))
    const asked = feed.snapshotRequests.length
    await until(() => feed.snapshotRequests.length >= asked + 3)
    expect(watched.state).toMatchObject({ status: 'polling', error: undefined, updatedAt, isStale: false })
    expect(watched.state.data).toBe(data)
  })

  test('is a success of what is asked first, too', async () => {
    const feed = await startFeed(status(204))
    const { client } = startClient()
    const watched = watch(client, defineChannel({ key: 'k', snapshot: feed.snapshotUrl, interval: 0 }))
    await until(() => watched.state.status === 'complete')
    expect(watched.state).toMatchObject({ data: undefined, error: undefined })
    expect(feed.snapshotRequests).toHaveLength(1)
  })
})

describe('a function of a snapshot’s target', () => {
  test('that throws is named with its channel, and asked again', async () => {
    const feed = await startFeed(json({ v: 1 }))
    const { client } = startClient()
    let isBroken = true
    const headers = () => {
      if (isBroken) throw new Error('no token')
      return { 'x-token': 'one' }
    }
    const snapshot = { url: feed.snapshotUrl, headers }
    const watched = watch(client, defineChannel({ key: 'k', snapshot, interval: 200 }))
    await until(() => watched.state.status === 'reconnecting')
    expect(watched.state.error).toMatchObject({ code: 'callback', retryable: true })
    expect(watched.state.error?.message).toMatch(/`headers` of channel k/)
    isBroken = false
    await until(() => watched.state.status === 'polling')
    expect(feed.snapshotRequests[0]!.headers['x-token']).toBe('one')
  })

  test('that hangs is waited for, but not for ever', async () => {
    const feed = await startFeed(json({ v: 1 }))
    const { client, clock } = startStill()
    const snapshot = { url: feed.snapshotUrl, headers: () => new Promise<HeadersInit>(() => {}) }
    const watched = watch(client, defineChannel({ key: 'k', snapshot, interval: 60_000 }))
    await clock.advance(15_000)
    expect(watched.state.error?.code).toBe('callback')
  })
})

test('a snapshot is what the server says, not what the browser has kept', async () => {
  const feed = await startFeed(json(1))
  const modes: unknown[] = []
  const { client } = startClient({
    fetch: (input, init) => {
      modes.push(init?.cache)
      return fetch(input, init)
    },
  })
  const watched = watch(client, defineChannel({ key: 'k', snapshot: feed.snapshotUrl, interval: 200 }))
  await until(() => watched.state.status === 'polling')
  expect(modes).toContain('no-cache')
})
