import type { Clock } from 'millrace'
import { createRandom } from './random'

export interface TestClock extends Clock {
  /**
   * Lets `ms` milliseconds pass: runs what falls due in order of its time, then of its creation, and lets every promise
   * chain settle before the first timer, between two of them and after the last. A timer that throws rejects.
   */
  advance(ms: number): Promise<void>
  /** What waits, soonest first. `dueAt` is in the clock's own time. */
  pending(): { label: string; dueAt: number }[]
}

interface Timer {
  label: string
  dueAt: number
  run: () => void
}

const FRAME = 16
const TOO_MANY = 100_000

// Taken when the file loads, so that a test with fake timers does not stop the clock.
const macrotask = setImmediate

/** Time stands still until `advance` is called. Two clocks with the same seed draw the same numbers. */
export function createTestClock({ now = 1_700_000_000_000, seed = 1 } = {}): TestClock {
  const start = now
  const timers = new Set<Timer>()
  let time = now

  return { now: () => time, random: createRandom(seed), after, frame, advance, pending }

  /** Any delay is taken as meant: 2^31 and more is far away and not at once, Infinity never; NaN and below zero are zero. */
  function after(ms: number, run: () => void, label: string): () => void {
    return add({ label, run, dueAt: time + Math.max(0, Number.isNaN(ms) ? 0 : ms) })
  }

  function frame(run: () => void, label: string): () => void {
    return add({ label, run, dueAt: start + (Math.floor((time - start) / FRAME) + 1) * FRAME })
  }

  function add(timer: Timer): () => void {
    timers.add(timer)
    return () => {
      timers.delete(timer)
    }
  }

  async function advance(ms: number): Promise<void> {
    const end = time + ms
    let ran = 0
    await settle()
    for (let next = soonest(); next && next.dueAt <= end; next = soonest()) {
      ran += 1
      if (ran > TOO_MANY) throw new Error(`More than ${TOO_MANY} timers ran in ${ms} ms, the last one "${next.label}"`)
      timers.delete(next)
      time = Math.max(time, next.dueAt)
      next.run()
      await settle()
    }
    time = Math.max(time, end)
  }

  function soonest(): Timer | undefined {
    let first: Timer | undefined
    // A Set keeps the order of creation, hence `<` leaves the older of two that are due together.
    for (const timer of timers) if (!first || timer.dueAt < first.dueAt) first = timer
    return first
  }

  function pending(): { label: string; dueAt: number }[] {
    return [...timers].map(({ label, dueAt }) => ({ label, dueAt })).sort((a, b) => a.dueAt - b.dueAt)
  }
}

/** A macrotask begins only when no microtask is left; the second one is for streams, which put off some of their work. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 2; turn += 1) await new Promise<void>((resolve) => macrotask(resolve))
}
