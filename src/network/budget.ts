/**
 * The budget of what nobody asks for just now: polls, reconnects, retries. A token bucket, `burst` at once and `perMinute`
 * in the long run. Taking never fails, it says how long to wait: moments are promised in the order in which they were
 * asked for, and each to one alone.
 */
import { configError } from '../primitives/errors'
import { type Bucket, type Endpoint, seconds, tell } from './endpoint'
import { wait } from './patience'
import { queueFull } from './queue'
import type { Step } from './request'
import type { NetworkContext } from './settings'

/** Head-room over what polls need by themselves, for jitter and the odd refresh. */
const HEADROOM = 1.25

const none: readonly number[] = []

export const newBucket = (): Bucket => ({ spent: 0, countedAt: 0, free: none })

/** ms to wait for the token that was taken. */
export function takeToken(bucket: Bucket, perMinute: number, burst: number, now: number): number {
  if (perMinute === Infinity || burst === Infinity) return 0
  if (bucket.free.length > 0) {
    const [soonest, ...others] = bucket.free.filter((at) => at > now)
    bucket.free = others
    if (soonest !== undefined) return soonest - now
  }
  const perMs = perMinute / 60_000
  bucket.spent = Math.max(0, bucket.spent - Math.max(0, now - bucket.countedAt) * perMs) + 1
  bucket.countedAt = now
  return Math.max(0, Math.ceil((bucket.spent - Math.max(burst, 1)) / perMs))
}

/** Gives back a token whose wait was broken off; `at` is the moment that was promised. */
export function giveBack(bucket: Bucket, at: number): void {
  bucket.free = [...bucket.free, at].sort((a, b) => a - b)
}

/** Background requests per minute. */
export function budgetOf({ settings }: Pick<NetworkContext, 'settings'>, { claims = new Set() }: Endpoint): number {
  let claimed = 0
  for (const claim of claims) claimed += claim()
  return Math.max(settings.limits.backgroundPerMinute, claimed * HEADROOM)
}

export const createBudget =
  (context: NetworkContext): Step =>
  async (request, next) => {
    const { clock, settings } = context
    const { kind, at, label, channel, signal } = request
    if (!settings.flags.guard || kind === 'foreground') return next(request)
    at[kind] ??= newBucket()
    const bucket = at[kind]
    const budget = budgetOf(context, at)
    if (Number.isNaN(budget)) throw configError(`a budget of ${at.name} that is a number`, 'NaN: look at its intervals')
    const { burst, queue } = settings.limits
    const now = clock.elapsed()
    const ms = takeToken(bucket, budget, kind === 'refresh' ? budget : Math.max(burst, at.claims?.size ?? 0), now)
    if (ms > 0) {
      const limit = Math.round(budget)
      const what = `has used its budget of ${limit} background requests a minute: "${label}" waits ${seconds(ms)}. Ask less often, or raise \`limits.backgroundPerMinute\`.`
      tell(context, 'request-rate', at, what, { channel, subscriber: label, value: limit + 1, limit })
      at.pacing++
      try {
        if (at.pacing > queue) throw queueFull(context, at, label)
        await wait(clock, ms, `budget ${at.name}`, signal)
      } catch (reason) {
        giveBack(bucket, now + ms)
        throw reason
      } finally {
        at.pacing--
      }
    }
    return next(request)
  }
