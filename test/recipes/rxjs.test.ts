import { config, filter, firstValueFrom, lastValueFrom, map, merge, scan, take, toArray } from 'rxjs'
import { afterEach, expect, onTestFinished, test } from 'vitest'
import { orders as channel } from '../../examples/recipes/orders'
import { eventsOf, stateOf } from '../../examples/recipes/rxjs'
import { closeServers } from '../support/http-server'
import { until, within } from '../support/until'
import { closeClients, startClient, startOrders } from './orders-server'

afterEach(closeClients)
afterEach(closeServers)

async function start(...given: Parameters<typeof startOrders>) {
  const orders = await startOrders(...given)
  const client = startClient(orders)
  /** From now on an event is none that the snapshot knows already. */
  const live = () => until(() => client.getState(channel).status === 'live')
  return { orders, live, events: eventsOf(client, channel), states: stateOf(client, channel) }
}

test('events and state are observables of one connection', async () => {
  const { orders, live, events, states } = await start()
  const seen: string[] = []
  const all = merge(
    events.pipe(map(({ data }) => `event ${data.state}`)),
    states.pipe(
      filter(({ data }) => data !== undefined),
      map(({ data }) => `list ${data?.[0]?.state}`),
    ),
  ).subscribe((line) => seen.push(line))
  await live()
  await until(() => seen.includes('list open'))
  orders.put({ id: 'a', state: 'paid' })
  await until(() => seen.includes('event paid') && seen.includes('list paid'))
  expect(orders.asked('/api/orders/stream')).toHaveLength(1)
  expect(orders.asked('/api/orders')).toHaveLength(1)
  all.unsubscribe()
  await until(() => orders.open === 0, 'the stream to be closed, without another event')
})

test('operators that take enough close the stream', async () => {
  const { orders, live, events } = await start()
  const two = lastValueFrom(
    events.pipe(
      scan((count) => count + 1, 0),
      take(2),
      toArray(),
    ),
  )
  await live()
  for (const state of ['open', 'paid', 'sent'] as const) orders.put({ id: 'a', state })
  expect(await within(5_000, two, 'two events')).toEqual([1, 2])
  await until(() => orders.open === 0, 'the stream to be closed')
})

test('events fail with the channel, and its state completes with the reason', async () => {
  const { events, states } = await start((_, response) => response.writeHead(404).end())
  await expect(within(5_000, firstValueFrom(events), 'a failure')).rejects.toMatchObject({ code: 'http', status: 404 })
  expect(await within(5_000, lastValueFrom(states), 'the last state')).toMatchObject({ status: 'failed' })
})

test('an observer that throws starves nobody and is reported', async () => {
  const { orders, live, events } = await start()
  const seen: string[] = []
  const reported: unknown[] = []
  const note = (error: unknown) => reported.push(error)
  config.onUnhandledError = note
  onTestFinished(() => {
    config.onUnhandledError = null
  })
  const first = events.subscribe(() => {
    throw new Error('mine')
  })
  const second = events.subscribe(({ data }) => seen.push(data.state))
  await live()
  orders.put({ id: 'a', state: 'paid' })
  await until(() => seen.length === 1 && reported.length === 1)
  first.unsubscribe()
  second.unsubscribe()
})
