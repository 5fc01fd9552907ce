import { defineChannel } from 'millrace'
import { afterEach, expect, test } from 'vitest'
import { closeServers } from '../../support/http-server'
import { until } from '../../support/until'
import { closeClients, json, startFeed, startStill, watch } from './watch'

afterEach(closeClients)
afterEach(closeServers)
test('a channel that joins a source that polls already shows its last answer, or asks', async () => {
  const feed = await startFeed(json('body'))
  const { client, clock } = startStill()
  const channel = (key: string) => defineChannel({ key, snapshot: feed.snapshotUrl, interval: 30_000 })
  const first = watch(client, channel('a'))
  await until(async () => {
    await clock.advance(0)
    return first.state.data === 'body'
  })
  await clock.advance(3_000)
  const second = watch(client, channel('b'))
  await clock.advance(5_000)
  expect([second.state.status, second.state.data]).toEqual(['polling', 'body'])
})
