import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { systemClock, trackTimers } from '../../src/primitives/clock'
import { createTestClock } from '../support/test-clock'

describe('the system clock', () => {
  beforeEach(() => {
    vi.useFakeTimers({ now: 1_700_000_000_000 })
  })

  afterEach(() => {
    vi.useRealTimers()
    vi.unstubAllGlobals()
  })

  test('runs once after so many ms, and not at all when it was cancelled', () => {
    const run = vi.fn()
    systemClock.after(100, run, 'a')
    systemClock.after(100, run, 'b')()
    vi.advanceTimersByTime(99)
    expect(run).toHaveBeenCalledTimes(0)
    vi.advanceTimersByTime(1)
    expect(run).toHaveBeenCalledTimes(1)
    vi.advanceTimersByTime(10_000)
    expect(run).toHaveBeenCalledTimes(1)
  })

  test.each([2 ** 31 - 1, 2 ** 31, 2 ** 31 + 5, 2 ** 32 + 1, 99_999_999_999])('waits for %d ms, all of them', (ms) => {
    const run = vi.fn()
    systemClock.after(ms, run, 'far')
    vi.advanceTimersByTime(ms - 1)
    expect(run).toHaveBeenCalledTimes(0)
    vi.advanceTimersByTime(1)
    expect(run).toHaveBeenCalledTimes(1)
  })

  test('can be cancelled between the parts of a long wait', () => {
    const run = vi.fn()
    const cancel = systemClock.after(2 ** 32, run, 'far')
    vi.advanceTimersByTime(2 ** 31 + 10)
    cancel()
    vi.advanceTimersByTime(2 ** 33)
    expect(run).toHaveBeenCalledTimes(0)
    expect(vi.getTimerCount()).toBe(0)
  })

  test.each([0, -1, -Infinity, Number.NaN])('runs at once for %d ms', (ms) => {
    const run = vi.fn()
    const setTimer = vi.spyOn(globalThis, 'setTimeout')
    systemClock.after(ms, run, 'now')
    // Node warns of a delay that is negative or no number.
    expect(setTimer).toHaveBeenCalledExactlyOnceWith(run, 0)
    vi.advanceTimersByTime(1)
    expect(run).toHaveBeenCalledTimes(1)
  })

  test('never runs after Infinity', () => {
    const run = vi.fn()
    const cancel = systemClock.after(Number.POSITIVE_INFINITY, run, 'never')
    vi.advanceTimersByTime(2 ** 33)
    expect(run).toHaveBeenCalledTimes(0)
    cancel()
    expect(vi.getTimerCount()).toBe(0)
  })

  test('tells the time and draws as the platform does', () => {
    expect(systemClock.now()).toBe(1_700_000_000_000)
    const draws = Array.from({ length: 100 }, () => systemClock.random())
    expect(draws.every((draw) => draw >= 0 && draw < 1)).toBe(true)
    expect(new Set(draws).size).toBeGreaterThan(90)
  })

  test('makes a frame of 16 ms where there are none', () => {
    const run = vi.fn()
    systemClock.frame(run, 'frame')
    systemClock.frame(run, 'cancelled')()
    vi.advanceTimersByTime(15)
    expect(run).toHaveBeenCalledTimes(0)
    vi.advanceTimersByTime(1)
    expect(run).toHaveBeenCalledTimes(1)
  })

  test('takes the next frame of the page', () => {
    const frames = new Map<number, () => void>()
    vi.stubGlobal('requestAnimationFrame', (run: () => void) => {
      frames.set(frames.size + 1, run)
      return frames.size
    })
    vi.stubGlobal('cancelAnimationFrame', (id: number) => frames.delete(id))
    const run = vi.fn()
    systemClock.frame(run, 'frame')
    vi.advanceTimersByTime(100)
    expect(run).toHaveBeenCalledTimes(0)
    for (const frame of [...frames.values()]) frame()
    expect(run).toHaveBeenCalledTimes(1)
    vi.advanceTimersByTime(1_000)
    expect(run).toHaveBeenCalledTimes(1)
    systemClock.frame(run, 'cancelled')()
    expect(vi.getTimerCount()).toBe(0)
  })

  test('does not wait for ever for a frame in a page that gets none', () => {
    vi.stubGlobal('requestAnimationFrame', () => 1)
    vi.stubGlobal('cancelAnimationFrame', () => {})
    const run = vi.fn()
    systemClock.frame(run, 'frame')
    vi.advanceTimersByTime(1_000)
    expect(run).toHaveBeenCalledTimes(1)
  })
})

describe('a tracked clock', () => {
  test('lists what is pending by name, and when it is due', async () => {
    const clock = createTestClock({ now: 1_000 })
    const tracked = trackTimers(clock, () => {})
    tracked.after(500, () => {}, 'poll')
    const cancel = tracked.after(900, () => {}, 'timeout')
    tracked.frame(() => {}, 'frame')
    expect(tracked.timers()).toMatchObject([
      { label: 'poll', dueAt: 1_500 },
      { label: 'timeout', dueAt: 1_900 },
      { label: 'frame' },
    ])
    await clock.advance(500)
    cancel()
    cancel()
    expect(tracked.timers()).toEqual([])
    expect(clock.pending()).toEqual([])
  })

  test('tells the time and draws as the clock within, and counts what should be over as due now', () => {
    const clock = createTestClock({ now: 1_000 })
    const tracked = trackTimers({ ...clock, random: () => 0.25 }, () => {})
    expect([tracked.now(), tracked.random()]).toEqual([1_000, 0.25])
    for (const ms of [-5, Number.NaN]) tracked.after(ms, () => {}, 'over')
    expect(tracked.timers().map(({ dueAt }) => dueAt)).toEqual([1_000, 1_000])
  })

  test('forgets a timer before it runs it, so that it may be set again from within', async () => {
    const clock = createTestClock({ now: 0 })
    const tracked = trackTimers(clock, () => {})
    const seen: number[] = []
    const again = (): void => {
      seen.push(tracked.timers().length)
      if (seen.length < 3) tracked.after(10, again, 'again')
    }
    tracked.after(10, again, 'again')
    await clock.advance(100)
    expect(seen).toEqual([0, 0, 0])
  })

  test('cancels all that is pending', async () => {
    const clock = createTestClock()
    const tracked = trackTimers(clock, () => {})
    const run = vi.fn()
    for (let n = 0; n < 5; n += 1) tracked.after(n, run, 'a')
    tracked.clear()
    expect(tracked.timers()).toEqual([])
    expect(clock.pending()).toEqual([])
    await clock.advance(100)
    expect(run).toHaveBeenCalledTimes(0)
  })

  test('tells how late each one came', async () => {
    let now = 0
    let fire = () => {}
    const lateness: number[] = []
    const tracked = trackTimers(
      {
        now: () => now,
        random: () => 0,
        after(_, run) {
          fire = run
          return () => {}
        },
        frame: () => () => {},
      },
      (lateBy) => lateness.push(lateBy),
    )
    tracked.after(100, () => {}, 'late')
    now = 850
    fire()
    // A timer that fires twice, or after its cancellation, runs once.
    fire()
    expect(lateness).toEqual([750])
  })
})
