import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { Client } from 'millrace'
import { unlimitedClient } from './clients'
import { compare } from './compare'
import type { Contender, Contenders } from './contender'
import { startCpuTime } from './cpu-time'
import { nanoseconds, type Row, rowOf } from './table'

const CALLS = 100_000
const HOUR = 3_600_000
const SHAPES = ['json(url, {})', 'json(new URL)', 'json(url, { headers })', 'json with a schema', 'json(Request)']
const urls = Array.from({ length: 100 }, (_, n) => `https://example.com/api/users/${n}`)
const answerOf = (url: string) => ({ url, name: 'Ada', roles: ['admin', 'editor'] })

const HEADERS = { accept: 'application/json' }
const anything: StandardSchemaV1<unknown, unknown> = {
  '~standard': { version: 1, vendor: 'bench', validate: (value) => ({ value }) },
}

/** A call costs the same whatever its shape. */
async function inShape(ask: (client: Client, url: string) => Promise<unknown>): Promise<Contender> {
  const fetch = async (input: RequestInfo | URL) =>
    Response.json(answerOf(input instanceof Request ? input.url : String(input)))
  const client = await unlimitedClient({
    fetch,
    cache: { ttl: HOUR },
    baseUrl: 'https://example.com',
    headers: { authorization: 'Bearer token' },
  })
  return timed((url) => ask(client, url))
}

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

  'json(url, {})': () => inShape((client, url) => client.json(url, {})),
  'json(new URL)': () => {
    const parsed = new Map(urls.map((url) => [url, new URL(url)]))
    return inShape((client, url) => client.json(parsed.get(url) as URL))
  },
  'json(url, { headers })': () => inShape((client, url) => client.json(url, { headers: HEADERS })),
  'json with a schema': () => inShape((client, url) => client.json(url, undefined, { schema: anything })),
  'json(Request)': () => {
    const made = new Map(urls.map((url) => [url, new Request(url)]))
    return inShape((client, url) => client.json(made.get(url) as Request))
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
    ...SHAPES.map((ours) =>
      rowOf(all, 'perCall', {
        what: `cached, ${ours}`,
        ours,
        against: 'TanStack fetchQuery',
        show: nanoseconds,
        limit: ['≤', 1],
      }),
    ),
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
