import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createTokenBucket } from '../../src/network/token-bucket'

/** By how much the worst window of these moments is over the budget. */
function worstExcess(times: readonly number[], perMinute: number, burst: number): number {
  const sorted = [...times].sort((a, b) => a - b)
  let worst = -burst
  for (const [from, start] of sorted.entries())
    for (let to = from; to < sorted.length; to += 1)
      worst = Math.max(worst, to - from + 1 - burst - ((sorted[to]! - start) * perMinute) / 60_000)
  return worst
}

describe('a token bucket', () => {
  test('gives a burst at once, and then one token per share of a minute', () => {
    const bucket = createTokenBucket()
    const waits = Array.from({ length: 8 }, () => bucket.take(20, 5, 1_000_000))
    expect(waits).toEqual([0, 0, 0, 0, 0, 3_000, 6_000, 9_000])
  })

  test('is full again after a while, and never more than full', () => {
    const bucket = createTokenBucket()
    for (let n = 0; n < 5; n += 1) bucket.take(20, 5, 0)
    const waits = Array.from({ length: 7 }, () => bucket.take(20, 5, 3_600_000))
    expect(waits).toEqual([0, 0, 0, 0, 0, 3_000, 6_000])
  })

  test.each([
    [Number.POSITIVE_INFINITY, 5],
    [20, Number.POSITIVE_INFINITY],
  ])('never makes wait with a budget of %d a minute and a burst of %d', (perMinute, burst) => {
    const bucket = createTokenBucket()
    for (let n = 0; n < 1_000; n += 1) expect(bucket.take(perMinute, burst, 0)).toBe(0)
  })

  test('gives one token at a time even with a burst of nothing', () => {
    const bucket = createTokenBucket()
    expect([bucket.take(60, 0, 0), bucket.take(60, 0, 0)]).toEqual([0, 1_000])
  })

  test('is not fooled by a clock that is set back', () => {
    const bucket = createTokenBucket()
    for (let n = 0; n < 5; n += 1) bucket.take(20, 5, 1_000_000)
    expect(bucket.take(20, 5, 500_000)).toBe(3_000)
    expect(bucket.take(20, 5, 500_000 + 3_000)).toBeGreaterThan(0)
  })

  test('takes a token back from who will not use it', () => {
    const bucket = createTokenBucket()
    for (let n = 0; n < 5; n += 1) bucket.take(20, 5, 0)
    expect(bucket.take(20, 5, 0)).toBe(3_000)
    bucket.giveBack(3_000)
    expect(bucket.take(20, 5, 0)).toBe(3_000)
  })

  test('hands on what was given back in the order of its moments, and none that has come', () => {
    const bucket = createTokenBucket()
    for (let n = 0; n < 5; n += 1) bucket.take(20, 5, 0)
    const promised = [1, 2, 3].map(() => bucket.take(20, 5, 0))
    expect(promised).toEqual([3_000, 6_000, 9_000])
    for (const at of [6_000, 3_000, 9_000]) bucket.giveBack(at)
    expect(bucket.take(20, 5, 1_000)).toBe(2_000)
    expect(bucket.take(20, 5, 6_000)).toBe(3_000)
    expect(bucket.take(20, 5, 6_000)).toBe(3_000 + 3_000)
    bucket.giveBack(12_000)
    expect(bucket.take(20, Number.POSITIVE_INFINITY, 6_000)).toBe(0)
  })

  test('keeps every window within burst + rate x window, for any sequence', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 600 }),
        fc.integer({ min: 1, max: 20 }),
        fc.array(fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.integer({ min: 0, max: 30_000 })), {
          minLength: 1,
          maxLength: 100,
        }),
        (perMinute, burst, pauses) => {
          const bucket = createTokenBucket()
          let now = 0
          const granted = pauses.map((pause) => {
            now += pause
            return now + bucket.take(perMinute, burst, now)
          })
          // Waits are whole ms, so a window may be a ms short.
          expect(worstExcess(granted, perMinute, burst)).toBeLessThanOrEqual(perMinute / 60_000 + 1e-6)
          // And it is not stingy: with room for all, nobody waits.
          if (pauses.length <= burst) expect(granted.at(-1)).toBe(now)
        },
      ),
      { seed: 3, numRuns: 300 },
    )
  })

  test('keeps every window within it also when some break their wait off', () => {
    const step = fc.record({ pause: fc.integer({ min: 0, max: 9_000 }), takes: fc.nat(30), leaves: fc.nat(30) })
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 30 }), (steps) => {
        const bucket = createTokenBucket()
        let now = 0
        let waiting: number[] = []
        const granted: number[] = []
        for (const { pause, takes, leaves } of steps) {
          now += pause
          granted.push(...waiting.filter((at) => at <= now))
          waiting = waiting.filter((at) => at > now)
          for (let n = 0; n < takes; n += 1) {
            const at = now + bucket.take(20, 5, now)
            if (at === now) granted.push(at)
            else waiting.push(at)
          }
          // Those who have waited longest lose their patience.
          for (let n = 0; n < leaves && waiting.length > 0; n += 1) {
            bucket.giveBack(waiting.shift()!)
          }
        }
        expect(worstExcess([...granted, ...waiting], 20, 5)).toBeLessThanOrEqual(20 / 60_000 + 1e-6)
      }),
      { seed: 5, numRuns: 300 },
    )
  })
})
