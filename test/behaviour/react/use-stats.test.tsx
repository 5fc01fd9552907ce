import { defineChannel, getClient, type Stats, type StreamEvent } from 'millrace'
import { useChannel, useClient, useStats } from 'millrace/react'
import { afterEach, expect, test } from 'vitest'
import { closeServers } from '../../support/http-server'
import { until } from '../../support/until'
import { block, closeClients, startClient, startFeed } from '../channels/watch'
import { render, unmountAll } from './render'

afterEach(unmountAll)
afterEach(closeClients)
afterEach(closeServers)

test('shows what the client knows, at most four times a second, however much happens', async () => {
  const feed = await startFeed()
  const { client } = startClient()
  let renders = 0
  let stats: Stats | undefined
  function Dashboard() {
    stats = useStats()
    renders += 1
    return null
  }
  function Feed() {
    useChannel(defineChannel<unknown, StreamEvent>({ key: 'feed', stream: feed.streamUrl }))
    return null
  }
  const page = render([<Dashboard key="d" />, <Feed key="f" />], client)
  await until(() => feed.open === 1)
  const begun = performance.now()
  renders = 0
  while (performance.now() < begun + 3_000) {
    feed.write(block(1) + block(2) + block(3))
    await new Promise((resolve) => setTimeout(resolve, 3))
  }
  expect(renders).toBeLessThanOrEqual((performance.now() - begun) / 250 + 2)
  expect(renders).toBeGreaterThanOrEqual(5)
  expect(stats).toMatchObject({ enabled: true, channels: [{ key: 'feed', status: 'live' }] })
  expect(stats!.channels[0]!.events).toBeGreaterThan(100)

  page.render([<Dashboard key="d" />])
  client.disable('test')
  await until(() => stats?.enabled === false)
  page.unmount()
  client.enable()
})

test('without a provider it is the page`s client', () => {
  const { client } = startClient()
  let seen: unknown
  function Who() {
    seen = useClient()
    return null
  }
  const page = render(<Who />, client)
  expect(seen).toBe(client)
  page.render(null)
  const bare = render(<Who />, undefined as never)
  expect(seen).toBe(getClient())
  bare.unmount()
  getClient().close()
  Reflect.deleteProperty(globalThis, Symbol.for('millrace'))
})
