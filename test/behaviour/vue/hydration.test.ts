import './app'
import { defineChannel, type StreamEvent } from 'millrace'
import { createMillrace, useChannel, useJson } from 'millrace/vue'
import { afterEach, expect, test, vi } from 'vitest'
import { type Component, createSSRApp, defineComponent, effectScope, h, nextTick, ref, Suspense } from 'vue'
import { renderToString } from 'vue/server-renderer'
import { closeServers } from '../../support/http-server'
import { until } from '../../support/until'
import { block, closeClients, type Feed, json, startClient, startFeed } from '../channels/watch'
import { mount, unmountAll } from './app'

afterEach(unmountAll)
afterEach(closeClients)
afterEach(closeServers)

const board = (feed: Feed) =>
  defineChannel<string, StreamEvent<string, string>>({ key: ['board'], stream: feed.streamUrl, initial: 'initial' })

/** Renders as a server does, then hydrates where the channel is live already, and tells what Vue complained of. */
async function hydrate(feed: Feed, root: Component) {
  const server = startClient()
  const html = await renderToString(createSSRApp(root).use(createMillrace({ client: server.client })))
  expect(server.client.stats().subscriptions.total).toBe(0)
  expect(feed.streamRequests).toEqual([])

  const { client } = startClient()
  client.subscribe(board(feed), {})
  await until(() => client.getState(board(feed)).status === 'live')
  feed.write(block('from before'))
  await until(() => client.getState(board(feed)).data === 'from before')
  const complained = vi.spyOn(console, 'error').mockImplementation(() => {})
  const shown = mount(root, client, html)
  return { html, client, shown, complaints: () => [...shown.warnings, ...complained.mock.calls] }
}

test('shows what the server has sent, then what is live, without a mismatch', async () => {
  const feed = await startFeed(json({ n: 1 }))
  const renders: string[] = []
  const Board = defineComponent(() => {
    const { data, status } = useChannel(board(feed))
    const { data: body, status: asked } = useJson<{ n: number }>(feed.snapshotUrl)
    return () => {
      const text = `${data.value} ${status.value} ${body.value?.n} ${asked.value}`
      renders.push(text)
      return h('p', text)
    }
  })
  const { shown, complaints, html } = await hydrate(feed, Board)
  expect(html).toBe('<p>initial connecting undefined connecting</p>')
  const [, hydrated] = renders
  expect(hydrated).toBe('initial connecting undefined connecting')
  await until(() => shown.text === 'from before live 1 complete')
  expect(feed.streamRequests).toHaveLength(1)
  expect(complaints()).toEqual([])
})

test('does so for a scope of its own, and for a component that is waited for', async () => {
  const feed = await startFeed()
  const Shared = defineComponent(() => {
    const { status } = effectScope(true).run(() => useChannel(board(feed)))!
    return () => h('p', status.value)
  })
  const Late = defineComponent({
    async setup() {
      const { data } = useChannel(board(feed))
      await nextTick()
      return () => h('p', data.value)
    },
  })
  const { shown, complaints, html } = await hydrate(feed, () => h(Suspense, () => h('div', [h(Shared), h(Late)])))
  expect(html).toBe('<div><p>connecting</p><p>initial</p></div>')
  await until(() => shown.text === 'livefrom before')
  expect(complaints()).toEqual([])
})

test('a component that comes after the hydration shows what is live at once', async () => {
  const feed = await startFeed()
  const isThere = ref(false)
  const seen: string[] = []
  const Board = defineComponent(() => {
    const { data } = useChannel(board(feed))
    return () => {
      seen.push(`${data.value}`)
      return h('p', data.value)
    }
  })
  const { shown } = await hydrate(feed, () => h('div', isThere.value ? [h(Board)] : []))
  isThere.value = true
  await nextTick()
  expect(shown.text).toBe('from before')
  expect(seen).toEqual(['from before'])
})
