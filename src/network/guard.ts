/**
 * The runaway guard: counts what is asked just now, and refuses for a while when that is too much. No application needs
 * 100 fetches of one endpoint in 10 s, every loop does; one that goes on is refused for twice as long each time.
 */
import { type Endpoint, type Endpoints, type Refusal, refused, seconds, tell } from './endpoint'
import type { Step } from './request'
import type { NetworkContext } from './settings'

export const GUARD_WINDOW = 10_000
/** ms: no refusal is longer. */
export const LONGEST_REFUSAL = 300_000
/** ms without a loop after which the next one is the first again. */
const FORGOTTEN = 60_000

type Guarded = Pick<Endpoint, 'admitted' | 'refusal'>

/** Admits one request, or tells why not. */
export function admit(endpoint: Guarded, limit: number, now: number, who: string): Refusal | undefined {
  const last = endpoint.refusal
  if (now < last.until) return last
  if (limit === Infinity) return undefined
  const { admitted = [] } = endpoint
  // Looked through only when it is full: most endpoints never are.
  const lately = admitted.length < limit ? admitted : admitted.filter(({ at }) => now - at < GUARD_WINDOW)
  lately.push({ at: now, who })
  endpoint.admitted = lately
  if (lately.length <= limit) return undefined
  const before = now - last.until < FORGOTTEN ? last.ms : 0
  close(endpoint, now, Math.max(2 * before, GUARD_WINDOW), mostFrequent(lately.map((one) => one.who)))
  return endpoint.refusal
}

function close(endpoint: Guarded, now: number, wanted: number, who: string): void {
  const ms = Math.min(wanted, LONGEST_REFUSAL)
  endpoint.refusal = { until: now + ms, who, ms }
  endpoint.admitted = undefined
}

/** Of at least one. */
function mostFrequent(names: readonly string[]): string {
  const counts = new Map<string, number>()
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1)
  return [...counts].reduce((most, entry) => (entry[1] > most[1] ? entry : most))[0]
}

export interface Guard {
  readonly admit: Step
  /** Another tab refuses what is asked of this endpoint, for so many ms: so does this one. */
  refuse(endpoint: string, ms: number, who: string): void
  /** Cached answers of this endpoint are read in a loop. */
  looped(endpoint: string, reads: number, who: string): void
}

export function createGuard(context: NetworkContext, endpoints: Endpoints): Guard {
  const { clock, settings } = context

  return {
    async admit(request, next) {
      if (settings.flags.guard && request.kind !== 'background') {
        const { at, label, channel } = request
        const limit = settings.limits.fetchesPer10s
        const now = clock.elapsed()
        const wasClosed = now < at.refusal.until
        const refusal = admit(at, limit, now, label)
        if (refusal) {
          const { who, until } = refusal
          const ms = until - now
          const what = `was asked for over ${limit} times in 10 s, most often by "${who}": a loop? Refused for ${seconds(ms)}.`
          if (!wasClosed) {
            tell(context, 'runaway', at, what, { channel, subscriber: who, value: limit + 1, limit })
            context.onRefused(at.name, ms, who)
          }
          throw refused(context, 'runaway', at, what, ms)
        }
      }
      return next(request)
    },
    refuse(name, ms, who) {
      const endpoint = endpoints.of(name)
      const now = clock.elapsed()
      if (settings.flags.guard && settings.limits.fetchesPer10s < Infinity && now + ms > endpoint.refusal.until)
        close(endpoint, now, ms, who)
    },
    looped(name, reads, who) {
      const endpoint = endpoints.of(name)
      endpoint.loopedAt = clock.elapsed()
      const what = `was read over ${reads} times in 10 s, from the cache, the last time by "${who}": a loop?`
      tell(context, 'runaway', endpoint, what, { subscriber: who, value: reads + 1, limit: reads })
    },
  }
}
