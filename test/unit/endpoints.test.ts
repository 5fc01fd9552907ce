import { describe, expect, test } from 'vitest'
import { closedBreaker } from '../../src/network/breaker'
import {
  createEndpoints,
  type Endpoint,
  failuresPer100,
  figuresOf,
  recordOutcome,
  recordSent,
} from '../../src/network/endpoints'

const fresh = (): Endpoint => createEndpoints().of('GET /a')
const limits = { concurrency: 1, queue: 1 }

describe('the endpoints that are remembered', () => {
  const names = (endpoints: ReturnType<typeof createEndpoints>) => [...endpoints.all()].map(({ name }) => name)
  const fill = (endpoints: ReturnType<typeof createEndpoints>, count: number) => {
    for (let n = 1; n <= count; n += 1) endpoints.of(`${n}`)
  }

  test('are the same whenever they are asked for, and new ones know nothing', () => {
    const endpoints = createEndpoints()
    const endpoint = endpoints.of('GET /a')
    expect(endpoints.of('GET /a')).toBe(endpoint)
    expect(endpoint).toMatchObject({ name: 'GET /a', breaker: closedBreaker, pacing: 0, recent: [], sent: [] })
    expect(endpoint.claims.size).toBe(0)
  })

  test('are the 500 that were used last', () => {
    const endpoints = createEndpoints()
    fill(endpoints, 500)
    const first = endpoints.of('1')
    expect(names(endpoints)).toHaveLength(500)
    endpoints.of('one more')
    expect(names(endpoints)).toHaveLength(500)
    expect(names(endpoints)).not.toContain('2')
    expect(endpoints.of('1')).toBe(first)
    endpoints.of('3')
    expect(names(endpoints).slice(-3)).toEqual(['one more', '1', '3'])
  })

  const isAsked = ({ slots }: Endpoint) =>
    slots.enter(
      () => 'normal',
      0,
      limits,
      () => {},
    )
  const waits = ({ slots }: Endpoint) =>
    slots.enter(
      () => 'normal',
      0,
      { ...limits, concurrency: 0 },
      () => {},
    )
  const isPaced = (endpoint: Endpoint) => {
    endpoint.pacing = 1
  }
  const isPolled = ({ claims }: Endpoint) => claims.add(() => 1)
  test.each<[string, ...((endpoint: Endpoint) => unknown)[]]>([
    ['has a request under way', isAsked],
    ['has one that waits for its slot', waits],
    ['has one that waits for its budget', isPaced],
    ['is polled', isPolled],
    ['is polled and has one that waits', isPolled, waits],
    ['is polled and has one that waits for its budget', isPolled, isPaced],
    ['has a request under way and one that waits', isAsked, isAsked],
  ])('are one that %s too, however long ago it was used', (_, ...occupy) => {
    const endpoints = createEndpoints()
    const endpoint = endpoints.of('busy')
    for (const each of occupy) each(endpoint)
    fill(endpoints, 1_000)
    expect(endpoints.of('busy')).toBe(endpoint)
    expect(names(endpoints)).toHaveLength(500)
  })
})

describe('the figures of an endpoint', () => {
  test('are nothing before the first answer', () => {
    expect(figuresOf(fresh(), 0)).toEqual({ lastMinute: 0, p50: 0, p95: 0, errorRate: 0 })
    expect(failuresPer100(fresh())).toBe(0)
  })

  test('count what was sent in the last minute, to 5 s', () => {
    const endpoint = fresh()
    for (const at of [0, 1, 59_999]) recordSent(endpoint, at)
    const counted = (now: number) => figuresOf(endpoint, now).lastMinute
    expect(counted(59_999)).toBe(3)
    expect(counted(60_000)).toBe(1)
    expect(counted(114_999)).toBe(1)
    expect(counted(115_000)).toBe(0)
  })

  test('keep a number for each 5 s of a minute, and no more, however much is sent', () => {
    const endpoint = fresh()
    for (let at = 0; at < 200_000; at += 100) recordSent(endpoint, at)
    expect(endpoint.sent).toHaveLength(12)
    expect(figuresOf(endpoint, 199_999).lastMinute).toBe(600)
  })

  test('are of the last hundred answers, whatever their order', () => {
    const endpoint = fresh()
    recordOutcome(endpoint, 1_000_000, true)
    for (let ms = 100; ms >= 1; ms -= 1) recordOutcome(endpoint, ms, ms > 80)
    expect(endpoint.recent).toHaveLength(100)
    expect(figuresOf(endpoint, 0)).toEqual({ lastMinute: 0, p50: 51, p95: 96, errorRate: 0.2 })
    expect(failuresPer100(endpoint)).toBe(0.2)
  })

  test('take a first failure for a rate of all, but for one in a hundred where an alert depends on it', () => {
    const endpoint = fresh()
    recordOutcome(endpoint, 10, true)
    expect(figuresOf(endpoint, 0)).toMatchObject({ p50: 10, p95: 10, errorRate: 1 })
    expect(failuresPer100(endpoint)).toBe(0.01)
  })
})
