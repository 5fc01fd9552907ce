import { afterEach, describe, expect, test, vi } from 'vitest'
import { defaultBreaker } from '../../src/network/breaker'
import { figuresOf } from '../../src/network/endpoints'
import { DEFAULT_TIMEOUT } from '../../src/network/gate'
import { MillraceError } from '../../src/primitives/errors'
import { GET, NOW, openGate } from '../support/gate'

const times = <T>(count: number, make: (n: number) => T): T[] => Array.from({ length: count }, (_, n) => make(n))
const outcomes = (all: { outcome?: unknown }[]) => all.map(({ outcome }) => outcome)
const off = new MillraceError('disabled', 'switched off')

afterEach(() => {
  vi.unstubAllGlobals()
})

describe('the switch', () => {
  test('breaks off what is inside, and refuses and counts whatever comes, until it is opened', async () => {
    const { gate, send, calls, counters, clock } = openGate()
    const reasons: unknown[] = []
    gate.enter((reason) => reasons.push(reason))
    const leave = gate.enter(() => reasons.push('had left'))
    leave()
    gate.shut(off)
    expect(reasons).toEqual([off])
    expect(() => gate.enter(() => {})).toThrow(off)
    const refused = send()
    await clock.advance(0)
    expect(refused.outcome).toBe(off)
    expect([counters.refused, calls.length, [...gate.endpoints()]]).toEqual([2, 0, []])
    gate.open()
    gate.enter(() => {})
    send()
    await clock.advance(0)
    expect([counters.refused, calls.length]).toEqual([2, 1])
  })

  test('can break off all that is inside and go on', () => {
    const { gate } = openGate()
    const reasons: unknown[] = []
    const leave = gate.enter((reason) => {
      reasons.push(reason)
      leave()
      gate.enter(() => reasons.push('came later'))
    })
    gate.abortAll(off)
    expect(reasons).toEqual([off])
    gate.enter(() => {})
  })
})

describe('a wait', () => {
  test('is over when its time has come, and is a timer by its name', async () => {
    const { gate, clock, tracked } = openGate()
    const over = vi.fn()
    gate.wait(100, 'nap', new AbortController().signal).then(over)
    expect(tracked.timers()).toEqual([{ label: 'nap', dueAt: NOW + 100 }])
    await clock.advance(99)
    expect(over).not.toHaveBeenCalled()
    await clock.advance(1)
    expect(over).toHaveBeenCalledOnce()
  })

  test('that is aborted rejects with the reason, and leaves no timer', async () => {
    const { gate, tracked } = openGate()
    const controller = new AbortController()
    const nap = gate.wait(100, 'nap', controller.signal)
    controller.abort('enough')
    await expect(nap).rejects.toBe('enough')
    expect(tracked.timers()).toEqual([])
  })
})

describe('a budget', () => {
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
    times(6, () => send({ kind: 'background', channel: 'users', timeout: 10_000 }))
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
})

describe('the runaway guard', () => {
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

describe('the slots of an endpoint', () => {
  test('are as many as configured; the rest waits, and whoever finds the queue full is refused', async () => {
    const { send, calls, clock, endpoint, counters } = openGate({ limits: { concurrency: 2, queue: 1 } })
    const all = times(4, () => send())
    await clock.advance(0)
    expect([calls.length, endpoint().slots.inFlight, endpoint().slots.queued]).toEqual([2, 2, 1])
    expect(all[3]!.outcome).toMatchObject({
      code: 'queue-full',
      message: `${GET} has 1 requests waiting: "Table" asks too much at once, or the server is too slow.`,
    })
    expect(counters.refused).toBe(1)
    calls[0]!.answer(200)
    await clock.advance(0)
    expect(calls).toHaveLength(3)
    expect(all[0]!.outcome).toBe(200)
  })

  test('are left by whoever breaks off while it waits', async () => {
    const { send, calls, clock, endpoint } = openGate({ limits: { concurrency: 1 } })
    const controller = new AbortController()
    send()
    const left = send({ signal: controller.signal })
    await clock.advance(0)
    controller.abort('gone')
    await clock.advance(0)
    expect([left.outcome, endpoint().slots.queued]).toEqual(['gone', 0])
    calls[0]!.answer(200)
    await clock.advance(0)
    expect([calls.length, endpoint().slots.inFlight]).toEqual([1, 0])
  })

  test('go to the more urgent first', async () => {
    const { send, calls, clock } = openGate({ limits: { concurrency: 1 } })
    send()
    send({ priority: 'low' }, { method: 'LOW' })
    send({ priority: 'high' }, { method: 'HIGH' })
    await clock.advance(0)
    calls[0]!.answer(200)
    await clock.advance(0)
    expect(calls[1]!.init.method).toBe('HIGH')
  })

  test('are not for streams, nor is the breaker', async () => {
    const { send, calls, clock, endpoint } = openGate({
      limits: { concurrency: 1 },
      breaker: { ...defaultBreaker, failures: 1 },
    })
    times(3, () => send({ stream: true }))
    await clock.advance(0)
    expect([calls.length, endpoint().slots.inFlight]).toEqual([3, 0])
    calls[0]!.answer(500)
    await clock.advance(0)
    expect(endpoint().breaker.name).toBe('closed')
  })
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
    expect([calls.length, endpoint().slots.inFlight]).toEqual([6, 0])
  })

  test('does not hear of what was sent before it opened', async () => {
    const { send, calls, clock, endpoint } = openGate()
    times(6, () => send({ timeout: 60_000 }))
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

  test('counts what could not be reached, and what did not answer in time', async () => {
    for (const end of ['fail', 'time out'] as const) {
      const { send, calls, clock, endpoint } = openGate({ breaker: { ...defaultBreaker, failures: 1 } })
      send()
      await clock.advance(0)
      if (end === 'fail') calls[0]!.fail(new TypeError('fetch failed'))
      await clock.advance(1_000)
      expect(endpoint().breaker.name).toBe('open')
    }
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
    expect([endpoint().breaker.name, endpoint().slots.inFlight]).toEqual(['closed', 0])
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

describe('an exchange', () => {
  test('hands on what was asked for, but for a signal of its own', async () => {
    const { send, calls, clock, counters, endpoint } = openGate()
    const { signal } = new AbortController()
    const sent = send({ signal }, { method: 'POST', body: 'x', signal })
    await clock.advance(0)
    const { input, init, answer } = calls[0]!
    expect([input, init]).toEqual([
      'http://mill.test/a',
      { method: 'POST', body: 'x', signal: expect.any(AbortSignal) },
    ])
    expect(init.signal).not.toBe(signal)
    expect([counters.sent, figuresOf(endpoint(), 0).lastMinute]).toEqual([1, 1])
    answer(201)
    await clock.advance(0)
    expect(sent.outcome).toBe(201)
  })

  test('is told of when it has ended, with its duration', async () => {
    const { send, calls, clock, records, endpoint, counters } = openGate()
    for (const passage of [{}, { kind: 'background', label: 'poll' }, { stream: true }] as const) {
      send(passage)
      await clock.advance(0)
    }
    await clock.advance(40)
    calls[0]!.answer(200)
    calls[1]!.answer(503)
    calls[2]!.answer(200)
    await clock.advance(0)
    const record = { endpoint: GET, startedAt: NOW, duration: 40 }
    expect(records).toEqual([
      { ...record, kind: 'foreground', label: 'Table', status: 200 },
      { ...record, kind: 'background', label: 'poll', status: 503 },
      { ...record, kind: 'stream', label: 'Table', status: 200 },
    ])
    // Streams say nothing about how long answers take.
    expect(endpoint().recent).toEqual([
      { duration: 40, failed: false },
      { duration: 40, failed: true },
    ])
    expect(counters).toMatchObject({ sent: 3, failed: 1 })
  })

  test('that cannot reach the server is an error that says so', async () => {
    const { send, calls, clock, records, counters } = openGate()
    const sent = send()
    await clock.advance(0)
    const cause = new TypeError('fetch failed')
    calls[0]!.fail(cause)
    await clock.advance(0)
    expect(sent.outcome).toMatchObject({
      code: 'network',
      retryable: true,
      cause,
      message: `${GET} could not be reached. Another attempt may succeed.`,
    })
    expect(records[0]).toEqual(expect.objectContaining({ error: sent.outcome }))
    expect(records[0]).not.toHaveProperty('status')
    expect(counters.failed).toBe(1)
  })

  test('with a `fetch` that throws is one that cannot reach the server', async () => {
    const { send, clock, tracked } = openGate({
      fetch: () => {
        throw new TypeError('no')
      },
    })
    const sent = send()
    await clock.advance(0)
    expect(sent.outcome).toMatchObject({ code: 'network' })
    expect(tracked.timers()).toEqual([])
  })

  test('that may take for ever needs no timer', async () => {
    const { send, clock, tracked } = openGate()
    const sent = send({ timeout: Infinity })
    await clock.advance(0)
    expect(tracked.timers()).toEqual([])
    await clock.advance(10 * DEFAULT_TIMEOUT)
    expect(sent.outcome).toBeUndefined()
  })

  test('that takes too long is cut off, though its `fetch` heeds no signal', async () => {
    expect(DEFAULT_TIMEOUT).toBe(15_000)
    const { send, calls, clock, tracked, counters } = openGate()
    const sent = send({ timeout: 500 })
    await clock.advance(0)
    expect(tracked.timers()).toEqual([{ label: `timeout ${GET}`, dueAt: NOW + 500 }])
    await clock.advance(499)
    expect(sent.outcome).toBeUndefined()
    await clock.advance(1)
    expect(sent.outcome).toMatchObject({
      code: 'timeout',
      retryable: true,
      message: `${GET} did not answer within 500 ms. Another attempt may succeed.`,
    })
    expect(calls[0]!.init.signal!.reason).toBe(sent.outcome)
    expect(counters.failed).toBe(1)
  })

  test('that has answered leaves no timer, and its body can still be broken off', async () => {
    const { send, calls, clock, tracked } = openGate()
    const controller = new AbortController()
    send({ signal: controller.signal })
    await clock.advance(0)
    calls[0]!.answer(200)
    await clock.advance(0)
    expect(tracked.timers()).toEqual([])
    controller.abort('gone')
    expect(calls[0]!.init.signal!.reason).toBe('gone')
  })

  test("that is broken off rejects with the caller's reason, and is no failure", async () => {
    const { send, calls, clock, records, counters, endpoint, tracked } = openGate()
    const controller = new AbortController()
    const sent = send({ signal: controller.signal })
    await clock.advance(0)
    controller.abort('gone')
    await clock.advance(0)
    expect(sent.outcome).toBe('gone')
    expect(calls[0]!.init.signal!.reason).toBe('gone')
    expect(records).toHaveLength(1)
    expect(records[0]).not.toHaveProperty('error')
    expect([counters.failed, endpoint().recent, tracked.timers()]).toEqual([0, [], []])
  })

  test('is none if the caller has broken off before it came to it', async () => {
    const { gate, send, calls, clock } = openGate()
    const before = send({ signal: AbortSignal.abort('before') })
    await clock.advance(0)
    expect([before.outcome, calls, [...gate.endpoints()]]).toEqual(['before', [], []])
    const controller = new AbortController()
    const meanwhile = send({ kind: 'background', stream: true, signal: controller.signal })
    controller.abort('meanwhile')
    await clock.advance(0)
    expect([meanwhile.outcome, calls]).toEqual(['meanwhile', []])
  })

  test('calls the `fetch` that the page has at that moment where none was given', async () => {
    const { send, clock } = openGate({ fetch: undefined })
    const fetched = vi.fn(async (..._: unknown[]) => new Response(null, { status: 202 }))
    vi.stubGlobal('fetch', fetched)
    const sent = send({}, { method: 'PUT' })
    await clock.advance(0)
    expect(sent.outcome).toBe(202)
    expect(fetched.mock.calls).toEqual([['http://mill.test/a', expect.objectContaining({ method: 'PUT' })]])
  })
})

describe('an alert about errors', () => {
  test('comes with each failure beyond the share that is allowed', async () => {
    const { exchange, alerts } = openGate({ thresholds: { errorRate: 0.02 }, flags: { breaker: false } })
    await exchange(500, 500)
    expect(alerts).toEqual([])
    await exchange(500)
    expect(alerts).toEqual([
      {
        code: 'error-rate',
        endpoint: GET,
        value: 0.03,
        limit: 0.02,
        message: `${GET} failed in 3 of its last 100 requests: look at the server.`,
      },
    ])
    await exchange(200)
    expect(alerts).toHaveLength(1)
    await exchange(500)
    expect(alerts).toHaveLength(2)
  })
})
