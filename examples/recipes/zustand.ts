import type { ChannelState, Client } from 'millrace'
import { create } from 'zustand'
import { type Order, orders } from './orders.ts'

// When a zustand store is where components look: the channel writes, selectors read. Whoever needs the orders live calls
// `followOrders` (in React: `useEffect(() => followOrders(client), [client])`); all of them share one connection.

interface Orders extends Pick<ChannelState<Order[]>, 'status' | 'error'> {
  orders: readonly Order[]
}

export const useOrders = create<Orders>()(() => ({ orders: [], status: 'idle', error: undefined }))

export const followOrders = (client: Client): (() => void) =>
  client.subscribe(
    orders,
    { state: ({ data = [], status, error }) => useOrders.setState({ orders: data, status, error }) },
    { delivery: 'frame', label: 'orders in zustand' },
  ).unsubscribe
