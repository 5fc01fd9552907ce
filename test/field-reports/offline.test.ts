import { createClient } from 'millrace'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createTestClock } from '../support/test-clock'

const scope = new EventTarget()
const navigator = { onLine: true }
let removed: string[] = []

function start() {
  let isReachable = false
  const clock = createTestClock()
  const client = createClient({
    environment: 'production',
    baseUrl: 'http://mill.test',
    clock,
    async fetch() {
      if (!isReachable) throw new TypeError('Failed to fetch')
      return Response.json({})
    },
  })
  const press = () =>
    client.json('/orders', undefined, { ttl: 0 }).then(
      () => 'answered',
      ({ code }) => code,
    )
  const turn = (onLine: boolean) => {
    navigator.onLine = isReachable = onLine
    scope.dispatchEvent(new Event(onLine ? 'online' : 'offline'))
  }
  return { client, press, turn }
}

beforeEach(() => {
  navigator.onLine = true
  vi.spyOn(console, 'warn').mockImplementation(() => {})
  vi.stubGlobal('navigator', navigator)
  vi.stubGlobal('addEventListener', scope.addEventListener.bind(scope))
  removed = []
  vi.stubGlobal('removeEventListener', (type: string, listener: EventListener) => {
    removed.push(type)
    scope.removeEventListener(type, listener)
  })
})
afterEach(() => {
  vi.unstubAllGlobals()
  vi.restoreAllMocks()
})

test('what fails while there is no network says nothing about the server; but it is tried', async () => {
  const { client, press, turn } = start()
  turn(false)
  for (let n = 0; n < 30; n += 1) expect(await press()).toBe('network')
  expect(client.stats().endpoints[0]).toMatchObject({ breaker: 'closed', errorRate: 0 })
  turn(true)
  expect(await press()).toBe('answered')
  client.close()
})

test('what failed before the browser noticed is forgotten when the network is back', async () => {
  const { client, press, turn } = start()
  const codes: string[] = []
  client.on('alert', ({ code }) => codes.push(code))
  for (let n = 0; n < 6; n += 1) await press()
  expect(client.stats().endpoints[0]).toMatchObject({ breaker: 'open' })
  turn(true)
  expect(await press()).toBe('answered')
  expect(codes).toEqual(['error-rate', 'breaker-open', 'breaker-closed'].filter((code) => codes.includes(code)))
  expect(client.stats().endpoints[0]).toMatchObject({ breaker: 'closed' })
  // It listens for the network no longer than it has to.
  expect(removed).toEqual(['online'])
  client.close()
})
