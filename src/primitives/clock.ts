/**
 * The one clock (law 8). Nothing else in `src` reads the time, sets a timer or draws a random number;
 * `test/architecture.test.ts` proves it. Globals are looked up at every call, never captured: fake timers come later.
 *
 * It has two hands. `now` is the wall: what people read (`updatedAt`, `retryAt`), and what a user or a time server may set.
 * `elapsed` is never set: every duration, deadline, age and budget is a difference of it.
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
  /** Milliseconds since the epoch, by the wall: it moves on while a laptop sleeps, and may be set back and forth. */
  now(): number
  /**
   * Milliseconds since any moment, by a clock that nobody sets; it may stand still while the machine sleeps.
   * @defaultValue what `now` has moved forward
   */
  monotonic?(): number
  /** A number in [0, 1). */
  random(): number
  /**
   * Runs `run` once after `ms` milliseconds; any `ms` is safe, beyond 2^31 too. `unref`: a process need not stay alive
   * for it. Returns the cancellation.
   */
  after(ms: number, run: () => void, label: string, unref?: boolean): () => void
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

/** A clock whose second hand runs; without frames. */
export type Timers = Omit<Clock, 'frame' | 'monotonic'> & {
  /** Milliseconds that never go back and do not stop in sleep: the larger of what the wall and the monotonic clock say. */
  elapsed(): number
}

const now = (): number => Date.now()
const random = (): number => Math.random()
/** NaN where there is none. Read with every event: no closure for it. */
function monotonic(): number {
  try {
    return performance.now()
  } catch {
    return Number.NaN
  }
}

function after(ms: number, run: () => void, _label: string, unref?: boolean): () => void {
  let timer: ReturnType<typeof setTimeout>
  const arm = (left: number) => {
    const isLong = left > LONGEST_TIMEOUT
    timer = isLong ? setTimeout(arm, LONGEST_TIMEOUT, left - LONGEST_TIMEOUT) : setTimeout(run, left)
    // Node's timers keep a process alive, and are objects; a browser's are numbers.
    if (unref) (timer as { unref?: () => void }).unref?.()
  }
  arm(ms > 0 ? ms : 0)
  return () => clearTimeout(timer)
}

function frame(run: () => void): () => void {
  if (typeof requestAnimationFrame !== 'function') return after(FRAME, run, '')
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

/** The platform's clock. */
export const systemClock: Clock = { now, monotonic, random, after, frame }

/** The wall is ahead of the monotonic clock by this many ms more than before: the machine has slept, or was set forward. */
const SLEPT = 500

interface SecondHand {
  elapsed(): number
  /** It is at least this late: a timer that was due then has fired. */
  atLeast(moment: number): void
}

function secondHand(clock: Pick<Clock, 'now' | 'monotonic'>): SecondHand {
  const monotonicNow = () => clock.monotonic?.() ?? Number.NaN
  let wall = clock.now()
  let monotonic = monotonicNow()
  let elapsed = 0
  /** What the wall has moved more than the monotonic clock. */
  let ahead = 0
  return {
    elapsed: read,
    atLeast(moment) {
      if (read() < moment) elapsed = moment
    },
  }

  function read(): number {
    const wallStep = clock.now() - wall
    const step = monotonicNow() - monotonic
    const isBlind = Number.isNaN(step)
    const forward = Math.max(0, isBlind ? wallStep : step)
    wall += wallStep
    elapsed += forward
    if (isBlind) return elapsed
    monotonic += step
    // A wall that is set back is not waited for; one that only ticks more coarsely does not count twice.
    ahead = wallStep < -SLEPT ? 0 : ahead + wallStep - forward
    if (ahead > SLEPT) {
      elapsed += ahead
      ahead = 0
    }
    return elapsed
  }
}

/** The hand starts with its first use: an import reads no clock. */
let hand: SecondHand | undefined
const elapsed = (): number => {
  hand ??= secondHand(systemClock)
  return hand.elapsed()
}

/** The platform's clock, for those who draw nothing. */
export const timers: Timers = { now, random, after, elapsed }

/** A clock that knows by name what it still has to do. */
export interface TrackedClock extends Clock, Timers {
  timers(): readonly PendingTimer[]
  /** Cancels all that is pending. */
  clear(): void
}

/** Wraps a clock so that every pending timer is listed; `onFire` is told how many ms late each one ran. */
export function trackTimers(clock: Clock, onFire: (lateBy: number) => void): TrackedClock {
  const { elapsed, atLeast } = secondHand(clock)
  const pending = new Map<{ readonly label: string; readonly due: number }, () => void>()

  function track(ms: number, label: string, run: () => void, arm: (fire: () => void) => () => void): () => void {
    const timer = { label, due: elapsed() + (ms > 0 ? ms : 0) }
    const disarm = arm(() => {
      if (!pending.delete(timer)) return
      // Where the clock stands still (a page test has fixed it) timers are what shows that time goes by.
      atLeast(timer.due)
      onFire(elapsed() - timer.due)
      run()
    })
    pending.set(timer, disarm)
    return () => {
      if (pending.delete(timer)) disarm()
    }
  }

  return {
    now: () => clock.now(),
    elapsed,
    random: () => clock.random(),
    after: (ms, run, label, unref) => track(ms, label, run, (fire) => clock.after(ms, fire, label, unref)),
    frame: (run, label) => track(FRAME, label, run, (fire) => clock.frame(fire, label)),
    timers: () => [...pending.keys()].map(({ label, due }) => ({ label, dueAt: clock.now() + due - elapsed() })),
    clear() {
      for (const disarm of pending.values()) disarm()
      pending.clear()
    },
  }
}
