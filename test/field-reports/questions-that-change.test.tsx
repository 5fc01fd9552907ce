/** Public reports of other libraries about components whose question changes, is asked twice, or is asked while away. */
import '../support/dom'
import { defineChannel } from 'millrace'
import { useChannel, useJson } from 'millrace/react'
import * as forVue from 'millrace/vue'
import { Suspense, startTransition, useState } from 'react'
import { afterEach, expect, test, vi } from 'vitest'
import { computed, defineComponent, effectScope, h, nextTick, ref } from 'vue'
import { closeClients, json, startClient } from '../behaviour/channels/watch'
import { render, unmountAll } from '../behaviour/react/render'
import { mount, unmountAll as unmountApps } from '../behaviour/vue/app'
import { closeServers, startServer, startStream } from '../support/http-server'
import { until } from '../support/until'

afterEach(unmountAll)
afterEach(unmountApps)
afterEach(closeClients)
afterEach(closeServers)

const startEcho = () => startServer((request, ...rest) => json({ path: request.url })(request, ...rest))

// https://github.com/TanStack/query/issues/5910
test('Vue: a refresh right after the question has changed asks the new one', async () => {
  const server = await startEcho()
  const { client } = startClient()
  const id = ref(0)
  let list: forVue.UseJsonReturn<{ path: string }> | undefined
  const Root = defineComponent(() => {
    list = forVue.useJson<{ path: string }>(() => server.url(`/${id.value}`), { enabled: false })
    return () => h('p', list?.data.value?.path)
  })
  const shown = mount(Root, client)
  id.value = 1
  await list?.refresh()
  await until(() => shown.text === '/1')
  expect(server.requests.map(({ url }) => url)).toEqual(['/1'])
})

// https://github.com/TanStack/query/issues/4871
test('Vue: of two that ask the same, neither shows the question before for a moment', async () => {
  const server = await startEcho()
  const { client } = startClient()
  const id = ref('a')
  const seen: string[] = []
  const Root = defineComponent(() => {
    const use = () => forVue.useJson<{ path: string }>(() => server.url(`/${id.value}`)).data
    const [one, other] = [use(), use()]
    const both = computed(() => `${one.value?.path} ${other.value?.path}`)
    return () => {
      seen.push(both.value)
      return h('p', both.value)
    }
  })
  const shown = mount(Root, client)
  await until(() => shown.text === '/a /a')
  id.value = 'b'
  await nextTick()
  await until(() => shown.text === '/b /b')
  expect(new Set(seen)).toEqual(new Set(['undefined undefined', '/a /a', '/b /b']))
})

// https://github.com/vercel/swr/issues/2264
test('what is invalidated while nobody shows it is asked anew, however long its `ttl`', async () => {
  let n = 0
  const server = await startServer((...args) => json({ n: ++n })(...args))
  const { client } = startClient()
  const url = server.url('/list')
  function List() {
    return <>{useJson<{ n: number }>(url, { ttl: 600_000 }).data?.n}</>
  }
  const page = render(<List />, client)
  await until(() => page.text === '1')
  page.render(null)
  client.invalidate(url)
  page.render(<List />)
  await until(() => page.text === '2')
})

// https://github.com/vercel/swr/issues/1680
test('a question that changes once is one request more, in StrictMode too', async () => {
  const server = await startEcho()
  const { client } = startClient()
  let change = (_: string) => {}
  function Chart() {
    const [market, set] = useState('a')
    change = set
    return <>{useJson<{ path: string }>(server.url(`/${market}`)).data?.path}</>
  }
  const page = render(<Chart />, client, { strict: true })
  await until(() => page.text === '/a')
  change('b')
  await until(() => page.text === '/b')
  expect(server.requests.map(({ url }) => url)).toEqual(['/a', '/b'])
})

// https://github.com/DamianOsipiuk/vue-query/issues/200
test('Vue: nothing is asked for an id that is not there, whichever of the two refs changes first', async () => {
  const server = await startEcho()
  const { client } = startClient()
  const id = ref<number>()
  const Root = defineComponent(() => {
    const { data, status } = forVue.useJson<{ path: string }>(
      () => server.url(`/projects/${id.value}`),
      () => ({
        enabled: id.value !== undefined,
      }),
    )
    return () => h('p', `${status.value} ${data.value?.path}`)
  })
  const shown = mount(Root, client)
  for (const next of [1, undefined, 2, undefined]) {
    id.value = next
    await nextTick()
  }
  id.value = 3
  await until(() => shown.text === 'complete /projects/3')
  expect(server.requests.filter(({ url }) => url.includes('undefined'))).toEqual([])
})

test('React: a render that suspends or is thrown away leaves nothing behind', async () => {
  const server = await startEcho()
  const { client } = startClient()
  let resume = () => {}
  const never = new Promise<void>((resolve) => {
    resume = resolve
  })
  let isReady = false
  function Late() {
    const { status } = useJson(server.url('/late'))
    if (!isReady) throw never
    return <>{status}</>
  }
  const page = render(
    <Suspense fallback="…">
      <Late />
    </Suspense>,
    client,
  )
  expect(page.text).toBe('…')
  startTransition(() => {})
  await new Promise((resolve) => setTimeout(resolve, 50))
  expect(client.stats().subscriptions.total).toBe(0)
  isReady = true
  resume()
  await until(() => page.text === 'complete')
  expect(server.requests).toHaveLength(1)
})

test('Vue: what a store asks for stays when the component that made it leaves', async () => {
  const server = await startEcho()
  const { client } = startClient()
  const scope = effectScope(true)
  let store: forVue.UseJsonReturn<{ path: string }> | undefined
  const isThere = ref(true)
  const First = defineComponent(() => {
    store ??= scope.run(() => forVue.useJson<{ path: string }>(server.url('/store')))
    return () => h('p', store?.data.value?.path)
  })
  const shown = mount(() => (isThere.value ? h(First) : undefined), client)
  await until(() => shown.text === '/store')
  isThere.value = false
  await nextTick()
  expect(client.stats().subscriptions.active).toBe(1)
  await store?.refresh()
  expect(server.requests).toHaveLength(2)
  scope.stop()
  expect(client.stats().subscriptions.active).toBe(0)
})

test('React: `null` and a channel by turns render without a hook too many', async () => {
  const { client } = startClient()
  function Show({ id }: { id: string | 0 }) {
    const { status } = useChannel(id && undefined)
    return <>{status}</>
  }
  const page = render(<Show id={0} />, client)
  page.render(<Show id="" />)
  expect(page.text).toBe('idle')
  expect(page.complaints).toEqual([])
})

// https://github.com/vuejs/rfcs/issues/234
test('Vue: outside of any component and scope a page is told so, once, and is served all the same', async () => {
  const server = await startEcho()
  const warned = vi.spyOn(console, 'warn').mockImplementation(() => {})
  const [one, other] = ['/one', '/other'].map((path) => forVue.useJson<{ path: string }>(server.url(path)))
  await until(() => one?.data.value?.path === '/one' && other?.data.value?.path === '/other')
  const told = warned.mock.calls.filter(([text]) => String(text).includes('effectScope'))
  expect(told).toHaveLength(1)
})

// https://github.com/TanStack/query/pull/1578
test('React: what only a handler reads is what is known then, though nothing has rendered since', async () => {
  const server = await startServer((_, response) => startStream(response).write('data: news\n\n'))
  const { client } = startClient()
  const channel = defineChannel({ key: 'news', stream: server.url('/news') })
  let renders = 0
  let onClick = (): unknown => undefined
  function Button() {
    renders += 1
    const news = useChannel(channel)
    onClick = () => news.data
    return null
  }
  const News = () => <p>{String(useChannel(channel).data)}</p>
  const page = render([<Button key="b" />, <News key="n" />], client)
  await until(() => page.text === 'news')
  expect(renders).toBe(1)
  expect(onClick()).toBe('news')
})
