import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { newEndpoint } from '../../src/network/endpoint'
import { admit } from '../../src/network/guard'
import { GET, openGate } from '../support/gate'

const times = <T>(count: number, make: (n: number) => T): T[] => Array.from({ length: count }, (_, n) => make(n))

const WINDOW = 10_000

describe('a runaway guard', () => {
  test('admits so many in 10 s, closes with the next one for 10 s, and opens again', () => {
    const guard = newEndpoint('')
    for (let n = 0; n < 100; n += 1) expect(admit(guard, 100, n, 'a')).toBeUndefined()
    expect(guard.refusal.until).toBe(0)
    expect(admit(guard, 100, 100, 'a')).toEqual({ until: 10_100, who: 'a', ms: 10_000 })
    expect(guard.refusal.until).toBe(10_100)
    expect(admit(guard, 100, 10_099, 'b')).toEqual({ until: 10_100, who: 'a', ms: 10_000 })
    expect(admit(guard, 100, 10_100, 'b')).toBeUndefined()
  })

  test('does not close for who asks steadily', () => {
    const guard = newEndpoint('')
    for (let n = 0; n < 10_000; n += 1) expect(admit(guard, 100, n * 100, 'a')).toBeUndefined()
  })

  test('names who asked most', () => {
    const guard = newEndpoint('')
    for (let n = 0; n < 10; n += 1) admit(guard, 10, n, n < 6 ? 'loop' : `innocent ${n}`)
    expect(admit(guard, 10, 10, 'late')).toMatchObject({ who: 'loop' })
  })

  test('names the first of those who asked most', () => {
    const guard = newEndpoint('')
    for (const who of ['c', 'a', 'b', 'b', 'a']) admit(guard, 5, 0, who)
    expect(admit(guard, 5, 0, 'd')).toMatchObject({ who: 'a' })
  })

  test('counts from when it got a limit', () => {
    const guard = newEndpoint('')
    for (let n = 0; n < 100; n += 1) admit(guard, Number.POSITIVE_INFINITY, 0, 'a')
    for (let n = 0; n < 3; n += 1) expect(admit(guard, 3, 0, 'a')).toBeUndefined()
    expect(admit(guard, 3, 0, 'a')).toBeDefined()
  })

  test('admits everything without a limit, and nothing with a limit of zero', () => {
    const guard = newEndpoint('')
    for (let n = 0; n < 1_000; n += 1) expect(admit(guard, Number.POSITIVE_INFINITY, 0, 'a')).toBeUndefined()
    expect(admit(newEndpoint(''), 0, 5, 'a')).toEqual({ until: 10_005, who: 'a', ms: 10_000 })
  })

  test('admits at most the limit in any 10 s, for any sequence', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), fc.array(fc.integer({ min: 0, max: 2_000 })), (limit, pauses) => {
        const guard = newEndpoint('')
        let now = 0
        const admitted: number[] = []
        for (const pause of pauses) {
          now += pause
          if (!admit(guard, limit, now, 'a')) admitted.push(now)
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

describe('the guard of an endpoint', () => {
  test('refuses the one too many and all that come in the next 10 s, and tells it once', async () => {
    const { send, calls, alerts, counters, clock } = openGate({ limits: { fetchesPer10s: 3 } })
    const all = times(5, () => send({ channel: 'users' }))
    await clock.advance(0)
    expect(calls).toHaveLength(3)
    const what = 'was asked for over 3 times in 10 s, most often by "Table": a loop? Refused for 10 s.'
    const error = { code: 'runaway', retryable: true, endpoint: GET, retryAfter: 10_000, message: `${GET} ${what}` }
    expect(all[3]!.outcome).toMatchObject(error)
    expect(all[4]!.outcome).toMatchObject(error)
    expect(counters.refused).toBe(2)
    expect(alerts).toEqual([
      {
        code: 'runaway',
        endpoint: GET,
        channel: 'users',
        subscriber: 'Table',
        value: 4,
        limit: 3,
        message: `${GET} ${what}`,
      },
    ])
    await clock.advance(9_001)
    const late = send()
    await clock.advance(0)
    expect(late.outcome).toMatchObject({ retryAfter: 999, message: expect.stringContaining('Refused for 1 s.') })
    await clock.advance(999)
    expect(alerts).toHaveLength(1)
    times(4, () => send())
    await clock.advance(0)
    expect(alerts).toHaveLength(2)
  })

  test('lets everything pass where it is switched off', async () => {
    const { send, calls, alerts, clock } = openGate({ limits: { fetchesPer10s: 1 }, flags: { guard: false } })
    times(3, () => send())
    await clock.advance(0)
    expect([calls.length, alerts]).toEqual([3, []])
  })
})
