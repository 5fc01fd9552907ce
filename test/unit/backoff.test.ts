import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { backoffDelay, defaultBackoff } from '../../src/primitives/backoff'

const plain = { ...defaultBackoff, jitter: 'none' } as const

describe('a backoff delay', () => {
  test('doubles from a second up to 30, by default', () => {
    expect([0, 1, 2, 3, 4, 5, 6, 1_000].map((failures) => backoffDelay(plain, failures, 0.5))).toEqual([
      1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000,
    ])
    expect(defaultBackoff).toEqual({ base: 1_000, factor: 2, cap: 30_000, resetAfter: 5_000, jitter: 'full' })
  })

  test('is drawn from all of it, and is never next to nothing', () => {
    expect(backoffDelay(defaultBackoff, 0, 0)).toBe(100)
    expect(backoffDelay(defaultBackoff, 0, 1 - Number.EPSILON)).toBeCloseTo(1_000)
    expect(backoffDelay(defaultBackoff, 4, 0.5)).toBeCloseTo(8_800)
  })

  test('comes on top of what the server asked for, up to five minutes', () => {
    expect(backoffDelay(plain, 0, 0, 7_000)).toBe(8_000)
    expect(backoffDelay(plain, 0, 0, 1e12)).toBe(301_000)
    expect(backoffDelay(plain, 0, 0, -5)).toBe(1_000)
  })

  test('is a sane number of ms for any options, any number of failures and any draw', () => {
    fc.assert(
      fc.property(
        fc.record({
          base: fc.double({ min: 1, max: 1e6, noNaN: true }),
          factor: fc.double({ min: 0, max: 1e9, noNaN: true }),
          cap: fc.double({ min: 0, max: 1e9, noNaN: true }),
          resetAfter: fc.constant(0),
          jitter: fc.constantFrom('full' as const, 'none' as const),
        }),
        fc.nat(2 ** 31),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        fc.double({ min: -1e15, max: 1e15, noNaN: true }),
        (options, failures, random, floor) => {
          const delay = backoffDelay(options, failures, random, floor)
          expect(Number.isFinite(delay)).toBe(true)
          expect(delay).toBeGreaterThanOrEqual(Math.min(Math.max(floor, 0), 300_000))
          expect(delay).toBeLessThanOrEqual(300_000 + options.cap)
        },
      ),
      { seed: 1, numRuns: 2_000 },
    )
  })

  test('stays a number that a timer can take where there is no cap', () => {
    expect(Number.isFinite(backoffDelay({ ...plain, cap: Infinity }, 5_000, 0.5))).toBe(true)
  })

  test('never shrinks as failures add up', () => {
    for (let failures = 0; failures < 2_000; failures += 1)
      expect(backoffDelay(plain, failures + 1, 0)).toBeGreaterThanOrEqual(backoffDelay(plain, failures, 0))
  })
})
