import { afterEach, describe, expect, test, vi } from 'vitest'
import { figuresOf } from '../../src/network/figures'
import { GET, openGate } from '../support/gate'

afterEach(() => {
  vi.unstubAllGlobals()
})

describe('a request that is sent', () => {
  test('hands on what was asked for', async () => {
    const { send, calls, clock, counters, endpoint } = openGate()
    const { signal } = new AbortController()
    const sent = send({ signal }, { method: 'POST', body: 'x' })
    await clock.advance(0)
    const { input, init, answer } = calls[0]!
    expect([input, init]).toEqual(['http://mill.test/a', { method: 'POST', body: 'x', headers: new Headers(), signal }])
    expect([counters.sent, figuresOf(endpoint(), 0).lastMinute]).toEqual([1, 1])
    answer(201)
    await clock.advance(0)
    expect(sent.outcome).toBe(201)
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
    for (let n = 0; n < 5; n += 1) send({ kind: 'background', stream: true })
    const meanwhile = send({ kind: 'background', stream: true, signal: controller.signal })
    controller.abort('meanwhile')
    await clock.advance(60_000)
    expect([meanwhile.outcome, calls.length]).toEqual(['meanwhile', 5])
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
