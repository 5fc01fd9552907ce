/**
 * The one clock (law 8). Nothing else in `src` reads the time, sets a timer or draws a random number;
 * `test/architecture.test.ts` proves it. Globals are looked up at every call, never captured: fake timers come later.
 */

/**
 * Time, timers and randomness, as Millrace asks for them. Give your own to `createClient({ clock })` to drive everything
 * in a test.
 *
 * @example
 * ```ts
 * import { type Clock, createClient } from 'millrace'
 *
 * const frozen: Clock = { now: () => 0, random: () => 0.5, after: () => () => {}, frame: () => () => {} }
 * const client = createClient({ clock: frozen })
 * ```
 */
export interface Clock {
  /** Milliseconds since the epoch, by the wall: it moves on while a laptop sleeps. */
  now(): number
  /** A number in [0, 1). */
  random(): number
  /** Runs `run` once after `ms` milliseconds; any `ms` is safe, beyond 2^31 too. Returns the cancellation. */
  after(ms: number, run: () => void, label: string): () => void
  /** Runs `run` once at the next frame, 16 ms where there are no frames. Returns the cancellation. */
  frame(run: () => void, label: string): () => void
}

/** A pending timer, by name. */
export interface PendingTimer {
  readonly label: string
  /** Milliseconds since the epoch. */
  readonly dueAt: number
}

/** What `setTimeout` takes at most: a longer delay overflows and fires at once. */
const LONGEST_TIMEOUT = 2 ** 31 - 1
const FRAME = 16
/** A hidden page gets no frames: after this long a frame is run by a timer instead. */
const FRAME_OVERDUE = 250

/** A clock without frames. */
export type Timers = Omit<Clock, 'frame'>

const now = (): number => Date.now()
const random = (): number => Math.random()

function after(ms: number, run: () => void): () => void {
  const due = now() + (ms > 0 ? ms : 0)
  let timer: ReturnType<typeof setTimeout>
  const arm = () => {
    const left = due - now()
    timer = left > LONGEST_TIMEOUT ? setTimeout(arm, LONGEST_TIMEOUT) : setTimeout(run, left)
  }
  arm()
  return () => clearTimeout(timer)
}

function frame(run: () => void): () => void {
  if (typeof requestAnimationFrame !== 'function') return after(FRAME, run)
  const cancel = () => {
    cancelAnimationFrame(request)
    clearTimeout(timer)
  }
  const fire = () => {
    cancel()
    run()
  }
  const request = requestAnimationFrame(fire)
  const timer = setTimeout(fire, FRAME_OVERDUE)
  return cancel
}

/** The platform's clock, for those who draw nothing. */
export const timers: Timers = { now, random, after }

/** The platform's clock. */
export const systemClock: Clock = { now, random, after, frame }

/** A clock that knows by name what it still has to do. */
export interface TrackedClock extends Clock {
  timers(): readonly PendingTimer[]
  /** Cancels all that is pending. */
  clear(): void
}

/** Wraps a clock so that every pending timer is listed; `onFire` is told how many ms late each one ran. */
export function trackTimers(clock: Clock, onFire: (lateBy: number) => void): TrackedClock {
  const pending = new Map<PendingTimer, () => void>()

  function track(ms: number, label: string, run: () => void, arm: (fire: () => void) => () => void): () => void {
    const timer = { label, dueAt: clock.now() + (ms > 0 ? ms : 0) }
    const disarm = arm(() => {
      if (!pending.delete(timer)) return
      onFire(clock.now() - timer.dueAt)
      run()
    })
    pending.set(timer, disarm)
    return () => {
      if (pending.delete(timer)) disarm()
    }
  }

  return {
    now: () => clock.now(),
    random: () => clock.random(),
    after: (ms, run, label) => track(ms, label, run, (fire) => clock.after(ms, fire, label)),
    frame: (run, label) => track(FRAME, label, run, (fire) => clock.frame(fire, label)),
    timers: () => [...pending.keys()],
    clear() {
      for (const disarm of pending.values()) disarm()
      pending.clear()
    },
  }
}
