import { unlimitedClient } from './clients'
import { compare } from './compare'
import type { Contender, Contenders } from './contender'
import { startCpuTime } from './cpu-time'
import { nanoseconds, type Row, rowOf } from './table'

const CALLS = 100_000
const HOUR = 3_600_000
const urls = Array.from({ length: 100 }, (_, n) => `https://example.com/api/users/${n}`)
const answerOf = (url: string) => ({ url, name: 'Ada', roles: ['admin', 'editor'] })

export const contenders: Contenders = {
  'async Map.get': () => {
    const known = new Map(urls.map((url) => [url, answerOf(url)]))
    return timed(async (url) => known.get(url))
  },

  async 'millrace json'() {
    const fetch = async (url: RequestInfo | URL) => Response.json(answerOf(String(url)))
    const client = await unlimitedClient({ fetch, cache: { ttl: HOUR } })
    return timed((url) => client.json(url))
  },

  /** SWR answers from its cache in hooks only: this is the part of one that looks the key up, in an async function. */
  async 'SWR, its cache alone'() {
    const { mutate, SWRConfig, unstable_serialize: serialize } = await import('swr')
    const { cache } = SWRConfig.defaultValue
    for (const url of urls) await mutate(url, answerOf(url), false)
    return timed(async (url) => cache.get(serialize(url))?.data)
  },

  async 'TanStack fetchQuery'() {
    const { QueryClient } = await import('@tanstack/query-core')
    const client = new QueryClient()
    return timed((url) =>
      client.fetchQuery({ queryKey: [url], queryFn: async () => answerOf(url), staleTime: HOUR, gcTime: HOUR }),
    )
  },
}

export async function cachedJson(): Promise<Row[]> {
  const all = await compare(import.meta.url, Object.keys(contenders), { rounds: 15, warmUps: 2, seconds: 20 })
  const row = (against: string, limit?: Row['limit']) =>
    rowOf(all, 'perCall', { what: 'cached JSON, a call', ours: 'millrace json', against, show: nanoseconds, limit })
  return [
    row('async Map.get', ['≤', 4]),
    // At least four times as fast.
    row('TanStack fetchQuery', ['≤', 0.25]),
    row('SWR, its cache alone'),
  ]
}

async function timed(ask: (url: string) => Promise<unknown>): Promise<Contender> {
  for (const url of urls) await ask(url)
  return {
    async round() {
      const cpuTime = startCpuTime()
      for (let call = 0; call < CALLS; call += 1) await ask(urls[call % urls.length] as string)
      return { perCall: (cpuTime() * 1e6) / CALLS }
    },
  }
}
