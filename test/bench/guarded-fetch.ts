import { unlimitedClient } from './clients'
import { compare } from './compare'
import type { Contender, Contenders } from './contender'
import { startCpuTime } from './cpu-time'
import { microseconds, type Row, rowOf } from './table'

const CALLS = 500
const TIMEOUT = 15_000

export const contenders: Contenders = {
  'bare fetch': (origin) => timed(origin, async (url) => (await fetch(url)).json()),

  /** The parts that both have: breaker, concurrency with a queue, and a timeout. */
  async cockatiel(origin) {
    const { bulkhead, circuitBreaker, ConsecutiveBreaker, handleAll, TimeoutStrategy, timeout, wrap } = await import(
      'cockatiel'
    )
    const policy = wrap(
      circuitBreaker(handleAll, { halfOpenAfter: 30_000, breaker: new ConsecutiveBreaker(5) }),
      bulkhead(6, 100),
      timeout(TIMEOUT, TimeoutStrategy.Aggressive),
    )
    return timed(origin, (url) => policy.execute(async ({ signal }) => (await fetch(url, { signal })).json()))
  },

  async 'millrace fetch'(origin) {
    const client = await unlimitedClient()
    return timed(origin, async (url) => (await client.fetch(url)).json())
  },
}

export async function guardedFetch(origin: string): Promise<Row[]> {
  const all = await compare(import.meta.url, Object.keys(contenders), { origin, rounds: 15, warmUps: 3, seconds: 20 })
  const row = (against: string) =>
    rowOf(all, 'perCall', { what: 'a fetch, body read', ours: 'millrace fetch', against, show: microseconds })
  return [row('bare fetch'), row('cockatiel')]
}

function timed(origin: string, ask: (url: string) => Promise<unknown>): Contender {
  return {
    async round() {
      const cpuTime = startCpuTime()
      for (let call = 0; call < CALLS; call += 1) await ask(`${origin}/answer?n=${call}`)
      return { perCall: (cpuTime() * 1_000) / CALLS }
    },
  }
}
