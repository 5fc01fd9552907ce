import { type QueryClient, queryOptions } from '@tanstack/react-query'
import { type Client, MillraceError } from 'millrace'
import { type Order, orders } from './orders.ts'

// When a channel has both the list and its stream, and components should read it with `useQuery`: the channel merges
// the two, and the query cache mirrors what it has. `mirrorOrders` is called once, beside the QueryClient.

export const ordersQuery = (client: Client) =>
  queryOptions({
    queryKey: ['orders'],
    async queryFn(): Promise<Order[]> {
      await client.refresh(orders)
      const { data, error } = client.getState(orders)
      if (!data) throw error ?? new MillraceError('closed', 'The orders were left before they came.')
      return data
    },
    staleTime: Number.POSITIVE_INFINITY, // the mirror keeps it fresh
    retry: false, // the client does
  })

export function mirrorOrders(client: Client, queries: QueryClient): () => void {
  const { queryKey } = ordersQuery(client)
  return client.subscribe(
    orders,
    { state: ({ data }) => queries.setQueryData(queryKey, data) }, // `undefined` changes nothing
    { delivery: 'frame', label: 'orders in TanStack Query' },
  ).unsubscribe
}
