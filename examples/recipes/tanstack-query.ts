import { type QueryClient, queryOptions } from '@tanstack/react-query'
import { type Client, defineChannel } from 'millrace'
import { type Order, type OrderEvent, withOrder } from './orders.ts'

// When TanStack Query holds the list, and a stream tells what changes in it: events patch the list, or have it asked for
// again. Components use `useQuery(ordersQuery(client))` as ever; `followOrders` is called once, beside the QueryClient.

const changes = defineChannel<Order, OrderEvent>({ key: ['orders', 'changes'], stream: '/api/orders/stream' })

export const ordersQuery = (client: Client) =>
  queryOptions({
    queryKey: ['orders'],
    async queryFn({ signal }): Promise<Order[]> {
      const response = await client.fetch('/api/orders', { signal })
      if (!response.ok) throw new Error(`The orders cannot be had: ${response.status}`)
      return response.json()
    },
    staleTime: Number.POSITIVE_INFINITY, // the stream tells when
  })

export function followOrders(client: Client, queries: QueryClient): () => void {
  const { queryKey } = ordersQuery(client)
  let before = ''

  /** Cancels first: by itself a refetch joins the first fetch, whose answer may be older than what we know. */
  async function askAgain(): Promise<void> {
    await queries.cancelQueries({ queryKey })
    await queries.invalidateQueries({ queryKey })
  }

  const following = client.subscribe(
    changes,
    {
      // All of a frame at once: a burst of events is one render, and at most one request.
      batch(events) {
        if (queries.isFetching({ queryKey }) > 0) void askAgain()
        else
          queries.setQueryData(queryKey, (list) => list && events.reduce((all, { data }) => withOrder(all, data), list))
      },
      // While the stream was not open, something may have been missed.
      state({ status }) {
        if (status === 'live' && before !== 'live') void askAgain()
        before = status
      },
    },
    { delivery: 'frame', label: 'orders in TanStack Query' },
  )
  return following.unsubscribe
}
