import './app'
import { defineChannel, type StreamEvent } from 'millrace'
import { useChannel, useEvents, useJson } from 'millrace/vue'
import { afterEach, describe, expect, test } from 'vitest'
import { defineComponent, effectScope, h, KeepAlive, nextTick, onMounted, ref, Suspense, watchEffect } from 'vue'
import { closeServers } from '../../support/http-server'
import { until } from '../../support/until'
import {
  status as answer,
  block,
  catchReported,
  closeClients,
  held,
  json,
  startClient,
  startFeed,
} from '../channels/watch'
import { mount, unmountAll } from './app'

afterEach(unmountAll)
afterEach(closeClients)
afterEach(closeServers)

const quick = (stream: string) =>
  defineChannel<string, StreamEvent<string, string>>({ key: 'k', stream, grace: 0, keep: 0 })

describe('a component that is unmounted', () => {
  test('while it connects leaves nothing behind', async () => {
    const feed = await startFeed()
    const waiting = held(json('late'))
    feed.stream(waiting.handler)
    feed.snapshot(waiting.handler)
    const { client } = startClient()
    const Root = defineComponent(() => {
      const { status } = useChannel(quick(feed.streamUrl))
      const { status: asked } = useJson(feed.snapshotUrl)
      return () => h('p', `${status.value} ${asked.value}`)
    })
    const shown = mount(Root, client)
    expect(shown.text).toBe('connecting connecting')
    await until(() => waiting.waiting === 2)
    shown.unmount()
    await until(() => feed.server.openStreams === 0, 'the end of both requests')
    await until(() => client.stats().timers.length === 0)
    expect(client.stats()).toMatchObject({ channels: [], subscriptions: { active: 0 } })
    expect([shown.warnings, shown.errors]).toEqual([[], []])
  })

  test('before it was ever open opens nothing', async () => {
    const feed = await startFeed()
    const { client } = startClient()
    const isThere = ref(true)
    const Never = defineComponent({
      async setup() {
        useChannel(quick(feed.streamUrl))
        await new Promise(() => {})
        return () => null
      },
    })
    const shown = mount(() => h(Suspense, () => (isThere.value ? h(Never) : h('p', 'gone'))), client)
    await nextTick()
    isThere.value = false
    await until(() => shown.text === 'gone')
    shown.unmount()
    expect(client.stats().subscriptions.total).toBe(0)
    expect(feed.streamRequests).toEqual([])
  })

  test('while it reconnects ends the attempts', async () => {
    const feed = await startFeed()
    feed.stream(answer(503))
    const { client } = startClient()
    const Root = defineComponent(() => {
      const { status, attempt, retryAt, error } = useChannel(quick(feed.streamUrl))
      return () => h('p', `${status.value} ${attempt.value > 1} ${typeof retryAt.value} ${error.value?.status}`)
    })
    const shown = mount(Root, client)
    await until(() => shown.text === 'reconnecting true number 503')
    shown.unmount()
    await until(() => client.stats().timers.length === 0)
    const asked = feed.streamRequests.length
    await nextTick()
    expect(feed.streamRequests).toHaveLength(asked)
  })

  test('by its own callback hears nothing more, not even the rest of what came with it', async () => {
    const feed = await startFeed()
    const { client } = startClient()
    const heard: string[] = []
    const Root = defineComponent(() => {
      const { data } = useChannel(quick(feed.streamUrl), {
        onEvent(event) {
          heard.push(event.data)
          if (event.data === 'two') shown.unmount()
        },
      })
      return () => h('p', data.value)
    })
    const shown = mount(Root, client)
    await until(() => feed.open === 1)
    feed.write(['one', 'two', 'three'].map((data) => block(data)).join(''))
    await until(() => feed.open === 0)
    expect(heard).toEqual(['one', 'two'])
    expect([shown.warnings, shown.errors]).toEqual([[], []])
  })

  test('by the error that it is told of is clean', async () => {
    const feed = await startFeed()
    feed.stream(answer(404))
    const { client } = startClient()
    const told: string[] = []
    const Root = defineComponent(() => {
      const { status } = useChannel(quick(feed.streamUrl), {
        onError(error) {
          told.push(error.code)
          shown.unmount()
        },
      })
      return () => h('p', status.value)
    })
    const shown = mount(Root, client)
    await until(() => told.length > 0)
    await until(() => client.stats().timers.length === 0)
    expect(told).toEqual(['http'])
    expect(client.stats().subscriptions.active).toBe(0)
    expect([shown.warnings, shown.errors]).toEqual([[], []])
  })

  test('is not missed by the others, and a callback that throws starves nobody', async () => {
    const feed = await startFeed()
    const { client } = startClient()
    const reported = catchReported()
    const heard: string[] = []
    const Bad = defineComponent(() => {
      useEvents(quick(feed.streamUrl), () => {
        throw new Error('a bug of its own')
      })
      return () => null
    })
    const Good = defineComponent(() => {
      const status = useEvents(quick(feed.streamUrl), ({ data }) => heard.push(data))
      return () => h('p', status.value)
    })
    const both = ref(true)
    const shown = mount(() => [both.value && h(Bad), h(Good)], client)
    await until(() => shown.text === 'live')
    feed.write(block('one'))
    await until(() => heard.length === 1)
    both.value = false
    await nextTick()
    feed.write(block('two'))
    await until(() => heard.length === 2)
    expect(reported).toHaveLength(1)
    expect(feed.streamRequests).toHaveLength(1)
  })
})

describe('outside of components', () => {
  test('an effect scope opens at once, and closes when it is stopped', async () => {
    const feed = await startFeed(json('body'))
    const { client } = startClient()
    const seen: unknown[] = []
    const scope = effectScope()
    const name = ref('a')
    // Within an app, as a plugin or a router's guard is; without one it would be the page's client.
    const { app, unmount } = mount(() => null, client)
    app.runWithContext(() =>
      scope.run(() => {
        const { data, status } = useChannel(() =>
          defineChannel<string, StreamEvent<string, string>>({
            key: name.value,
            stream: `${feed.streamUrl}?${name.value}`,
            grace: 0,
          }),
        )
        const { data: body } = useJson(feed.snapshotUrl)
        watchEffect(() => seen.push([status.value, data.value, body.value]))
      }),
    )
    expect(client.stats().subscriptions.active).toBe(2)
    await until(() => feed.open === 1)
    feed.write(block('one'))
    await until(() => JSON.stringify(seen.at(-1)) === '["live","one","body"]')
    name.value = 'b'
    await until(() => feed.streamRequests.at(-1)!.url.endsWith('?b') && feed.open === 1)
    scope.stop()
    await until(() => feed.open === 0)
    name.value = 'c'
    await nextTick()
    expect(client.stats()).toMatchObject({ channels: [], timers: [{ label: 'keep' }], subscriptions: { active: 0 } })
    expect(feed.streamRequests).toHaveLength(2)
    unmount()
  })

  test('a scope that components share outlives the one that asked first', async () => {
    const feed = await startFeed()
    const { client } = startClient()
    const scope = effectScope(true)
    let shared: ReturnType<typeof useChannel<string, StreamEvent<string, string>>> | undefined
    // What `createSharedComposable` and a store do.
    const useShared = () => {
      shared ??= scope.run(() => useChannel(quick(feed.streamUrl)))
      return shared!
    }
    const One = defineComponent(() => {
      const { status, data } = useShared()
      return () => h('p', `${status.value} ${data.value};`)
    })
    const first = ref(true)
    const shown = mount(() => [h(KeepAlive, () => first.value && h(One)), h(One)], client)
    await until(() => shown.text === 'live undefined;live undefined;')
    first.value = false
    await nextTick()
    expect(client.stats().subscriptions.active).toBe(1)
    feed.write(block('one'))
    await until(() => shown.text === 'live one;')
    shown.unmount()
    expect(client.stats().subscriptions).toMatchObject({ active: 1, total: 1 })
    scope.stop()
    await until(() => feed.open === 0)
  })

  test('a hook of a component that is mounted already opens at once', async () => {
    const feed = await startFeed()
    const { client } = startClient()
    const seen = ref('')
    const Root = defineComponent(() => {
      onMounted(() => {
        const { status } = useChannel(quick(feed.streamUrl), {})
        watchEffect(() => {
          seen.value = status.value
        })
      })
      return () => h('p', seen.value)
    })
    const shown = mount(Root, client)
    await until(() => shown.text === 'live')
    shown.unmount()
    await until(() => feed.open === 0)
    expect([shown.warnings, shown.errors]).toEqual([[], []])
  })
})
