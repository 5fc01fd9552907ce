import { QueryClient, type QueryClientConfig, QueryObserver } from '@tanstack/react-query'
import { afterEach, describe, expect, test } from 'vitest'
import { orders as mirrored } from '../../examples/recipes/orders'
import { followOrders, ordersQuery } from '../../examples/recipes/tanstack-query'
import * as mirror from '../../examples/recipes/tanstack-query-mirror'
import { closeServers } from '../support/http-server'
import { until } from '../support/until'
import { closeClients, type OrdersServer, startClient, startOrders } from './orders-server'

const cleanups: (() => void)[] = []

afterEach(() => {
  for (const clean of cleanups.splice(0)) clean()
})
afterEach(closeClients)
afterEach(closeServers)

const defaults: QueryClientConfig = { defaultOptions: { queries: { retry: false } } }

function makeQueries(): QueryClient {
  const queries = new QueryClient(defaults)
  cleanups.push(() => queries.clear())
  return queries
}

/** What `useQuery` does, without React. */
function observe(queries: QueryClient, options: { queryKey: unknown[] } | object): QueryObserver {
  const observer = new QueryObserver(queries, options as never)
  cleanups.push(observer.subscribe(() => {}))
  return observer
}

const lists = (orders: OrdersServer) => orders.asked('/api/orders').length
const streams = (orders: OrdersServer) => orders.asked('/api/orders/stream').length

describe('queries that follow a stream', () => {
  async function start() {
    const orders = await startOrders()
    const client = startClient(orders)
    const queries = makeQueries()
    const options = ordersQuery(client)
    const follow = () => cleanups.push(followOrders(client, queries))
    const cached = () => queries.getQueryData(options.queryKey)
    return { orders, client, queries, options, follow, cached }
  }

  async function startFollowed() {
    const started = await start()
    observe(started.queries, started.options)
    observe(started.queries, started.options)
    started.follow()
    const { orders, queries } = started
    await until(() => orders.open === 1 && queries.isFetching() === 0 && started.cached())
    await until(() => lists(orders) >= 2, 'the list, asked for once the stream was open')
    await until(() => queries.isFetching() === 0)
    return started
  }

  test('are patched by events, without a request', async () => {
    const { orders, cached } = await startFollowed()
    const before = lists(orders)
    orders.put({ id: 'b', state: 'open' })
    orders.put({ id: 'a', state: 'paid' })
    await until(() => expect(cached()).toEqual(orders.list()))
    expect(lists(orders)).toBe(before)
    expect(streams(orders)).toBe(1)
  })

  test('take no answer that is older than an event', async () => {
    const { orders, queries, options, cached } = await startFollowed()
    orders.hold()
    void queries.invalidateQueries(options)
    await until(() => orders.waiting === 1)
    orders.put({ id: 'a', state: 'sent' })
    await until(() => orders.waiting === 2, 'the list, asked for again')
    orders.letGo()
    await until(() => queries.isFetching() === 0)
    expect(cached()).toEqual([{ id: 'a', state: 'sent' }])
  })

  test('nor when it is the first answer', async () => {
    const { orders, queries, options, follow, cached } = await start()
    orders.hold()
    observe(queries, options)
    await until(() => orders.waiting === 1)
    follow()
    await until(() => orders.waiting >= 2, 'the list, asked for once the stream was open')
    orders.put({ id: 'a', state: 'sent' })
    await until(() => orders.waiting >= 3, 'the list, asked for after the event')
    orders.letGo()
    await until(() => queries.isFetching() === 0 && cached())
    expect(cached()).toEqual([{ id: 'a', state: 'sent' }])
  })

  test('are asked for again after the stream was away', async () => {
    const { orders, cached } = await startFollowed()
    orders.put({ id: 'a', state: 'paid' }, { told: false })
    orders.drop()
    await until(() => expect(cached()).toEqual([{ id: 'a', state: 'paid' }]))
    expect(streams(orders)).toBe(2)
  })

  test('are updated once for all events of a frame', async () => {
    const { orders, queries, cached } = await startFollowed()
    let updates = 0
    cleanups.push(
      queries.getQueryCache().subscribe((event) => {
        if (event.type === 'updated' && event.action.type === 'success') updates += 1
      }),
    )
    for (let n = 0; n < 100; n += 1) orders.put({ id: `${n}`, state: 'open' })
    await until(() => expect(cached()).toHaveLength(101))
    expect(updates).toBeLessThan(20)
  })

  test('cost a few requests at most for a burst of events during a fetch', async () => {
    const { orders, queries, options, cached } = await startFollowed()
    const before = lists(orders)
    orders.hold()
    void queries.invalidateQueries(options)
    await until(() => orders.waiting === 1)
    for (let n = 0; n < 100; n += 1) orders.put({ id: `${n}`, state: 'open' })
    await until(() => orders.waiting >= 2)
    orders.letGo()
    await until(() => expect(cached()).toHaveLength(101))
    expect(lists(orders) - before).toBeLessThan(10)
  })
})

describe('a query that mirrors a channel', () => {
  async function start() {
    const orders = await startOrders()
    const client = startClient(orders)
    const queries = makeQueries()
    const options = mirror.ordersQuery(client)
    return { orders, client, queries, options, cached: () => queries.getQueryData(options.queryKey) }
  }

  test('has the list and every change, for one stream and one request', async () => {
    const { orders, client, queries, options, cached } = await start()
    cleanups.push(mirror.mirrorOrders(client, queries))
    await until(() => client.getState(mirrored).status === 'live' && cached())
    observe(queries, options)
    observe(queries, options)
    orders.put({ id: 'b', state: 'open' })
    await until(() => expect(cached()).toEqual(orders.list()))
    orders.drop()
    orders.put({ id: 'b', state: 'paid' })
    await until(() => expect(cached()).toEqual(orders.list()))
    expect(lists(orders)).toBe(1)
    expect(streams(orders)).toBe(2)
  })

  test('costs one request more when components ask before the stream is open', async () => {
    const { orders, client, queries, options, cached } = await start()
    observe(queries, options)
    observe(queries, options)
    cleanups.push(mirror.mirrorOrders(client, queries))
    await until(() => client.getState(mirrored).status === 'live' && queries.isFetching() === 0)
    orders.put({ id: 'b', state: 'open' })
    await until(() => expect(cached()).toEqual(orders.list()))
    expect(lists(orders)).toBeLessThanOrEqual(2)
    expect(streams(orders)).toBe(1)
  })

  test('asks the server when it is asked again', async () => {
    const { orders, client, queries, options, cached } = await start()
    cleanups.push(mirror.mirrorOrders(client, queries))
    await until(() => client.getState(mirrored).status === 'live' && cached())
    observe(queries, options)
    orders.put({ id: 'a', state: 'paid' }, { told: false })
    await queries.invalidateQueries(options)
    expect(cached()).toEqual([{ id: 'a', state: 'paid' }])
  })

  test('can be prefetched without a mirror, and then opens no stream', async () => {
    const { orders, queries, options } = await start()
    expect(await queries.fetchQuery(options)).toEqual(orders.list())
    expect(streams(orders)).toBe(0)
  })

  test('fails with the reason of the channel', async () => {
    const orders = await startOrders((_, response) => response.writeHead(404).end())
    const client = startClient(orders)
    const queries = makeQueries()
    cleanups.push(mirror.mirrorOrders(client, queries))
    const observer = observe(queries, mirror.ordersQuery(client))
    await until(() => observer.getCurrentResult().status === 'error')
    expect(observer.getCurrentResult().error).toMatchObject({ code: 'http', status: 404 })
  })
})
