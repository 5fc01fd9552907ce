import './app'
import { defineChannel, type Stats } from 'millrace'
import { useChannel, useStats } from 'millrace/vue'
import { afterEach, expect, test, vi } from 'vitest'
import { defineComponent, h, nextTick, type Ref, watch } from 'vue'
import { closeServers } from '../../support/http-server'
import { until } from '../../support/until'
import { block, closeClients, startClient, startFeed } from '../channels/watch'
import { mount, unmountAll } from './app'

afterEach(unmountAll)
afterEach(closeClients)
afterEach(closeServers)
afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllEnvs()
})

test('show what the client knows, 4 times a second at most, whatever happens', async () => {
  // Where polls come once a second at most.
  vi.stubEnv('NODE_ENV', 'production')
  const feed = await startFeed()
  const { client } = startClient()
  let stats: Readonly<Ref<Stats>> | undefined
  const updates: number[] = []
  const Root = defineComponent(() => {
    useChannel(defineChannel({ key: 'k', stream: feed.streamUrl }))
    stats = useStats()
    watch(stats, () => updates.push(performance.now()))
    return () => h('p', stats!.value.channels[0]?.events)
  })
  const shown = mount(Root, client)
  await until(() => feed.open === 1)
  const start = performance.now()
  for (let n = 1; updates.length < 8; n += 1) {
    feed.write(block(n))
    await until(() => client.stats().channels[0]!.events === n)
  }
  // The first is shown at once; 8 of them take 7 pauses.
  expect(updates.at(-1)! - updates[0]!).toBeGreaterThan(7 * 240)
  expect(performance.now() - start).toBeLessThan(7 * 1_000)
  // The last thing that happened is shown, though nothing happens after it.
  const { events } = client.stats().channels[0]!
  await until(() => shown.text === `${events}`)
  // It asks nobody, and is in nobody's figures.
  expect(feed.server.requests).toHaveLength(1)
  expect(stats!.value).toMatchObject({ requests: { asked: 1, sent: 1 }, subscriptions: { active: 1 } })
})

test('go on while the client is switched off, and end with the component', async () => {
  vi.useFakeTimers()
  const { client } = startClient()
  const Root = defineComponent(() => {
    const stats = useStats()
    return () => h('p', `${stats.value.enabled}`)
  })
  const shown = mount(Root, client)
  const pass = async (ms: number) => {
    await vi.advanceTimersByTimeAsync(ms)
    await nextTick()
  }
  await pass(300)
  expect(shown.text).toBe('true')
  client.disable()
  await pass(600)
  expect(shown.text).toBe('false')
  expect(client.stats().timers).toEqual([])
  shown.unmount()
  await pass(2_000)
  expect(vi.getTimerCount()).toBe(0)
})
