import { defineChannel, type StreamEvent } from 'millrace'

// What the recipes beside it are about, in place of your own data: a list, and a stream of what changes in it.

export interface Order {
  id: string
  state: 'open' | 'paid' | 'sent'
}

export type OrderEvent = StreamEvent<'order', Order>

/** The list with one order put in, or in the place of the one before. */
export const withOrder = (list: readonly Order[], order: Order): Order[] =>
  [...list.filter(({ id }) => id !== order.id), order].sort((a, b) => a.id.localeCompare(b.id))

export const orders = defineChannel<Order[], OrderEvent>({
  key: ['orders'],
  stream: '/api/orders/stream',
  snapshot: '/api/orders',
  reduce: (list, { data }) => withOrder(list, data),
})
