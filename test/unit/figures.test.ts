import { describe, expect, test, vi } from 'vitest'
import { newEndpoint } from '../../src/network/endpoint'
import { figuresOf, recordOutcome, recordSent } from '../../src/network/figures'
import { GET, NOW, openGate } from '../support/gate'

describe('the figures of an endpoint', () => {
  test('are nothing before the first answer', () => {
    expect(figuresOf(newEndpoint('GET /a'), 0)).toEqual({ lastMinute: 0, p50: 0, p95: 0, errorRate: 0 })
  })

  test('count what was sent in the last minute, to 5 s', () => {
    const endpoint = newEndpoint('GET /a')
    for (const at of [0, 1, 59_999]) recordSent(endpoint, at)
    const counted = (now: number) => figuresOf(endpoint, now).lastMinute
    expect(counted(59_999)).toBe(3)
    expect(counted(60_000)).toBe(1)
    expect(counted(114_999)).toBe(1)
    expect(counted(115_000)).toBe(0)
  })

  test('keep a number for each 5 s of a minute, and no more, however much is sent', () => {
    const endpoint = newEndpoint('GET /a')
    for (let at = 0; at < 200_000; at += 100) recordSent(endpoint, at)
    expect(endpoint.sent).toHaveLength(12)
    expect(figuresOf(endpoint, 199_999).lastMinute).toBe(600)
  })

  test('are of the last hundred answers, whatever their order', () => {
    const endpoint = newEndpoint('GET /a')
    recordOutcome(endpoint, 1_000_000, true)
    for (let ms = 100; ms >= 1; ms -= 1) recordOutcome(endpoint, ms, ms > 80)
    expect(endpoint.recent).toHaveLength(100)
    expect(figuresOf(endpoint, 0)).toEqual({ lastMinute: 0, p50: 51, p95: 96, errorRate: 0.2 })
  })

  test('take a first failure for a rate of all', () => {
    const endpoint = newEndpoint('GET /a')
    recordOutcome(endpoint, 10, true)
    expect(figuresOf(endpoint, 0)).toMatchObject({ p50: 10, p95: 10, errorRate: 1 })
  })
})

describe('what became of a request', () => {
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
})

describe('a request without an answer', () => {
  test.each([
    [true, []],
    [undefined, [{ duration: 40, failed: true }]],
  ])('has failed, and counts for the endpoint unless the device is offline: %s', async (isOffline, recent) => {
    vi.stubGlobal('navigator', isOffline ? { onLine: false } : {})
    const { send, calls, clock, endpoint, records, counters } = openGate()
    await clock.advance(1_000)
    send()
    await clock.advance(40)
    calls[0]!.fail(new TypeError('fetch failed'))
    await clock.advance(0)
    expect(endpoint().recent).toEqual(recent)
    expect(records).toMatchObject([{ duration: 40, error: { code: 'network' } }])
    expect(counters.failed).toBe(1)
    vi.unstubAllGlobals()
  })
})

describe('an alert about errors', () => {
  test('comes with each failure beyond the share of a hundred that is allowed: a first failure is not yet a rate', async () => {
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
