import { setTimeout as wait } from 'node:timers/promises'
import { afterEach, expect, test } from 'vitest'
import { orders as channel } from '../../examples/recipes/orders'
import { closeServers } from '../support/http-server'
import { until } from '../support/until'
import { closeClients, startClient, startOrders } from './orders-server'

afterEach(closeClients)
afterEach(closeServers)

test.each(['refresh', 'invalidate'] as const)(
  '%s: what is asked for after a change is not answered from before it',
  async (how) => {
    const orders = await startOrders()
    const client = startClient(orders)
    client.subscribe(channel, {})
    await until(() => client.getState(channel).status === 'live')
    orders.hold()
    const first = client.refresh(channel)
    await until(() => orders.waiting === 1)
    orders.put({ id: 'a', state: 'paid' }, { told: false })
    const second = how === 'refresh' ? client.refresh(channel) : client.invalidate(['orders'])
    await wait(50)
    orders.letGo()
    await Promise.all([first, second])
    await wait(200)
    expect(client.getState(channel).data).toEqual(orders.list())
  },
)

test('a token renewal that could not reach its server does not end a stream for good', async () => {
  let token = 'old'
  let reachable = false
  const orders = await startOrders(({ headers }, response) => {
    if (headers.authorization === 'Bearer new') return false
    response.writeHead(401).end()
    return true
  })
  const client = startClient(orders, {
    headers: () => ({ authorization: `Bearer ${token}` }),
    onUnauthorized() {
      if (!reachable) throw new TypeError('fetch failed')
      token = 'new'
      return true
    },
  })
  client.subscribe(channel, {})
  await until(() => client.getState(channel).error)
  reachable = true
  await until(() => client.getState(channel).status === 'live', 'live')
})
