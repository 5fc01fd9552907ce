import type { Client } from 'millrace'
import { afterEach, expect, test, vi } from 'vitest'
import { createSessionClient } from '../../examples/recipes/auth'
import { orders as channel } from '../../examples/recipes/orders'
import { closeServers } from '../support/http-server'
import { until } from '../support/until'
import { startOrders } from './orders-server'

const clients: Client[] = []

afterEach(() => {
  for (const client of clients.splice(0)) client.close()
  vi.restoreAllMocks()
})
afterEach(closeServers)

/** A server that takes one token at a time, and gives a new one at `/api/token` unless the session is over. */
async function start(token = 'token-1', { stale = false } = {}) {
  vi.spyOn(console, 'warn').mockImplementation(() => {})
  let valid = 1
  let sessionOver = false
  const orders = await startOrders(({ url, headers }, response) => {
    if (url === '/api/token') {
      if (sessionOver) response.writeHead(403).end()
      else response.writeHead(200).end(JSON.stringify({ token: `token-${stale ? 0 : valid}` }))
      return true
    }
    if (headers.authorization === `Bearer token-${valid}`) return false
    response.writeHead(401).end()
    return true
  })
  const onSignedOut = vi.fn()
  const client = createSessionClient(orders.server.origin, { user: 'ann', token }, onSignedOut)
  clients.push(client)
  const renewals = () => orders.asked('/api/token').length
  return {
    orders,
    client,
    renewals,
    onSignedOut,
    expire: () => {
      valid += 1
    },
    endSession: () => {
      sessionOver = true
    },
  }
}

test('one refresh serves the stream, its snapshot and every fetch that was refused', async () => {
  const { orders, client, renewals } = await start('expired')
  client.subscribe(channel, {})
  const answers = await Promise.all([
    client.json('/api/orders', undefined, { ttl: 0, dedupe: false }),
    client.fetch('/api/orders').then((response) => response.status),
    client.fetch('/api/orders', { method: 'POST', body: '{"id":"b","state":"open"}' }).then(({ status }) => status),
  ])
  expect(answers).toEqual([expect.any(Array), 200, 201])
  await until(() => client.getState(channel).status === 'live')
  expect(renewals()).toBe(1)
  expect(orders.asked('/api/token')[0]).toMatchObject({ method: 'POST', headers: {} })
  expect(orders.asked('/api/token')[0]?.headers.authorization).toBeUndefined()
})

test('a stream that is dropped after its token has expired comes back with a new one, and misses nothing', async () => {
  const { orders, client, renewals, expire } = await start()
  const seen: string[] = []
  client.subscribe(channel, { next: ({ data }) => seen.push(data.state) })
  await until(() => client.getState(channel).status === 'live')
  orders.put({ id: 'a', state: 'paid' })
  await until(() => seen.length === 1)
  expire()
  orders.drop()
  orders.put({ id: 'a', state: 'sent' })
  await until(() => expect(seen).toEqual(['paid', 'sent']))
  expect(renewals()).toBe(1)
  expect(orders.asked('/api/orders/stream').at(-1)?.headers).toMatchObject({
    authorization: 'Bearer token-2',
    'last-event-id': '1',
  })
})

test('the end of the session is told once, and nobody asks on', async () => {
  const { orders, client, renewals, onSignedOut, endSession } = await start('expired')
  endSession()
  client.subscribe(channel, {})
  await expect(client.json('/api/orders')).rejects.toMatchObject({ code: 'unauthorized', status: 401 })
  await until(() => client.getState(channel).status === 'failed')
  expect(client.getState(channel).error).toMatchObject({ code: 'unauthorized' })
  await expect(client.json('/api/orders')).rejects.toMatchObject({ code: 'unauthorized' })
  const { length } = orders.server.requests
  expect(renewals()).toBe(1)
  expect(onSignedOut).toHaveBeenCalledTimes(1)
  await new Promise((resolve) => setTimeout(resolve, 300))
  expect(orders.server.requests).toHaveLength(length)
})

test('a token that is refused again at once is no loop', async () => {
  const { orders, client, renewals } = await start('expired', { stale: true })
  await expect(client.json('/api/orders')).rejects.toMatchObject({ code: 'unauthorized' })
  expect(renewals()).toBe(1)
  expect(orders.asked('/api/orders')).toHaveLength(2)
})
