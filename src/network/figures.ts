/** What became of the requests that were sent, for statistics, alerts and `client.on('request')`. */
import { isMillraceError, type MillraceError } from '../primitives/errors'
import { isRetryableStatus } from '../primitives/http'
import { isOffline } from '../primitives/platform'
import { type Endpoint, tell } from './endpoint'
import { saysNothing } from './outage'
import type { Step } from './request'
import type { NetworkContext } from './settings'

export interface EndpointFigures {
  readonly lastMinute: number
  /** ms. */
  readonly p50: number
  readonly p95: number
  /** 0..1 of the last 100. */
  readonly errorRate: number
}

const MOST_RECENT = 100
const STEP = 5_000
/** Of a minute. */
const STEPS = 12

type Counted = Pick<Endpoint, 'recent' | 'sent'>

export function recordSent(endpoint: Pick<Counted, 'sent'>, at: number): void {
  const step = Math.floor(at / STEP)
  const last = endpoint.sent.at(-1)
  if (last?.step === step) last.count++
  // Exactly as large as it has to be: what is spread has room for sixteen more.
  else endpoint.sent = endpoint.sent.slice(1 - STEPS).concat({ step, count: 1 })
}

export function recordOutcome(endpoint: Pick<Counted, 'recent'>, duration: number, failed: boolean): void {
  endpoint.recent = endpoint.recent.slice(1 - MOST_RECENT).concat({ duration, failed })
}

const failuresOf = ({ recent }: Pick<Counted, 'recent'>): number => recent.filter(({ failed }) => failed).length

/** One endpoint's figures, as `client.stats()` shows them. */
export function figuresOf({ recent, sent }: Counted, now: number): EndpointFigures {
  const step = Math.floor(now / STEP)
  const durations = recent.map(({ duration }) => duration).sort((a, b) => a - b)
  const percentile = (share: number) => durations[Math.floor(durations.length * share)] ?? 0
  return {
    lastMinute: sent.reduce((sum, part) => sum + (part.step > step - STEPS ? part.count : 0), 0),
    p50: percentile(0.5),
    p95: percentile(0.95),
    errorRate: recent.length && failuresOf({ recent }) / recent.length,
  }
}

export const createFigures =
  (context: NetworkContext): Step =>
  async (request, next) => {
    const { clock, counters, settings } = context
    const { at, kind, label, signal, stream } = request
    const startedAt = clock.now()
    const sentAt = clock.elapsed()
    const outcome: { status?: number; error?: MillraceError } = {}
    counters.sent++
    recordSent(at, sentAt)
    try {
      const response = await next(request)
      outcome.status = response.status
      return response
    } catch (error) {
      if (isMillraceError(error) && !saysNothing(error, request, sentAt, clock.elapsed())) outcome.error = error
      throw error
    } finally {
      const duration = clock.elapsed() - sentAt
      const { status = 0, error } = outcome
      const failed = error !== undefined || isRetryableStatus(status)
      if (failed) counters.failed++
      if (!stream && (error ? !isOffline() : !signal.aborted)) {
        recordOutcome(at, duration, failed)
        // Of a hundred: a first failure is not yet a rate.
        const value = failuresOf(at) / MOST_RECENT
        const limit = settings.thresholds.errorRate
        const what = `failed in ${Math.round(value * 100)} of its last 100 requests: look at the server.`
        if (failed && value > limit) tell(context, 'error-rate', at, what, { value, limit })
      }
      context.onRequest({
        endpoint: at.name,
        kind: stream ? 'stream' : kind === 'refresh' ? 'foreground' : kind,
        label,
        startedAt,
        duration,
        ...outcome,
      })
    }
  }
