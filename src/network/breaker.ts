/**
 * The circuit breaker of an endpoint: a pure state machine, and the policy that asks it.
 *
 * ```
 *    closed ── `failures` failures within `window` ──▶ open
 *      ▲                                                │ `cooldown` is over and somebody asks
 *      │ success of the probe                           ▼
 *      └────────────────────────────────────────── half-open (one probe in flight)
 *    half-open ── failure ──▶ open        half-open ── neutral ──▶ open, due at once: the slot is given back
 * ```
 *
 * Only answers of the server and the network count. Refusals, aborts and 4xx are `neutral`.
 */
import { isRetryableStatus } from '../primitives/http'
import { listen } from '../primitives/platform'
import { type BreakerState, closedBreaker, type Endpoint, type Endpoints, refused, seconds, tell } from './endpoint'
import type { BreakerOptions } from './limits'
import { isOutage, saysNothing } from './outage'
import type { Passing, Step } from './request'
import type { NetworkContext } from './settings'

export { type BreakerOptions, defaultBreaker } from './limits'

export type BreakerEvent = 'ask' | 'success' | 'failure' | 'neutral'

/** The state after an event. Outcomes in half-open are the probe's; the policy keeps those of older requests to itself. */
export function stepBreaker(
  { failures, window, cooldown }: BreakerOptions,
  state: BreakerState,
  event: BreakerEvent,
  now: number,
): BreakerState {
  switch (state.name) {
    case 'closed': {
      if (event !== 'failure') break
      const failedAt = [...state.failedAt.filter((at) => now - at < window), now]
      return failedAt.length < failures ? { name: 'closed', failedAt } : { name: 'open', until: now + cooldown }
    }
    case 'open':
      if (event === 'ask' && now >= state.until) return { name: 'half-open' }
      break
    case 'half-open':
      if (event === 'success') return closedBreaker
      if (event === 'failure') return { name: 'open', until: now + cooldown }
      if (event === 'neutral') return { name: 'open', until: now }
  }
  return state
}

export interface Breaker {
  readonly ask: Step
  /** Before anything is counted: what an open breaker holds back uses up no budget. */
  readonly early: Step
  /** Whether somebody may ask at all. */
  open(isOpen: boolean): void
}

export function createBreaker(context: NetworkContext, endpoints: Endpoints): Breaker {
  const { clock, settings } = context
  let isOpen = true
  let stop: (() => void) | undefined

  return {
    async early(request, next) {
      throwIfOpen(request)
      return next(request)
    },
    async ask(request, next) {
      const { at } = request
      if (!settings.flags.breaker) return next(request)
      const sentAt = clock.elapsed()
      const isProbe = step(at, 'ask')
      let outcome: BreakerEvent = 'neutral'
      try {
        throwIfOpen(request)
        const response = await next(request)
        const { status } = response
        if (status >= 500) outcome = 'failure'
        else if (!isRetryableStatus(status)) outcome = 'success'
        return response
      } catch (error) {
        if (isOutage(error) && !saysNothing(error, request, sentAt, clock.elapsed())) outcome = 'failure'
        throw error
      } finally {
        // What was sent before the breaker opened says nothing about the probe.
        if (isProbe || at.breaker.name === 'closed') step(at, outcome)
      }
    },
    open(now) {
      isOpen = now
      watch()
    },
  }

  function throwIfOpen({ at }: Passing): void {
    if (!settings.flags.breaker || at.breaker.name !== 'open') return
    const ms = at.breaker.until - clock.elapsed()
    if (ms > 0) throw refused(context, 'breaker-open', at, `failed too often. Not asking for ${seconds(ms)}.`, ms)
  }

  /** True if whoever asks is the probe. */
  function step(endpoint: Endpoint, event: BreakerEvent): boolean {
    const before = endpoint.breaker.name
    endpoint.breaker = stepBreaker(settings.breaker, endpoint.breaker, event, clock.elapsed())
    const { name } = endpoint.breaker
    if (name === before) return false
    watch()
    if (name === 'half-open') endpoint.ramp = 1
    else if (name === 'closed') tell(context, 'breaker-closed', endpoint, 'answers again.')
    else if (event === 'failure') {
      const what = `keeps failing. Not asking for ${seconds(settings.breaker.cooldown)}, old answers are served.`
      tell(context, 'breaker-open', endpoint, what)
    }
    return name === 'half-open'
  }

  /** Listens for the network to be back, as long as somebody may ask, and some breaker is not closed. */
  function watch(): void {
    const isWanted = isOpen && [...endpoints.all()].some(({ breaker }) => breaker.name !== 'closed')
    if (isWanted) stop ??= listen(globalThis, 'online', closeAll)
    else {
      stop?.()
      stop = undefined
    }
  }

  /** What failed while there was no network says nothing about the server. */
  function closeAll(): void {
    for (const endpoint of endpoints.all()) {
      if (endpoint.breaker.name === 'closed') continue
      endpoint.breaker = closedBreaker
      tell(context, 'breaker-closed', endpoint, 'is asked again: the network is back.')
    }
    watch()
  }
}
