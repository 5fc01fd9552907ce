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
    priority: () => Priority,
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
  rank(): number
  readonly run: () => void
}

export function createSlots(): Slots {
  let inFlight = 0
  let ramp = Infinity
  let concurrency = Infinity
  let isServing = false
  const queue = new Set<Waiter>()

  const isFull = () => inFlight >= Math.min(concurrency, ramp)

  function next(): void {
    // Whoever is refused leaves at once: a long queue of them would overflow the stack.
    if (isServing) return
    isServing = true
    while (queue.size > 0 && !isFull()) {
      const first = [...queue].reduce((best, waiter) => (waiter.rank() < best.rank() ? waiter : best))
      queue.delete(first)
      inFlight++
      first.run()
    }
    isServing = false
  }

  return {
    get inFlight() {
      return inFlight
    },
    get queued() {
      return queue.size
    },
    enter(priority, now, limits, run) {
      concurrency = limits.concurrency
      if (isFull() && queue.size >= limits.queue) return undefined
      // One that somebody more urgent joins while it waits is as urgent as that.
      const waiter = { rank: () => now - HEAD_START[priority()], run }
      queue.add(waiter)
      next()
      return () => queue.delete(waiter)
    },
    leave(succeeded) {
      inFlight--
      if (succeeded) ramp *= 2
      next()
    },
    rampUp() {
      ramp = 1
    },
  }
}
