import { type Client, defineChannel, type StreamEvent } from 'millrace'
import { createMillrace, useChannel, useEvents, useJson, useStats } from 'millrace/vue'
import { afterEach, expect, test } from 'vitest'
import { createSSRApp, defineComponent, effectScope, h, KeepAlive, onServerPrefetch, ref, Suspense } from 'vue'
import { renderToString } from 'vue/server-renderer'
import { closeServers, startServer, type TestServer } from '../../support/http-server'
import { activeResources } from '../../support/sockets'
import { closeClients, json, startClient, startStill } from '../channels/watch'

afterEach(closeClients)
afterEach(closeServers)

const users = (server: TestServer) =>
  defineChannel<string[], StreamEvent<string, string>>({
    key: ['users'],
    stream: server.url('/stream'),
    snapshot: server.url('/snapshot'),
    initial: ['nobody'],
    reduce: (all, { data }) => [...all, data],
  })

/** Everything that the adapter has, at once. */
const page = (server: TestServer) =>
  defineComponent(() => {
    const id = ref('a')
    const { data, status, isLive } = useChannel(() => users(server), { select: (all) => all.join() })
    const nothing = useChannel(null)
    const heard = useEvents(users(server), () => {})
    const once = useJson(() => server.url(`/${id.value}`))
    const polled = useJson(server.url('/polled'), { interval: 1_000 })
    const stats = useStats()
    // What changes during a render on a server is followed by nobody.
    onServerPrefetch(async () => {
      id.value = 'b'
    })
    return () =>
      h('p', [
        `${data.value} ${status.value} ${isLive.value} ${nothing.status.value} ${heard.value} `,
        `${once.status.value} ${once.data.value} ${polled.status.value} ${stats.value.subscriptions.total}`,
      ])
  })

const render = (root: ReturnType<typeof page>, client: Client) =>
  renderToString(
    createSSRApp(() =>
      h(Suspense, () =>
        h(
          'div',
          h(KeepAlive, () => h(root)),
        ),
      ),
    ).use(createMillrace({ client })),
  )

test('opens nothing, schedules nothing, keeps nothing, and shows `initial`', async () => {
  const server = await startServer((_, response) => response.end())
  const { client, clock } = startStill()
  const before = activeResources()
  let html = ''
  for (let n = 0; n < 100; n += 1) html = await render(page(server), client)
  expect(html).toBe('<div><p>nobody connecting false idle connecting connecting undefined connecting 0</p></div>')
  expect(client.stats()).toMatchObject({
    channels: [],
    timers: [],
    endpoints: [],
    memory: 0,
    subscriptions: { active: 0, total: 0 },
    requests: { asked: 0, sent: 0 },
  })
  expect(clock.pending()).toEqual([])
  expect(activeResources()).toEqual(before)
  expect(server.requests).toEqual([])
})

test('opens nothing for a scope of its own either, that is made during the render', async () => {
  const server = await startServer((_, response) => response.end())
  const { client } = startClient()
  // A store, or a shared composable.
  const Root = defineComponent(() => {
    const { status } = effectScope(true).run(() => useChannel(users(server)))!
    return () => h('p', status.value)
  })
  expect(await render(Root, client)).toBe('<div><p>connecting</p></div>')
  expect(client.stats().subscriptions.total).toBe(0)
  expect(server.requests).toEqual([])
})

test('shows nothing that another render has found out', async () => {
  const server = await startServer(json(['somebody else']))
  const { client } = startClient()
  await client.refresh(users(server))
  expect(client.getState(users(server)).data).toEqual(['somebody else'])
  expect(await render(page(server), client)).toContain('nobody connecting')
})
