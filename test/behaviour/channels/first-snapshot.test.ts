import { defineChannel } from 'millrace'
import { afterEach, expect, test } from 'vitest'
import { closeServers } from '../../support/http-server'
import { until } from '../../support/until'
import { closeClients, json, startClient, startFeed, watch } from './watch'

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

async function settled<T extends { state: { status: string } }>(watched: T): Promise<T> {
  await until(() => watched.state.status, {
    accept: (status) => status === 'polling',
    what: 'a poll that has answered',
  })
  return watched
}
