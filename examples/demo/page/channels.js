import { flag, listOf, number, object, shape, text } from './schema.js'

// A channel describes live data. It opens nothing: whoever subscribes does, and all of them share one connection.
const { defineChannel } = window.Millrace

const user = { id: text, name: text, joinedAt: number }

/** Who is on the board: a snapshot of everybody, then joins and leaves. */
export const board = defineChannel({
  key: 'board',
  snapshot: '/api/board/users',
  stream: '/api/board/stream',
  schema: object({ users: listOf(shape(user)) }),
  events: { join: object(user), leave: object({ id: text }), roster: object({ users: listOf(shape(user)) }) },
  fromSnapshot: (body) => body.users,
  // The same event twice changes nothing: a reducer beside a snapshot should be able to say that of itself.
  reduce(users, { type, data }) {
    const others = type === 'roster' ? [] : users.filter(({ id }) => id !== data.id)
    switch (type) {
      case 'join':
        return [...others, data]
      case 'leave':
        return others.length === users.length ? users : others
      case 'roster':
        return data.users
    }
  },
  // The server's heartbeat comes every 15 s: one that is 5 s late is not coming.
  idleTimeout: 20_000,
})

/** A price at a time. The state is the latest one; the page reads the events themselves. */
export const ticker = defineChannel({
  key: 'ticker',
  stream: '/api/ticker/stream',
  events: { price: object({ symbol: text, price: number, at: number }) },
  // The exchange is never quiet for as long as this.
  idleTimeout: 5_000,
})

/** One grain of them: a channel of its own, on the same connection. A reducer that returns what it got changes nothing. */
export const oats = defineChannel({
  key: 'oats',
  stream: '/api/ticker/stream',
  events: { price: object({ symbol: text, price: number, at: number }) },
  initial: null,
  reduce: (last, { data }) => (data.symbol === 'OATS' ? data.price : last),
  idleTimeout: 5_000,
})

/** One crawl. Its last event completes the channel, which then leaves its stream. */
export const crawl = (id) =>
  defineChannel({
    key: ['crawl', id],
    stream: `/api/crawl/${id}/stream`,
    events: {
      plan: object({ n: number, total: number }),
      page: object({ n: number, path: text, ok: flag, failed: number, bytes: number }),
      done: object({ n: number, ms: number }),
    },
    initial: { total: 0, fetched: 0, failed: 0, bytes: 0, latest: [], ms: undefined },
    reduce(progress, { type, data }) {
      switch (type) {
        case 'plan':
          return { ...progress, total: data.total }
        case 'page':
          return {
            ...progress,
            fetched: data.n,
            failed: data.failed,
            bytes: data.bytes,
            latest: [data, ...progress.latest].slice(0, 4),
          }
        case 'done':
          return { ...progress, ms: data.ms }
      }
    },
    until: ({ type }) => type === 'done',
    sequence: ({ data }) => data.n,
    idleTimeout: 20_000,
  })

/** What the server has counted itself: no stream, polled. */
export const server = defineChannel({ key: 'server', snapshot: '/api/server', interval: 1_000 })

/** Of that: the streams which the three frameworks share. */
export const openStreams = ({ connections: { board, ticker } }) => `${board} board, ${ticker} exchange`
