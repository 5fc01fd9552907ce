import type { Client, MillraceError } from 'millrace'
import useSWR, { type SWRResponse } from 'swr'
import useSWRSubscription, { type SWRSubscriptionOptions, type SWRSubscriptionResponse } from 'swr/subscription'
import { type Order, orders } from './orders.ts'

// When components read with SWR. `fetcherOf(client)` goes into `useSWR` or `<SWRConfig value={{ fetcher }}>`.
// `useLiveOrders` is `useSWRSubscription` fed by a channel, for code that expects its result: new code can use
// `useChannel` of `millrace/react`, which knows the status too.

/** `ttl: 0`, because SWR is the cache already: a `mutate()` has to reach the server. */
export const fetcherOf =
  (client: Client) =>
  <T>(url: string): Promise<T> =>
    client.json<T>(url, undefined, { ttl: 0 })

export const useOrders = (client: Client): SWRResponse<Order[], MillraceError> =>
  useSWR('/api/orders', fetcherOf(client)<Order[]>)

export const useLiveOrders = (client: Client): SWRSubscriptionResponse<Order[], MillraceError> =>
  useSWRSubscription(orders.key, (_key: string, { next }: SWRSubscriptionOptions<Order[], MillraceError>) => {
    const subscription = client.subscribe(
      orders,
      {
        state({ error, data }) {
          if (error || data) next(error, data)
        },
      },
      { delivery: 'frame', label: 'useLiveOrders' },
    )
    return subscription.unsubscribe
  })
