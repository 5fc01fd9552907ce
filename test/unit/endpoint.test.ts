import { describe, expect, test } from 'vitest'
import {
  closedBreaker,
  createEndpoints,
  type Endpoint,
  newEndpoint,
  refused,
  seconds,
  tell,
} from '../../src/network/endpoint'
import { networkContext } from '../support/gate'
import { createTestClock } from '../support/test-clock'

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
    expect(endpoint.refusal).toEqual({ until: 0, who: '', ms: 0 })
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

  const isAsked = (endpoint: Endpoint) => {
    endpoint.inFlight += 1
  }
  const waits = (endpoint: Endpoint) => {
    endpoint.queue = [{ rank: () => 0, run() {} }]
  }
  const isPaced = (endpoint: Endpoint) => {
    endpoint.pacing = 1
  }
  const isPolled = (endpoint: Endpoint) => {
    endpoint.claims = new Set([() => 1])
  }
  test.each<[string, ...((endpoint: Endpoint) => unknown)[]]>([
    ['has a request under way', isAsked],
    ['has one that waits for its slot', waits],
    ['has one that waits for its budget', isPaced],
    ['is polled', isPolled],
    ['is polled and has one that waits', isPolled, waits],
    ['is polled and has one that waits for its budget', isPolled, isPaced],
    ['has a request under way and one that waits', isAsked, waits],
  ])('are one that %s too, however long ago it was used', (_, ...occupy) => {
    const endpoints = createEndpoints()
    const endpoint = endpoints.of('busy')
    for (const each of occupy) each(endpoint)
    fill(endpoints, 1_000)
    expect(endpoints.of('busy')).toBe(endpoint)
    expect(names(endpoints)).toHaveLength(500)
  })
})

describe('what is said of an endpoint', () => {
  test('names it, in alerts and in errors, and a refusal is counted', () => {
    const { context, alerts, counters } = networkContext(createTestClock())
    const endpoint = newEndpoint('GET /a')
    tell(context, 'runaway', endpoint, 'runs.', { value: 2 })
    expect(alerts).toEqual([{ code: 'runaway', message: 'GET /a runs.', endpoint: 'GET /a', value: 2 }])
    expect(refused(context, 'queue-full', endpoint, 'is full.', 7)).toMatchObject({
      code: 'queue-full',
      message: 'GET /a is full.',
      endpoint: 'GET /a',
      retryable: true,
      retryAfter: 7,
    })
    expect(counters.refused).toBe(1)
  })

  test('is said in whole seconds, none too short', () => {
    expect([1, 1_000, 1_001].map(seconds)).toEqual(['1 s', '1 s', '2 s'])
  })
})
