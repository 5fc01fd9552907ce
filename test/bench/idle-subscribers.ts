import { settledHeap } from '../support/heap'
import { memoryFetch, unlimitedClient } from './clients'
import { compare } from './compare'
import type { Contender, Contenders } from './contender'
import { bytes, type Row } from './table'

const SUBSCRIBERS = 10_000
const CHANNELS = 1_000

export const contenders: Contenders = {
  async 'millrace client'() {
    const { defineChannel } = await import('millrace')
    const client = await unlimitedClient({ fetch: memoryFetch() })
    return measured((n) => {
      // Like a component that describes its channel where it uses it.
      const channel = defineChannel({ key: ['user', n % CHANNELS], stream: 'https://example.com/hub', initial: null })
      return client.subscribe(channel, { state: () => void n })
    })
  },

  async 'TanStack QueryObserver'() {
    const { QueryClient, QueryObserver } = await import('@tanstack/query-core')
    const client = new QueryClient()
    for (let n = 0; n < CHANNELS; n += 1) client.setQueryData(['user', n], null)
    return measured((n) => {
      const observer = new QueryObserver(client, { queryKey: ['user', n % CHANNELS], enabled: false })
      return [observer, observer.subscribe(() => void n)]
    })
  },
}

export async function idleSubscribers(): Promise<Row[]> {
  const all = await compare(import.meta.url, Object.keys(contenders), { rounds: 3, fresh: true, seconds: 20 })
  const ours = 'millrace client'
  const against = 'TanStack QueryObserver'
  const figure = 'bytes'
  return [
    {
      what: `heap of an idle subscriber, ${CHANNELS.toLocaleString('en')} channels`,
      ours: bytes(all.spread(ours, figure)),
      against,
      theirs: bytes(all.spread(against, figure)),
      value: all.ratio(ours, against, figure),
      limit: ['≤', 0.5],
      failure: all.failure(ours) ?? all.failure(against),
    },
  ]
}

function measured(subscribe: (n: number) => unknown): Contender {
  // What is made once is made now.
  const held: unknown[] = [subscribe(0)]
  return {
    async round() {
      const before = await settledHeap()
      for (let n = 1; n <= SUBSCRIBERS; n += 1) held.push(subscribe(n))
      const after = await settledHeap()
      return { bytes: (after - before) / SUBSCRIBERS, held: held.length }
    },
  }
}
