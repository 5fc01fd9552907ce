import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createRunawayGuard } from '../../src/network/runaway-guard'

const WINDOW = 10_000

describe('a runaway guard', () => {
  test('admits so many in 10 s, closes with the next one for 10 s, and opens again', () => {
    const guard = createRunawayGuard()
    for (let n = 0; n < 100; n += 1) expect(guard.admit(100, n, 'a')).toBeUndefined()
    expect(guard.closedUntil).toBe(0)
    expect(guard.admit(100, 100, 'a')).toEqual({ until: 10_100, who: 'a', ms: 10_000 })
    expect(guard.closedUntil).toBe(10_100)
    expect(guard.admit(100, 10_099, 'b')).toEqual({ until: 10_100, who: 'a', ms: 10_000 })
    expect(guard.admit(100, 10_100, 'b')).toBeUndefined()
  })

  test('does not close for who asks steadily', () => {
    const guard = createRunawayGuard()
    for (let n = 0; n < 10_000; n += 1) expect(guard.admit(100, n * 100, 'a')).toBeUndefined()
  })

  test('names who asked most', () => {
    const guard = createRunawayGuard()
    for (let n = 0; n < 10; n += 1) guard.admit(10, n, n < 6 ? 'loop' : `innocent ${n}`)
    expect(guard.admit(10, 10, 'late')).toMatchObject({ who: 'loop' })
  })

  test('names the first of those who asked most', () => {
    const guard = createRunawayGuard()
    for (const who of ['c', 'a', 'b', 'b', 'a']) guard.admit(5, 0, who)
    expect(guard.admit(5, 0, 'd')).toMatchObject({ who: 'a' })
  })

  test('counts from when it got a limit', () => {
    const guard = createRunawayGuard()
    for (let n = 0; n < 100; n += 1) guard.admit(Number.POSITIVE_INFINITY, 0, 'a')
    for (let n = 0; n < 3; n += 1) expect(guard.admit(3, 0, 'a')).toBeUndefined()
    expect(guard.admit(3, 0, 'a')).toBeDefined()
  })

  test('admits everything without a limit, and nothing with a limit of zero', () => {
    const guard = createRunawayGuard()
    for (let n = 0; n < 1_000; n += 1) expect(guard.admit(Number.POSITIVE_INFINITY, 0, 'a')).toBeUndefined()
    expect(createRunawayGuard().admit(0, 5, 'a')).toEqual({ until: 10_005, who: 'a', ms: 10_000 })
  })

  test('admits at most the limit in any 10 s, for any sequence', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), fc.array(fc.integer({ min: 0, max: 2_000 })), (limit, pauses) => {
        const guard = createRunawayGuard()
        let now = 0
        const admitted: number[] = []
        for (const pause of pauses) {
          now += pause
          if (!guard.admit(limit, now, 'a')) admitted.push(now)
        }
        for (const [index, from] of admitted.entries()) {
          const within = admitted.slice(index).filter((at) => at - from < WINDOW)
          expect(within.length).toBeLessThanOrEqual(limit)
        }
        // Whoever asks only now and then is admitted.
        expect(admitted.length).toBeGreaterThanOrEqual(Math.min(limit, pauses.length))
      }),
      { seed: 1, numRuns: 300 },
    )
  })
})
