import '../support/dom'
import { configure, getClient } from 'millrace'
import { createPinia, setActivePinia } from 'pinia'
import { derived, get } from 'svelte/store'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { createApp, createSSRApp, effectScope, h, nextTick, onMounted } from 'vue'
import { renderToString } from 'vue/server-renderer'
import { orders as channel } from '../../examples/recipes/orders'
import * as pinia from '../../examples/recipes/pinia'
import { channelStore } from '../../examples/recipes/svelte'
import * as zustand from '../../examples/recipes/zustand'
import { closeServers } from '../support/http-server'
import { until } from '../support/until'
import { closeClients, type OrdersServer, quick, startClient, startOrders } from './orders-server'

// Vue looks at what kind of element it is mounted on.
const { Element, SVGElement } = window as unknown as typeof globalThis
Object.assign(globalThis, { Element, SVGElement })

const cleanups: (() => void)[] = []

afterEach(() => {
  for (const clean of cleanups.splice(0)) clean()
})
afterEach(closeClients)
afterEach(closeServers)

const paid = { id: 'a', state: 'paid' } as const

/** One of each for all, and nothing of it left when the last has gone. */
async function expectOneOfEach(orders: OrdersServer): Promise<void> {
  expect(orders.asked('/api/orders/stream')).toHaveLength(1)
  expect(orders.asked('/api/orders')).toHaveLength(1)
}

describe('a zustand store', () => {
  test('is fed by the channel, by one connection for all who follow', async () => {
    const orders = await startOrders()
    const client = startClient(orders)
    const stops = [zustand.followOrders(client), zustand.followOrders(client)]
    await until(() => expect(zustand.useOrders.getState()).toMatchObject({ orders: orders.list(), status: 'live' }))
    orders.put(paid)
    await until(() => expect(zustand.useOrders.getState().orders).toEqual([paid]))
    await expectOneOfEach(orders)

    stops[0]?.()
    orders.put({ id: 'b', state: 'open' })
    await until(() => expect(zustand.useOrders.getState().orders).toHaveLength(2))
    stops[1]?.()
    await until(() => orders.open === 0, 'the stream to be closed')
  })

  test('tells what is wrong', async () => {
    const orders = await startOrders((_, response) => response.writeHead(404).end())
    cleanups.push(zustand.followOrders(startClient(orders)))
    await until(() => zustand.useOrders.getState().status === 'failed')
    expect(zustand.useOrders.getState().error).toMatchObject({ code: 'http', status: 404 })
  })
})

describe('a Pinia store', () => {
  let orders: OrdersServer

  // The page's own client, as the store uses it: each test has a page of its own.
  beforeEach(async () => {
    vi.spyOn(console, 'warn').mockImplementation(() => {})
    orders = await startOrders()
    configure(quick(orders))
    cleanups.push(() => {
      getClient().close()
      delete (globalThis as { [key: symbol]: unknown })[Symbol.for('millrace')]
    })
  })

  const List = {
    setup() {
      const store = pinia.useOrders()
      onMounted(store.follow)
      return () => h('p', `${store.status} ${store.open} of ${store.list.length}`)
    },
  }
  const Page = { setup: () => () => [h(List), h(List)] }

  test('is live while a component needs it, by one connection', async () => {
    const container = document.createElement('div')
    const app = createApp(Page).use(createPinia())
    app.mount(container)
    await until(() => expect(container.textContent).toBe('live 1 of 1live 1 of 1'))
    orders.put(paid)
    await until(() => expect(container.textContent).toBe('live 0 of 1live 0 of 1'))
    await expectOneOfEach(orders)
    app.unmount()
    await nextTick()
    await until(() => orders.open === 0, 'the stream to be closed')
  })

  test('opens nothing on a server', async () => {
    const html = await renderToString(createSSRApp(Page).use(createPinia()))
    expect(html).toContain('idle 0 of 0')
    expect(orders.server.requests).toEqual([])
    expect(getClient().stats().timers).toEqual([])
  })

  test('closes with its scope', async () => {
    setActivePinia(createPinia())
    const scope = effectScope()
    scope.run(() => pinia.useOrders().follow())
    await until(() => orders.open === 1)
    scope.stop()
    await until(() => orders.open === 0, 'the stream to be closed')
  })
})

describe('a Svelte store', () => {
  test('keeps the contract: the value at once, then every change, and an end', async () => {
    const orders = await startOrders()
    const store = channelStore(startClient(orders), channel)
    const seen: unknown[] = []
    const stop = store.subscribe(({ data }) => seen.push(data))
    expect(seen).toEqual([undefined])
    await until(() => expect(seen.at(-1)).toEqual(orders.list()))
    orders.put(paid)
    await until(() => expect(seen.at(-1)).toEqual([paid]))
    stop()
    await until(() => orders.open === 0, 'the stream to be closed')
    expect(seen.at(-1)).toEqual([paid])
  })

  test('is what derived and get take, for one connection', async () => {
    const orders = await startOrders()
    const store = channelStore(startClient(orders), channel)
    const open = derived(store, ({ data = [] }) => data.filter(({ state }) => state === 'open').length)
    const seen: number[] = []
    cleanups.push(open.subscribe((count) => seen.push(count)))
    cleanups.push(derived(open, (count) => count * 2).subscribe(() => {}))
    await until(() => seen.at(-1) === 1)
    orders.put(paid)
    await until(() => seen.at(-1) === 0)
    expect(get(store).data).toEqual([paid])
    await expectOneOfEach(orders)
  })
})
