import './app'
import { defineChannel, type StreamEvent } from 'millrace'
import { useChannel, useEvents, useJson } from 'millrace/vue'
import { afterEach, expect, test } from 'vitest'
import { defineComponent, h, KeepAlive, nextTick, ref } from 'vue'
import { closeServers } from '../../support/http-server'
import { until } from '../../support/until'
import { block, closeClients, json, startClient, startFeed } from '../channels/watch'
import { mount, unmountAll } from './app'

afterEach(unmountAll)
afterEach(closeClients)
afterEach(closeServers)

test('a component that is held back costs nothing, shows what it showed, and comes back by itself', async () => {
  const feed = await startFeed(json({ n: 1 }))
  const { client } = startClient({ cache: { ttl: 0 } })
  const id = ref('a')
  const channel = () =>
    defineChannel<string, StreamEvent<string, string>>({
      key: ['k', id.value],
      stream: `${feed.streamUrl}?${id.value}`,
      grace: 0,
    })
  const heard: string[] = []
  let setups = 0
  const Inner = defineComponent(() => {
    useEvents(channel, ({ data }) => heard.push(data))
    return () => null
  })
  const Kept = defineComponent(() => {
    setups += 1
    const { data, status } = useChannel(channel)
    const { data: body } = useJson<{ n: number }>(feed.snapshotUrl)
    return () => h('p', [`${status.value} ${data.value} ${body.value?.n}`, h(Inner)])
  })
  const Other = defineComponent(() => () => h('p', 'other'))
  const isKept = ref(true)
  const shown = mount(() => h(KeepAlive, () => h(isKept.value ? Kept : Other)), client)
  await until(() => shown.text === 'live undefined 1')
  // Mounted is activated too: once is enough.
  expect(client.stats().subscriptions).toMatchObject({ active: 4, total: 4 })
  feed.write(block('one'))
  await until(() => shown.text === 'live one 1')

  isKept.value = false
  await until(() => shown.text === 'other' && feed.open === 0)
  expect(client.stats()).toMatchObject({ channels: [], timers: [{ label: 'keep' }], subscriptions: { active: 0 } })
  // What changes meanwhile is for later.
  id.value = 'b'
  await nextTick()
  id.value = 'a'
  await nextTick()
  expect(feed.streamRequests).toHaveLength(1)

  isKept.value = true
  await nextTick()
  expect(shown.text).toBe('connecting one 1')
  await until(() => shown.text === 'live one 1' && feed.open === 1)
  feed.write(block('two'))
  await until(() => shown.text === 'live two 1')
  expect(heard).toEqual(['one', 'two'])
  expect(setups).toBe(1)
  await until(() => feed.snapshotRequests.length === 2, 'another look at the JSON')

  isKept.value = false
  await nextTick()
  id.value = 'c'
  isKept.value = true
  await until(() => feed.streamRequests.at(-1)!.url.endsWith('?c'))
  await until(() => feed.open === 1)

  isKept.value = false
  await nextTick()
  shown.unmount()
  await until(() => feed.open === 0)
  expect([shown.warnings, shown.errors]).toEqual([[], []])
})

test('a component that is held back and shown again at once keeps its connection', async () => {
  const feed = await startFeed()
  const { client } = startClient()
  const Kept = defineComponent(() => {
    const { status } = useChannel(defineChannel({ key: 'k', stream: feed.streamUrl }))
    return () => h('p', status.value)
  })
  const isKept = ref(true)
  const shown = mount(() => h(KeepAlive, () => isKept.value && h(Kept)), client)
  await until(() => shown.text === 'live')
  for (let n = 0; n < 20; n += 1) {
    isKept.value = !isKept.value
    await nextTick()
  }
  expect(shown.text).toBe('live')
  expect(feed.streamRequests).toHaveLength(1)
  expect(client.stats().subscriptions.active).toBe(1)
})
