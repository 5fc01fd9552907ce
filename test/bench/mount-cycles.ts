import { setTimeout as sleep } from 'node:timers/promises'
import { settledHeap } from '../support/heap'
import { memoryFetch, unlimitedClient } from './clients'
import { compare } from './compare'
import type { Contender, Contenders } from './contender'
import { kilobytes, type Row } from './table'

const CYCLES = 10_000
const CHANNELS = 100
const GRACE = 1
const listener = (n: number) => () => void n

export const contenders: Contenders = {
  async 'millrace client'() {
    const { defineChannel } = await import('millrace')
    const fetch = memoryFetch((write) => write('id: 1\ndata: {"n":1}\n\n'))
    const client = await unlimitedClient({ fetch })
    return measured((n) => {
      const stream = `https://example.com/users/${n}`
      const channel = defineChannel({ key: ['user', n], stream, grace: GRACE })
      return client.subscribe(channel, { state: listener(n) }).unsubscribe
    })
  },

  async 'TanStack QueryObserver'() {
    const { QueryClient, QueryObserver } = await import('@tanstack/query-core')
    const client = new QueryClient()
    return measured((n) => {
      const queryFn = async () => ({ n: 1 })
      const observer = new QueryObserver(client, { queryKey: ['user', n], queryFn })
      return observer.subscribe(listener(n))
    })
  },
}

export async function mountCycles(): Promise<Row[]> {
  const all = await compare(import.meta.url, Object.keys(contenders), { rounds: 2, fresh: true, seconds: 15 })
  const row = (name: string) => ({ after: all.spread(name, 'after'), before: all.spread(name, 'before') })
  const ours = row('millrace client')
  const theirs = row('TanStack QueryObserver')
  const growth = all.spread('millrace client', 'growth')
  return [
    {
      what: `heap after ${CYCLES.toLocaleString('en')} mounts and unmounts`,
      ours: kilobytes(ours.after),
      against: 'before them',
      theirs: kilobytes(ours.before),
      value: growth,
      limit: ['≤', 1.01],
      failure: all.failure('millrace client'),
    },
    {
      what: 'the same of TanStack QueryObserver',
      ours: kilobytes(theirs.after),
      against: 'before them',
      theirs: kilobytes(theirs.before),
      value: all.spread('TanStack QueryObserver', 'growth'),
      failure: all.failure('TanStack QueryObserver'),
    },
  ]
}

function measured(mount: (n: number) => () => void): Contender {
  return {
    async round() {
      // Caches fill, code is compiled, and collections forget what is not called any more: a heap that falls by that
      // would hide a leak.
      for (let warmUp = 0; warmUp < 3; warmUp += 1) {
        await cycle(CYCLES)
        await settledHeap()
      }
      const before = await settledHeap()
      await cycle(CYCLES)
      const after = await settledHeap()
      return { before, after, growth: after / before }
    },
  }

  /** Half of them are mounted again within the grace, the others connect anew. */
  async function cycle(count: number): Promise<void> {
    for (let n = 0; n < count; n += 1) {
      const unmount = mount(n % CHANNELS)
      await undefined
      unmount()
      if (n % (2 * CHANNELS) === 0) await sleep(5 * GRACE)
    }
    await sleep(20 * GRACE)
  }
}
