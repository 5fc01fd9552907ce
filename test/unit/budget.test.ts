import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { giveBack, newBucket, takeToken } from '../../src/network/budget'
import { GET, NOW, openGate } from '../support/gate'

const times = <T>(count: number, make: (n: number) => T): T[] => Array.from({ length: count }, (_, n) => make(n))
const outcomes = (all: { outcome?: unknown }[]) => all.map(({ outcome }) => outcome)

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
    const bucket = newBucket()
    const waits = Array.from({ length: 8 }, () => takeToken(bucket, 20, 5, 1_000_000))
    expect(waits).toEqual([0, 0, 0, 0, 0, 3_000, 6_000, 9_000])
  })

  test('is full again after a while, and never more than full', () => {
    const bucket = newBucket()
    for (let n = 0; n < 5; n += 1) takeToken(bucket, 20, 5, 0)
    const waits = Array.from({ length: 7 }, () => takeToken(bucket, 20, 5, 3_600_000))
    expect(waits).toEqual([0, 0, 0, 0, 0, 3_000, 6_000])
  })

  test.each([
    [Number.POSITIVE_INFINITY, 5],
    [20, Number.POSITIVE_INFINITY],
  ])('never makes wait with a budget of %d a minute and a burst of %d', (perMinute, burst) => {
    const bucket = newBucket()
    for (let n = 0; n < 1_000; n += 1) expect(takeToken(bucket, perMinute, burst, 0)).toBe(0)
  })

  test('gives one token at a time even with a burst of nothing', () => {
    const bucket = newBucket()
    expect([takeToken(bucket, 60, 0, 0), takeToken(bucket, 60, 0, 0)]).toEqual([0, 1_000])
  })

  test('is not fooled by a clock that is set back', () => {
    const bucket = newBucket()
    for (let n = 0; n < 5; n += 1) takeToken(bucket, 20, 5, 1_000_000)
    expect(takeToken(bucket, 20, 5, 500_000)).toBe(3_000)
    expect(takeToken(bucket, 20, 5, 500_000 + 3_000)).toBeGreaterThan(0)
  })

  test('takes a token back from who will not use it', () => {
    const bucket = newBucket()
    for (let n = 0; n < 5; n += 1) takeToken(bucket, 20, 5, 0)
    expect(takeToken(bucket, 20, 5, 0)).toBe(3_000)
    giveBack(bucket, 3_000)
    expect(takeToken(bucket, 20, 5, 0)).toBe(3_000)
  })

  test('hands on what was given back in the order of its moments, and none that has come', () => {
    const bucket = newBucket()
    for (let n = 0; n < 5; n += 1) takeToken(bucket, 20, 5, 0)
    const promised = [1, 2, 3].map(() => takeToken(bucket, 20, 5, 0))
    expect(promised).toEqual([3_000, 6_000, 9_000])
    for (const at of [6_000, 3_000, 9_000]) giveBack(bucket, at)
    expect(takeToken(bucket, 20, 5, 1_000)).toBe(2_000)
    expect(takeToken(bucket, 20, 5, 6_000)).toBe(3_000)
    expect(takeToken(bucket, 20, 5, 6_000)).toBe(3_000 + 3_000)
    giveBack(bucket, 12_000)
    expect(takeToken(bucket, 20, Number.POSITIVE_INFINITY, 6_000)).toBe(0)
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
          const bucket = newBucket()
          let now = 0
          const granted = pauses.map((pause) => {
            now += pause
            return now + takeToken(bucket, perMinute, burst, now)
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
        const bucket = newBucket()
        let now = 0
        let waiting: number[] = []
        const granted: number[] = []
        for (const { pause, takes, leaves } of steps) {
          now += pause
          granted.push(...waiting.filter((at) => at <= now))
          waiting = waiting.filter((at) => at > now)
          for (let n = 0; n < takes; n += 1) {
            const at = now + takeToken(bucket, 20, 5, now)
            if (at === now) granted.push(at)
            else waiting.push(at)
          }
          // Those who have waited longest lose their patience.
          for (let n = 0; n < leaves && waiting.length > 0; n += 1) {
            giveBack(bucket, waiting.shift()!)
          }
        }
        expect(worstExcess([...granted, ...waiting], 20, 5)).toBeLessThanOrEqual(20 / 60_000 + 1e-6)
      }),
      { seed: 5, numRuns: 300 },
    )
  })
})

describe('the budget of an endpoint', () => {
  test('is at least what is configured, and has a quarter to spare over what polls claim', () => {
    const { gate, endpoint } = openGate()
    const withdraw = gate.claim(GET, () => 12)
    expect(gate.budgetOf(endpoint())).toBe(20)
    const withdrawOther = gate.claim(GET, () => 12)
    expect(gate.budgetOf(endpoint())).toBe(30)
    withdraw()
    withdrawOther()
    expect(gate.budgetOf(endpoint())).toBe(20)
  })

  test('lets a burst through at once and the rest in its time, and says who waits', async () => {
    const { send, calls, alerts, clock, tracked, endpoint } = openGate()
    times(6, () => send({ kind: 'background', channel: 'users' }))
    await clock.advance(0)
    expect(calls).toHaveLength(5)
    expect(endpoint().pacing).toBe(1)
    expect(tracked.timers()).toContainEqual({ label: `budget ${GET}`, dueAt: NOW + 3_000 })
    expect(alerts).toEqual([
      {
        code: 'request-rate',
        endpoint: GET,
        channel: 'users',
        subscriber: 'Table',
        value: 21,
        limit: 20,
        message: `${GET} has used its budget of 20 background requests a minute: "Table" waits 3 s. Ask less often, or raise \`limits.backgroundPerMinute\`.`,
      },
    ])
    await clock.advance(2_999)
    expect(calls).toHaveLength(5)
    await clock.advance(1)
    expect(calls).toHaveLength(6)
    expect(endpoint().pacing).toBe(0)
  })

  test('lets as many through at once as there are polls', async () => {
    const { gate, send, calls, clock } = openGate({ limits: { concurrency: 100 } })
    times(8, () => gate.claim(GET, () => 1))
    times(10, () => send({ kind: 'background' }))
    await clock.advance(0)
    expect(calls).toHaveLength(8)
  })

  test('gives the time of one who breaks off to the next', async () => {
    const { send, clock, tracked, endpoint } = openGate({ limits: { burst: 1 } })
    const controller = new AbortController()
    send({ kind: 'background' })
    const left = send({ kind: 'background', signal: controller.signal })
    await clock.advance(0)
    controller.abort('gone')
    await clock.advance(0)
    expect(left.outcome).toBe('gone')
    expect(endpoint().pacing).toBe(0)
    send({ kind: 'background' })
    await clock.advance(0)
    expect(tracked.timers().filter(({ label }) => label === `budget ${GET}`)).toEqual([
      { label: `budget ${GET}`, dueAt: NOW + 3_000 },
    ])
  })

  test('has no more waiting for it than may queue', async () => {
    const { send, clock, endpoint, counters } = openGate({ limits: { burst: 1, queue: 2 } })
    const all = times(4, () => send({ kind: 'background' }))
    await clock.advance(0)
    expect(all.at(-1)!.outcome).toMatchObject({ code: 'queue-full', retryable: true, endpoint: GET })
    expect(outcomes(all).slice(0, 3)).toEqual([undefined, undefined, undefined])
    expect([endpoint().pacing, counters.refused]).toEqual([2, 1])
  })

  test('is none where the guard is switched off, and does not count what somebody asks for', async () => {
    const limits = { concurrency: 100, fetchesPer10s: 100 }
    for (const [flags, kind] of [
      [{ guard: false }, 'background'],
      [{}, 'foreground'],
    ] as const) {
      const { send, calls, clock } = openGate({ limits, flags })
      times(50, () => send({ kind }))
      await clock.advance(0)
      expect(calls).toHaveLength(50)
    }
  })

  test('has as many for `refresh` at once as for a minute, apart from those for polls', async () => {
    const { send, calls, clock } = openGate({ limits: { concurrency: 100 } })
    times(21, () => send({ kind: 'refresh' }))
    await clock.advance(0)
    expect(calls).toHaveLength(20)
    times(6, () => send({ kind: 'background' }))
    await clock.advance(0)
    expect(calls).toHaveLength(25)
  })

  test('that is no number lets nothing through', async () => {
    const { gate, send, clock, calls } = openGate()
    gate.claim(GET, () => Number.NaN)
    const sent = send({ kind: 'background' })
    await clock.advance(0)
    expect(sent.outcome).toMatchObject({
      code: 'config',
      message: `Expected a budget of ${GET} that is a number, got NaN: look at its intervals.`,
    })
    expect(calls).toEqual([])
  })
})
