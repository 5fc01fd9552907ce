import { afterEach, describe, expect, test } from 'vitest'
import * as axios from '../../examples/recipes/axios'
import * as ky from '../../examples/recipes/ky'
import { closeServers } from '../support/http-server'
import { until } from '../support/until'
import { closeClients, startClient, startOrders } from './orders-server'

afterEach(closeClients)
afterEach(closeServers)

const clients = {
  ky(...given: Parameters<typeof ky.createApi>) {
    const api = ky.createApi(...given)
    return {
      get: (path: string, signal?: AbortSignal) => api.get(path, signal ? { signal } : {}).json<unknown>(),
      post: (path: string, body: unknown) => api.post(path, { json: body }).json<unknown>(),
    }
  },
  axios(...given: Parameters<typeof axios.createApi>) {
    const api = axios.createApi(...given)
    return {
      get: async (path: string, signal?: AbortSignal) => (await api.get(path, signal ? { signal } : {})).data,
      post: async (path: string, body: unknown) => (await api.post(path, body)).data,
    }
  },
}

describe.each(['ky', 'axios'] as const)('%s on client.fetch', (name) => {
  async function start(...given: Parameters<typeof startOrders>) {
    const orders = await startOrders(...given)
    let token = 'old'
    const client = startClient(orders, {
      headers: () => ({ authorization: token }),
      onUnauthorized() {
        token = 'new'
        return true
      },
    })
    return { orders, client, api: clients[name](client, orders.server.origin) }
  }

  test('makes one request of equal ones that are in flight, and each caller has its answer', async () => {
    const { orders, api } = await start()
    orders.hold()
    const answers = Promise.all([1, 2, 3].map(() => api.get('api/orders')))
    await until(() => orders.waiting > 0)
    orders.letGo()
    expect(await answers).toEqual([orders.list(), orders.list(), orders.list()])
    expect(orders.asked('/api/orders')).toHaveLength(1)
  })

  test('an abort is its own caller’s alone', async () => {
    const { orders, api } = await start()
    orders.hold()
    const controller = new AbortController()
    const aborted = api.get('api/orders', controller.signal)
    const other = api.get('api/orders')
    const rejected = expect(aborted).rejects.toThrow()
    await until(() => orders.waiting > 0)
    controller.abort()
    await rejected
    orders.letGo()
    expect(await other).toEqual(orders.list())
    expect(orders.asked('/api/orders')).toHaveLength(1)
  })

  test('sends a body, and sends it again after a refresh of the token', async () => {
    const { orders, client, api } = await start(({ headers }, response) => {
      if (headers.authorization === 'new') return false
      response.writeHead(401).end()
      return true
    })
    const order = { id: 'b', state: 'open' }
    expect(await api.post('api/orders', order)).toEqual(order)
    expect(orders.asked('/api/orders').map(({ method, body }) => `${method} ${body}`)).toEqual([
      `POST ${JSON.stringify(order)}`,
      `POST ${JSON.stringify(order)}`,
    ])
    expect(client.stats().requests.sent).toBe(2)
  })

  test('rejects with its own error for an answer that is none', async () => {
    const { api } = await start((_, response) => response.writeHead(404).end())
    await expect(api.get('api/orders')).rejects.toMatchObject(
      name === 'ky'
        ? { name: 'HTTPError', response: { status: 404 } }
        : { name: 'AxiosError', response: { status: 404 } },
    )
  })
})

test('ky leaves retries to the client, which makes each of them once', async () => {
  const orders = await startOrders((_, response) => response.writeHead(503).end())
  const api = ky.createApi(startClient(orders), orders.server.origin)
  await expect(api.get('api/orders').json()).rejects.toMatchObject({ name: 'HTTPError', response: { status: 503 } })
  expect(orders.server.requests).toHaveLength(3)
})
