import { settledHeap } from '../support/heap'
import { memoryFetch, unlimitedClient } from './clients'
import { compare } from './compare'
import type { Contender, Contenders } from './contender'
import { bytes, type Row, rowOf } from './table'

const SUBSCRIBERS = 10_000
const CHANNELS = 1_000

/** Each is a function of its own, as a component's is. */
const listener = (n: number) => () => void n

export const contenders: Contenders = {
  async 'millrace client'() {
    const { defineChannel } = await import('millrace')
    const client = await unlimitedClient({ fetch: memoryFetch() })
    const channels = Array.from({ length: CHANNELS }, (_, n) =>
      defineChannel({ key: ['user', n], stream: 'https://example.com/hub', initial: null }),
    )
    return measured((n) => client.subscribe(channels[n % CHANNELS]!, { state: listener(n) }))
  },

  async 'millrace client, polled'() {
    const { defineChannel } = await import('millrace')
    const client = await unlimitedClient({ fetch: async () => Response.json(null), interval: 3_600_000 })
    const channels = Array.from({ length: CHANNELS }, (_, n) =>
      defineChannel({ key: ['user', n], snapshot: 'https://example.com/hub' }),
    )
    return measured((n) => client.subscribe(channels[n % CHANNELS]!, { state: listener(n) }))
  },

  async 'TanStack QueryObserver'() {
    const { QueryClient, QueryObserver } = await import('@tanstack/query-core')
    const client = new QueryClient()
    const queries = Array.from({ length: CHANNELS }, (_, n) => ({ queryKey: ['user', n], enabled: false }))
    return measured((n) => {
      const observer = new QueryObserver(client, queries[n % CHANNELS]!)
      return [observer, observer.subscribe(listener(n))]
    })
  },
}

export async function idleSubscribers(): Promise<Row[]> {
  const all = await compare(import.meta.url, Object.keys(contenders), { rounds: 3, fresh: true, seconds: 15 })
  const against = 'TanStack QueryObserver'
  const row = (what: string, ours: string) =>
    rowOf(all, 'bytes', {
      what: `heap of an idle subscriber, ${CHANNELS.toLocaleString('en')} ${what}`,
      ours,
      against,
      show: bytes,
      limit: ['≤', 0.5],
    })
  return [row('channels', 'millrace client'), row('polled channels', 'millrace client, polled')]
}

function measured(subscribe: (n: number) => unknown): Contender {
  // What is made once is made now.
  const held = [subscribe(0)]
  return {
    async round() {
      const before = await settledHeap()
      for (let n = 1; n <= SUBSCRIBERS; n += 1) held.push(subscribe(n))
      const after = await settledHeap()
      return { bytes: (after - before) / SUBSCRIBERS, held: held.length }
    },
  }
}
