import { defineChannel, type StreamEvent } from 'millrace'

// A channel describes live data and opens nothing: the first component that asks for it does, the others join.

export interface User {
  id: string
  name: string
}

type BoardEvent =
  | StreamEvent<'join', User>
  | StreamEvent<'leave', { id: string }>
  | StreamEvent<'roster', { users: User[] }>

/** Who is on the board: a snapshot of everybody, then who comes and goes. */
export const board = defineChannel<User[], BoardEvent>({
  key: 'board',
  stream: '/api/board/stream',
  snapshot: '/api/board/users',
  fromSnapshot: (body) => (body as { users: User[] }).users,
  reduce(users, event) {
    if (event.type === 'roster') return event.data.users
    const others = users.filter(({ id }) => id !== event.data.id)
    return event.type === 'join' ? [...others, event.data] : others
  },
  // The server's heartbeat comes every 15 s. A proxy in between may keep a dead connection open: silence is noticed.
  idleTimeout: 20_000,
})

export interface Price {
  /** The first one that was seen. */
  from: number
  last: number
}

/** The corn exchange: the prices of a few grains, some hundred a second. */
export const ticker = defineChannel<Record<string, Price>, StreamEvent<'price', { symbol: string; price: number }>>({
  key: 'ticker',
  stream: '/api/ticker/stream',
  initial: {},
  reduce: (prices, { data: { symbol, price } }) => ({
    ...prices,
    [symbol]: { from: prices[symbol]?.from ?? price, last: price },
  }),
  // The exchange is never quiet for as long as this.
  idleTimeout: 5_000,
})
