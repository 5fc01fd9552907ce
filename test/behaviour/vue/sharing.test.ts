import './app'
import { configure, defineChannel, type StreamEvent } from 'millrace'
import { createMillrace, useChannel, useClient, useEvents } from 'millrace/vue'
import { afterEach, describe, expect, test } from 'vitest'
import { createApp, defineComponent, effectScope, h, version } from 'vue'
import { closeServers } from '../../support/http-server'
import { until } from '../../support/until'
import { block, closeClients, json, startClient, startFeed } from '../channels/watch'
import { mount, unmountAll } from './app'

afterEach(unmountAll)
afterEach(closeClients)
afterEach(closeServers)

test('this is the version of Vue that the project is named for', ({ task }) => {
  expect(version).toMatch(task.file.projectName === 'vue-3.3' ? /^3\.3\./ : /^3\.5\./)
})

describe('many components', () => {
  test('are one connection and one request, and all show the same', async () => {
    const feed = await startFeed(json([1]))
    const { client, codes } = startClient()
    // Built anew by each of them: the key is what makes it one.
    const list = () =>
      defineChannel<number[], StreamEvent<string, number>>({
        key: ['list'],
        stream: feed.streamUrl,
        snapshot: feed.snapshotUrl,
        reduce: (all, { data }) => [...all, data],
      })
    const One = defineComponent(() => {
      const { data, status } = useChannel(list())
      return () => h('p', `${status.value} ${data.value?.join()};`)
    })
    const { element, warnings, errors } = mount(() => Array.from({ length: 100 }, () => h(One)), client)
    await until(() => element.textContent === 'live 1;'.repeat(100))
    feed.write(block(2))
    await until(() => element.textContent === 'live 1,2;'.repeat(100))
    expect(feed.streamRequests).toHaveLength(1)
    expect(feed.snapshotRequests).toHaveLength(1)
    expect(client.stats().subscriptions.active).toBe(100)
    expect([warnings, errors, codes]).toEqual([[], [], []])
  })

  test('of two apps with one client are one connection too, which goes with the last of them', async () => {
    const feed = await startFeed()
    const { client } = startClient()
    const channel = defineChannel({ key: 'k', stream: feed.streamUrl, grace: 0 })
    const One = defineComponent(() => {
      const { status, isLive } = useChannel(channel)
      return () => h('p', `${status.value} ${isLive.value}`)
    })
    const first = mount(One, client)
    const second = mount(One, client)
    await until(() => first.text === 'live true' && second.text === 'live true')
    first.unmount()
    await until(() => client.stats().subscriptions.active === 1)
    expect(feed.open).toBe(1)
    second.unmount()
    await until(() => feed.open === 0)
    expect(client.stats()).toMatchObject({ channels: [], timers: [] })
    expect(feed.streamRequests).toHaveLength(1)
  })

  test('are named in the statistics by their component, unless they say otherwise', async () => {
    const feed = await startFeed()
    const { client } = startClient()
    const channel = defineChannel({ key: 'k', stream: feed.streamUrl })
    const Named = defineComponent({
      name: 'UserBoard',
      setup() {
        useChannel(channel)
        useEvents(channel, () => {}, { label: 'sound' })
        return () => h('p')
      },
    })
    // What the compiler of `<script setup>` makes of a file's name.
    const OfAFile = {
      __name: 'PriceTicker',
      setup() {
        useChannel(channel)
        return () => h('p')
      },
    }
    mount(() => [h(Named), h(OfAFile)], client)
    const { channels } = client.stats()
    expect(channels[0]?.subscribers.map(({ label }) => label)).toEqual(['UserBoard', 'sound', 'sound', 'PriceTicker'])
  })
})

describe('the client', () => {
  test('is that of the plugin within its app, and the page’s without one', () => {
    const { client } = startClient()
    const page = configure({ environment: 'test' })
    const seen: unknown[] = []
    const Root = defineComponent(() => {
      seen.push(useClient())
      return () => null
    })
    mount(Root, client)
    mount(Root)
    expect(seen).toEqual([client, page])
    page.close()
    delete (globalThis as { [key: symbol]: unknown })[Symbol.for('millrace')]
  })

  test('is that of the app wherever Vue injects, and is left open when the app ends', () => {
    const { client } = startClient()
    const app = createApp({ render: () => null }).use(createMillrace({ client }))
    const scope = effectScope()
    expect(app.runWithContext(() => scope.run(() => useClient()))).toBe(client)
    app.mount(document.createElement('div'))
    app.unmount()
    expect(() => client.subscribe(defineChannel({ key: 'k', snapshot: 'http://127.0.0.1:1/' }), {})).not.toThrow()
  })
})
