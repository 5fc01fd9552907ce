import { defineChannel, type StreamEvent } from 'millrace'

// A channel describes live data. It opens nothing: the first component that uses it does, and the others join.

export interface User {
  id: string
  name: string
}

type BoardEvent =
  | StreamEvent<'join', User>
  | StreamEvent<'leave', { id: string }>
  | StreamEvent<'roster', { users: User[] }>

/** Who is here: a snapshot of everybody, then joins and leaves. */
export const board = defineChannel<User[], BoardEvent>({
  key: ['board'],
  snapshot: '/api/board/users',
  stream: '/api/board/stream',
  fromSnapshot: (body) => (body as { users: User[] }).users,
  reduce(users, event) {
    if (event.type === 'roster') return event.data.users
    const others = users.filter(({ id }) => id !== event.data.id)
    return event.type === 'join' ? [...others, event.data] : others
  },
})

export interface Grain {
  symbol: string
  /** The first price of the day, which for this page is when it was opened. */
  first: number
  price: number
}

type PriceEvent = StreamEvent<'price', { symbol: string; price: number }>

/** The corn exchange: a few hundred prices a second, and a render for each frame at most. */
export const ticker = defineChannel<Record<string, Grain>, PriceEvent>({
  key: ['ticker'],
  stream: '/api/ticker/stream',
  initial: {},
  reduce(grains, { data: { symbol, price } }) {
    const first = grains[symbol]?.first ?? price
    return { ...grains, [symbol]: { symbol, first, price } }
  },
})
