/**
 * The queue: so many requests of an endpoint at once, the others wait, so many of them. Priorities are head starts in
 * time, not classes: who has waited long enough comes before any newcomer, so nobody starves.
 */
import type { MillraceError } from '../primitives/errors'
import { isRetryableStatus } from '../primitives/http'
import { untilAborted } from '../primitives/until-aborted'
import { type Endpoint, refused, type Waiter } from './endpoint'
import type { Priority, Step } from './request'
import type { NetworkContext } from './settings'

const HEAD_START: Record<Priority, number> = { high: 5_000, normal: 0, low: -5_000 }

type Queue = Pick<Endpoint, 'inFlight' | 'ramp' | 'queue'>

export const rankOf = (since: number, priority: Priority): number => since - HEAD_START[priority]

export const isFull = ({ inFlight, ramp }: Queue, concurrency: number): boolean =>
  inFlight >= Math.min(concurrency, ramp)

/** Lets in whoever is next, as long as there is room. */
export function serve(endpoint: Queue, concurrency: number): void {
  while (endpoint.queue.length > 0 && !isFull(endpoint, concurrency)) {
    const first = endpoint.queue.reduce((best, waiter) => (waiter.rank() < best.rank() ? waiter : best))
    leave(endpoint, first)
    endpoint.inFlight++
    first.run()
  }
}

/** True if it was still waiting. */
export function leave(endpoint: Queue, waiter: Waiter): boolean {
  const before = endpoint.queue
  endpoint.queue = before.filter((other) => other !== waiter)
  return endpoint.queue.length < before.length
}

export function queueFull(context: NetworkContext, endpoint: Endpoint, label: string): MillraceError {
  const what = `has ${context.settings.limits.queue} requests waiting: "${label}" asks too much at once, or the server is too slow.`
  return refused(context, 'queue-full', endpoint, what)
}

export function createQueue(context: NetworkContext): Step {
  return async (request, next) => {
    const { at, label, signal, priority = () => 'normal' } = request
    const { limits } = context.settings
    if (isFull(at, limits.concurrency)) {
      if (at.queue.length >= limits.queue) throw queueFull(context, at, label)
      const since = context.clock.elapsed()
      const waiter: Waiter = { rank: () => rankOf(since, priority()), run() {} }
      const turn = new Promise<void>((resolve) => {
        waiter.run = resolve
      })
      at.queue = [...at.queue, waiter]
      // Whoever was let in, and has gone before it knew, leaves its place to the next.
      await untilAborted(turn, signal, () => leave(at, waiter) || done(at))
    } else at.inFlight++
    try {
      const response = await next(request)
      if (!isRetryableStatus(response.status)) at.ramp *= 2
      return response
    } finally {
      done(at)
    }
  }

  function done(endpoint: Endpoint): void {
    endpoint.inFlight--
    serve(endpoint, context.settings.limits.concurrency)
  }
}
