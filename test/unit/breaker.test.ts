import { afterEach, describe, expect, test, vi } from 'vitest'
import { type BreakerEvent, defaultBreaker, stepBreaker } from '../../src/network/breaker'
import { type BreakerState, closedBreaker } from '../../src/network/endpoint'
import { MillraceError } from '../../src/primitives/errors'
import { GET, openGate } from '../support/gate'

const times = <T>(count: number, make: (n: number) => T): T[] => Array.from({ length: count }, (_, n) => make(n))

const NOW = 100_000
const options = { failures: 3, window: 1_000, cooldown: 500 }

/** Each state as a situation; `open` is two of them, before and after its time. */
const situations = {
  'closed, calm': closedBreaker,
  'closed, one failure short': { name: 'closed', failedAt: [NOW - 999, NOW - 1] },
  'closed, with a failure that is too old': { name: 'closed', failedAt: [NOW - 1_000, NOW - 1] },
  'open, not due': { name: 'open', until: NOW + 1 },
  'open, due': { name: 'open', until: NOW },
  'half-open': { name: 'half-open' },
} satisfies Record<string, BreakerState>

type Situation = keyof typeof situations
type Expected = 'same' | BreakerState

const opened: Expected = { name: 'open', until: NOW + 500 }
const same: Expected = 'same'

const table: Record<Situation, Record<BreakerEvent, Expected>> = {
  'closed, calm': {
    ask: same,
    success: same,
    failure: { name: 'closed', failedAt: [NOW] },
    neutral: same,
  },
  'closed, one failure short': { ask: same, success: same, failure: opened, neutral: same },
  'closed, with a failure that is too old': {
    ask: same,
    success: same,
    failure: { name: 'closed', failedAt: [NOW - 1, NOW] },
    neutral: same,
  },
  'open, not due': { ask: same, success: same, failure: same, neutral: same },
  'open, due': {
    ask: { name: 'half-open' },
    success: same,
    failure: same,
    neutral: same,
  },
  'half-open': {
    ask: same,
    success: closedBreaker,
    failure: opened,
    neutral: { name: 'open', until: NOW },
  },
}

const rows = Object.entries(table).flatMap(([situation, events]) =>
  Object.entries(events).map(
    ([event, expected]) => [situation, event, expected] as [Situation, BreakerEvent, Expected],
  ),
)

test.each(rows)('%s takes %s', (situation, event, expected) => {
  const state: BreakerState = situations[situation]
  const before = structuredClone(state)
  const step = stepBreaker(options, state, event, NOW)
  if (expected === 'same') expect(step).toBe(state)
  else expect(step).toEqual(expected)
  // Pure: what it was given is as it was.
  expect(state).toEqual(before)
})

test('opens with 5 failures in 60 s, for 30 s, by default', () => {
  expect(defaultBreaker).toEqual({ failures: 5, window: 60_000, cooldown: 30_000 })
})

test('remembers no more failures than could open it', () => {
  let state: BreakerState = closedBreaker
  for (let n = 0; n < 10_000; n += 1) {
    state = stepBreaker({ failures: 5, window: 1_000, cooldown: 1 }, state, 'failure', n * 250)
    if (state.name === 'closed') expect(state.failedAt.length).toBeLessThan(5)
  }
  expect(state.name).toBe('closed')
})

describe('the breaker of an endpoint', () => {
  test('opens when it keeps failing, refuses with the time that is left, and tells it', async () => {
    const { send, calls, alerts, clock, counters, exchange } = openGate()
    await exchange(500, 502, 503, 504, 599)
    expect(alerts).toEqual([
      {
        code: 'breaker-open',
        endpoint: GET,
        message: `${GET} keeps failing. Not asking for 30 s, old answers are served.`,
      },
    ])
    await clock.advance(1_500)
    const refused = send()
    await clock.advance(0)
    expect(refused.outcome).toMatchObject({
      code: 'breaker-open',
      retryable: true,
      retryAfter: 28_500,
      message: `${GET} failed too often. Not asking for 29 s.`,
    })
    expect([calls.length, counters.refused]).toEqual([5, 1])
  })

  test('lets nobody use up a budget while it is open, and lets streams pass', async () => {
    const { send, calls, clock, exchange } = openGate({ limits: { fetchesPer10s: 6 } })
    await exchange(500, 500, 500, 500, 500)
    times(50, () => send())
    await clock.advance(0)
    expect(calls).toHaveLength(5)
    const stream = send({ stream: true })
    await clock.advance(0)
    expect([calls.length, stream.outcome]).toEqual([6, undefined])
  })

  test('asks once when its time has come, and closes when that succeeds', async () => {
    const { send, calls, alerts, clock, exchange, endpoint } = openGate()
    await exchange(500, 500, 500, 500, 500)
    await clock.advance(30_000)
    times(10, () => send())
    await clock.advance(0)
    expect([calls.length, endpoint().breaker.name]).toEqual([6, 'half-open'])
    calls[5]!.answer(200)
    await clock.advance(0)
    expect(alerts.at(-1)).toEqual({ code: 'breaker-closed', endpoint: GET, message: `${GET} answers again.` })
    // And little by little at first.
    expect([calls.length, endpoint().breaker.name]).toEqual([8, 'closed'])
  })

  test('opens again when that fails, and those who waited are refused', async () => {
    const { send, calls, clock, exchange, endpoint } = openGate()
    await exchange(500, 500, 500, 500, 500)
    await clock.advance(30_000)
    const all = times(3, () => send())
    await clock.advance(0)
    calls[5]!.answer(500)
    await clock.advance(0)
    expect(endpoint().breaker).toEqual({ name: 'open', until: 60_000 })
    expect(all.map(({ outcome }) => (outcome instanceof MillraceError ? outcome.code : outcome))).toEqual([
      500,
      'breaker-open',
      'breaker-open',
    ])
    expect([calls.length, endpoint().inFlight]).toEqual([6, 0])
  })

  test('does not hear of what was sent before it opened', async () => {
    const { send, calls, clock, endpoint } = openGate()
    times(6, () => send())
    await clock.advance(0)
    for (const call of calls.slice(1)) call.answer(500)
    await clock.advance(30_000)
    expect(endpoint().breaker).toEqual({ name: 'open', until: 30_000 })
    send()
    await clock.advance(0)
    expect(endpoint().breaker.name).toBe('half-open')
    calls[0]!.answer(200)
    await clock.advance(0)
    expect(endpoint().breaker.name).toBe('half-open')
    calls[6]!.answer(200)
    await clock.advance(0)
    expect(endpoint().breaker.name).toBe('closed')
  })

  test.each([200, 204, 301, 400, 404, 408, 425, 429])('does not count a %d', async (status) => {
    const { exchange, endpoint } = openGate({ breaker: { ...defaultBreaker, failures: 1 } })
    await exchange(status)
    expect(endpoint().breaker.name).toBe('closed')
  })

  test.each([408, 429])('tries again at once after a %d: it says nothing about the server', async (status) => {
    const { exchange, endpoint, clock, alerts } = openGate({ breaker: { ...defaultBreaker, failures: 1 } })
    await exchange(500)
    await clock.advance(30_000)
    await exchange(status)
    expect(endpoint().breaker).toEqual({ name: 'open', until: 30_000 })
    await exchange(200)
    expect(endpoint().breaker.name).toBe('closed')
    expect(alerts.map(({ code }) => code)).toEqual(['breaker-open', 'breaker-closed'])
  })

  test('doubles what it lets through with successes alone', async () => {
    const { send, calls, clock, exchange } = openGate({ breaker: { ...defaultBreaker, failures: 1 } })
    await exchange(500)
    await clock.advance(30_000)
    times(10, () => send())
    await clock.advance(0)
    calls[1]!.answer(200)
    await clock.advance(0)
    expect(calls).toHaveLength(4)
    calls[2]!.answer(429)
    await clock.advance(0)
    expect(calls).toHaveLength(5)
  })

  test('counts what could not be reached', async () => {
    const { send, calls, clock, endpoint } = openGate({ breaker: { ...defaultBreaker, failures: 1 } })
    send()
    await clock.advance(0)
    calls[0]!.fail(new TypeError('fetch failed'))
    await clock.advance(0)
    expect(endpoint().breaker.name).toBe('open')
  })

  test.each([
    ['counts what did not answer in time', 500, 500, 'open'],
    ['does not count what had waited for its turn for longer', 500, 499, 'closed'],
  ])('%s', async (_, waited, asked, breaker) => {
    const { send, clock, endpoint, tracked, counters, records } = openGate({
      breaker: { ...defaultBreaker, failures: 1 },
    })
    const controller = new AbortController()
    await clock.advance(waited)
    const sent = send({ signal: controller.signal, since: tracked.elapsed() - waited })
    await clock.advance(asked)
    const late = new MillraceError('timeout', 'late', { retryable: true })
    controller.abort(late)
    await clock.advance(0)
    expect([sent.outcome, endpoint().breaker.name]).toEqual([late, breaker])
    expect([counters.failed, records[0]!.error]).toEqual(breaker === 'open' ? [1, late] : [0, undefined])
  })

  test('does not count who breaks off', async () => {
    const { send, clock, endpoint } = openGate({ breaker: { ...defaultBreaker, failures: 1 } })
    for (const reason of ['gone', new MillraceError('aborted', 'gone')]) {
      const controller = new AbortController()
      send({ signal: controller.signal })
      await clock.advance(0)
      controller.abort(reason)
      await clock.advance(0)
    }
    expect([endpoint().breaker.name, endpoint().inFlight]).toEqual(['closed', 0])
  })

  test('stays out of it where it is switched off', async () => {
    const { exchange, calls, endpoint, settings } = openGate({ breaker: { ...defaultBreaker, failures: 2 } })
    Object.assign(settings.flags, { breaker: false })
    await exchange(500, 500, 500)
    expect([calls.length, endpoint().breaker.name]).toEqual([3, 'closed'])
    Object.assign(settings.flags, { breaker: true })
    await exchange(500, 500)
    expect(endpoint().breaker.name).toBe('open')
    Object.assign(settings.flags, { breaker: false })
    await exchange(200)
    expect(calls).toHaveLength(6)
  })
})

describe('the network that is back', () => {
  afterEach(() => {
    vi.unstubAllGlobals()
  })

  const failing = { breaker: { ...defaultBreaker, failures: 1 } }
  /** Who listens for it. */
  function platform() {
    const listeners = new Set<() => void>()
    vi.stubGlobal('addEventListener', (type: string, run: () => void) => type === 'online' && listeners.add(run))
    vi.stubGlobal('removeEventListener', (_: string, run: () => void) => listeners.delete(run))
    return listeners
  }

  test('closes what is not closed, tells it, and is listened for meanwhile alone', async () => {
    const listeners = platform()
    const { exchange, endpoint, send, alerts, clock, gate } = openGate(failing)
    send({ endpoint: 'GET another' })
    await exchange(200)
    expect(listeners.size).toBe(0)
    await exchange(500)
    expect([listeners.size, alerts.length]).toEqual([1, 1])
    for (const online of listeners) online()
    const broken = [...gate.endpoints()].find(({ name }) => name === GET)!
    expect([broken.breaker.name, listeners.size]).toEqual(['closed', 0])
    expect(alerts.slice(1)).toEqual([
      { code: 'breaker-closed', endpoint: GET, message: `${GET} is asked again: the network is back.` },
    ])
    await exchange(500)
    await clock.advance(30_000)
    await exchange(200)
    expect([endpoint().breaker.name, listeners.size]).toEqual(['closed', 0])
  })

  test('is not listened for while the gate is shut', async () => {
    const listeners = platform()
    const { exchange, gate } = openGate(failing)
    await exchange(500)
    gate.shut(new MillraceError('disabled', 'switched off'))
    expect(listeners.size).toBe(0)
    gate.open()
    expect(listeners.size).toBe(1)
  })
})
