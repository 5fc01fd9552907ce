/**
 * The concurrency of an endpoint: so many at once, the others wait in a bounded queue. Priorities are head starts in
 * time, not classes: who has waited long enough comes before any newcomer, so nobody starves.
 */
export type Priority = 'high' | 'normal' | 'low'

export interface Slots {
  readonly inFlight: number
  readonly queued: number
  /** Calls `run` when there is a slot, perhaps at once. Returns how to leave the queue; undefined if it is full. */
  enter(
    priority: Priority,
    now: number,
    limits: { concurrency: number; queue: number },
    run: () => void,
  ): (() => void) | undefined
  /** Gives a slot back. */
  leave(succeeded: boolean): void
  /** Starts anew with one at a time; the number doubles with each success: waiters must not burst out of a closed breaker. */
  rampUp(): void
}

const HEAD_START: Record<Priority, number> = { high: 5_000, normal: 0, low: -5_000 }

interface Waiter {
  readonly rank: number
  readonly run: () => void
}

export function createSlots(): Slots {
  let inFlight = 0
  let ramp = Infinity
  let concurrency = Infinity
  const queue: Waiter[] = []

  function next(): void {
    while (queue.length > 0 && inFlight < Math.min(concurrency, ramp)) {
      const first = queue.reduce((best, waiter) => (waiter.rank < best.rank ? waiter : best))
      queue.splice(queue.indexOf(first), 1)
      inFlight++
      first.run()
    }
  }

  return {
    get inFlight() {
      return inFlight
    },
    get queued() {
      return queue.length
    },
    enter(priority, now, limits, run) {
      concurrency = limits.concurrency
      const waiter = { rank: now - HEAD_START[priority], run }
      if (inFlight >= Math.min(concurrency, ramp) && queue.length >= limits.queue) return undefined
      queue.push(waiter)
      next()
      return () => {
        const index = queue.indexOf(waiter)
        if (index >= 0) queue.splice(index, 1)
      }
    },
    leave(succeeded) {
      inFlight--
      if (succeeded) ramp *= 2
      if (ramp >= concurrency) ramp = Infinity
      next()
    },
    rampUp() {
      ramp = 1
    },
  }
}
