import { defineChannel } from 'millrace'
import { afterEach, expect, test } from 'vitest'
import { closeServers } from '../../support/http-server'
import { until } from '../../support/until'
import { closeClients, json, startClient, startFeed, startStill, status, watch } from './watch'

afterEach(async () => {
  closeClients()
  await closeServers()
})

test('a first answer that equals the initial state is there all the same', async () => {
  const feed = await startFeed(json({ users: [] }))
  const { client } = startClient()
  const initial = { users: [] as string[] }
  const { state } = await settled(watch(client, defineChannel({ key: 'polled', snapshot: feed.snapshotUrl, initial })))
  expect(state).toMatchObject({ status: 'polling', isStale: false })
  expect(state.data).toBe(initial)
  expect(state.updatedAt).toBeTypeOf('number')
})

test('a first answer that fails is tried again, ever more slowly, though nothing is polled', async () => {
  const feed = await startFeed(status(503))
  const { client, clock } = startStill()
  const watched = watch(client, defineChannel({ key: 'once', snapshot: feed.snapshotUrl, interval: Infinity }))
  for (const [failed, wait] of [400, 800, 1_600].entries()) {
    await until(async () => {
      await clock.advance(0)
      return watched.state.attempt === failed + 1
    })
    // Jitter is added to a grid, which began a little before.
    const inMs = watched.state.retryAt! - clock.now()
    expect(inMs / wait).toBeGreaterThan(0.8)
    expect(inMs / wait).toBeLessThanOrEqual(1.1)
    if (wait === 1_600) feed.snapshot(json(['here']))
    await clock.advance(inMs)
  }
  await until(() => watched.state.data !== undefined)
  expect(watched.state).toMatchObject({ status: 'complete', data: ['here'], attempt: 0 })
  await clock.advance(3_600_000)
  expect(feed.snapshotRequests).toHaveLength(4)
})

async function settled<T extends { state: { status: string } }>(watched: T): Promise<T> {
  await until(() => watched.state.status, {
    accept: (status) => status === 'polling',
    what: 'a poll that has answered',
  })
  return watched
}
