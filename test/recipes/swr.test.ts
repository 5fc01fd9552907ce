import '../support/dom'
import type { Client } from 'millrace'
import { createElement, Fragment, type ReactNode, useEffect } from 'react'
import { SWRConfig, useSWRConfig } from 'swr'
import { afterEach, expect, test } from 'vitest'
import { useLiveOrders, useOrders } from '../../examples/recipes/swr'
import { closeServers } from '../support/http-server'
import { until } from '../support/until'
import { closeClients, startClient, startOrders } from './orders-server'

// After there is a document: react-dom looks for it when it is loaded.
const { createRoot } = await import('react-dom/client')

const cleanups: (() => void)[] = []

afterEach(() => {
  for (const clean of cleanups.splice(0)) clean()
})
afterEach(closeClients)
afterEach(closeServers)

/** Every test with a cache of its own. */
function render(...children: ReactNode[]) {
  const container = document.createElement('div')
  const root = createRoot(container)
  root.render(
    createElement(SWRConfig, { value: { provider: () => new Map() } }, createElement(Fragment, {}, ...children)),
  )
  const unmount = () => root.unmount()
  cleanups.push(unmount)
  return { unmount, text: () => container.textContent }
}

function Live({ client }: { client: Client }) {
  const { data, error } = useLiveOrders(client)
  return `[${error?.code ?? data?.map(({ id, state }) => id + state).join() ?? '-'}]`
}

function Fetched({ client, onMutate }: { client: Client; onMutate?: (mutate: () => void) => void }) {
  const { data, error } = useOrders(client)
  const { mutate } = useSWRConfig()
  useEffect(() => onMutate?.(() => void mutate('/api/orders')), [mutate, onMutate])
  return `[${error?.code ?? data?.map(({ id, state }) => id + state).join() ?? '-'}]`
}

test('useSWRSubscription is fed by a channel, by one connection for all components', async () => {
  const orders = await startOrders()
  const client = startClient(orders)
  const page = render(createElement(Live, { client }), createElement(Live, { client }))
  await until(() => expect(page.text()).toBe('[aopen][aopen]'))
  await until(() => orders.open === 1)
  orders.put({ id: 'b', state: 'paid' })
  await until(() => expect(page.text()).toBe('[aopen,bpaid][aopen,bpaid]'))
  expect(orders.asked('/api/orders/stream')).toHaveLength(1)
  expect(orders.asked('/api/orders')).toHaveLength(1)
  page.unmount()
  await until(() => orders.open === 0, 'the stream to be closed')
})

test('and shows why it cannot be had', async () => {
  const orders = await startOrders((_, response) => response.writeHead(404).end())
  const page = render(createElement(Live, { client: startClient(orders) }))
  await until(() => expect(page.text()).toBe('[http]'))
})

test('the fetcher shares what is in flight, also with what is not SWR', async () => {
  const orders = await startOrders()
  const client = startClient(orders)
  orders.hold()
  const page = render(createElement(Fetched, { client }), createElement(Fetched, { client }))
  await until(() => orders.waiting === 1)
  const other = client.json('/api/orders', undefined, { ttl: 0 })
  await until(() => client.stats().requests.shared > 0)
  orders.letGo()
  await until(() => expect(page.text()).toBe('[aopen][aopen]'))
  expect(await other).toEqual(orders.list())
  expect(orders.asked('/api/orders')).toHaveLength(1)
})

test('a mutate reaches the server, however soon', async () => {
  const orders = await startOrders()
  const client = startClient(orders)
  let mutate = () => {}
  const page = render(
    createElement(Fetched, {
      client,
      onMutate: (given) => {
        mutate = given
      },
    }),
  )
  await until(() => expect(page.text()).toBe('[aopen]'))
  orders.put({ id: 'a', state: 'sent' })
  mutate()
  await until(() => expect(page.text()).toBe('[asent]'))
})
