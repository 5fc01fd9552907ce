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

  test('refuses twice as long each time a loop goes on, at most 5 min, and forgets it after a minute without one', () => {
    const guard = newEndpoint('')
    const refusals: number[] = []
    let now = 1_000_000
    for (let n = 0; n < 7; n += 1) {
      admit(guard, 1, now, 'a')
      refusals.push(admit(guard, 1, now, 'a')!.ms)
      now = guard.refusal.until
    }
    expect(refusals).toEqual([10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000])
    const again = (after: number) => {
      const other = { ...guard }
      admit(other, 1, now + after, 'a')
      return admit(other, 1, now + after, 'a')!.ms
    }
    expect([again(59_999), again(60_000)]).toEqual([300_000, 10_000])
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

  test('does not count what nobody asked for just now', async () => {
    const { send, calls, clock } = openGate({ limits: { fetchesPer10s: 1 } })
    times(5, () => send({ kind: 'background' }))
    await clock.advance(0)
    expect(calls).toHaveLength(5)
  })

  test('refuses for as long as another tab does, unless it does so for longer already', async () => {
    const { gate, send, calls, clock, tracked, endpoint } = openGate()
    const until = (ms: number) => tracked.elapsed() + ms
    gate.refuse(GET, 20_000, 'Other')
    const refused = send()
    await clock.advance(0)
    const { refusal } = endpoint()
    expect(refusal.until).toBe(until(20_000))
    expect(refused.outcome).toMatchObject({
      code: 'runaway',
      retryAfter: 20_000,
      message: expect.stringContaining('"Other"'),
    })
    gate.refuse(GET, 20_000, 'The same')
    gate.refuse(GET, 10_000, 'Less')
    expect(endpoint().refusal).toBe(refusal)
    gate.refuse(GET, 1_000_000, 'Too long')
    expect(endpoint().refusal).toEqual({ until: until(300_000), ms: 300_000, who: 'Too long' })
    await clock.advance(300_000)
    send()
    await clock.advance(0)
    expect(calls).toHaveLength(1)
  })

  test.each([
    ['is switched off', { flags: { guard: false } }],
    ['has no limit', { limits: { fetchesPer10s: Infinity } }],
  ])('does not refuse for another tab where it %s', async (_, options) => {
    const { gate, endpoint } = openGate(options)
    gate.claim(GET, () => 1)
    gate.refuse(GET, 20_000, 'Other')
    expect(endpoint().refusal.until).toBe(0)
  })

  test('tells of a loop of cached reads', async () => {
    const { gate, alerts, clock, endpoint } = openGate()
    await clock.advance(1_234)
    gate.looped(GET, 5_000, 'Table')
    expect(endpoint().loopedAt).toBe(1_234)
    expect(alerts).toEqual([
      {
        code: 'runaway',
        endpoint: GET,
        subscriber: 'Table',
        value: 5_001,
        limit: 5_000,
        message: `${GET} was read over 5000 times in 10 s, from the cache, the last time by "Table": a loop?`,
      },
    ])
  })
})
