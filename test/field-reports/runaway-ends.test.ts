import { type Alert, type Client, type ClientOptions, createClient, defineChannel, type RequestRecord } from 'millrace'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createTestClock, type TestClock } from '../support/test-clock'

const clients: Client[] = []
let clock: TestClock

function makeClient(options: ClientOptions = {}) {
  const sent: RequestRecord[] = []
  const alerts: Alert[] = []
  const fetch = async () => Response.json({ n: sent.length })
  const client = createClient({ environment: 'production', baseUrl: 'http://mill.test', clock, fetch, ...options })
  client.on('request', (record) => sent.push(record))
  client.on('alert', (alert) => alerts.push(alert))
  clients.push(client)
  return { client, sent, alerts }
}

beforeEach(() => {
  clock = createTestClock()
  vi.spyOn(console, 'warn').mockImplementation(() => {})
})
afterEach(() => {
  for (const client of clients.splice(0)) client.close()
  vi.restoreAllMocks()
})

test('a loop that goes on is refused for twice as long each time, up to 5 min', async () => {
  const { client, sent } = makeClient()
  const refusals = new Set<number>()
  for (let round = 0; round < 200; round += 1) {
    for (let n = 0; n < 101; n += 1)
      await client.fetch(`/a?${n}`).catch(({ retryAfter }) => refusals.add(Math.ceil(retryAfter / 10_000)))
    await clock.advance(10_000)
  }
  expect([1, 2, 4, 8, 16, 30].filter((tens) => !refusals.has(tens))).toEqual([])
  expect(Math.max(...refusals)).toBe(30)
  // After 10, 20, 40, 80, 160 and 300 s: twenty a minute, where there were six hundred.
  const lastTenMinutes = sent.filter(({ startedAt }) => clock.now() - startedAt < 600_000)
  expect(lastTenMinutes.length).toBeLessThanOrEqual(200)
})

test('a minute without a loop, and the next one is the first again', async () => {
  const { client } = makeClient()
  const loop = async () => {
    let last: { retryAfter?: number } = {}
    for (let n = 0; n < 101; n += 1) await client.fetch(`/a?${n}`).catch((error) => (last = error))
    return last.retryAfter
  }
  expect(await loop()).toBe(10_000)
  await clock.advance(10_000)
  expect(await loop()).toBe(20_000)
  await clock.advance(20_000 + 60_000)
  expect(await loop()).toBe(10_000)
})

test('a poll beside a loop keeps its pace', async () => {
  const { client, sent } = makeClient()
  client.subscribe(defineChannel({ key: 'poll', snapshot: '/a', interval: 5_000 }), {})
  await clock.advance(1_000)
  for (let second = 0; second < 120; second += 1) {
    for (let n = 0; n < 50; n += 1) await client.fetch(`/a?${n}`).catch(() => {})
    await clock.advance(1_000)
  }
  const polls = sent.filter(({ kind }) => kind === 'background')
  expect(polls.length).toBeGreaterThanOrEqual(20)
})

test('a loop of cached reads costs no request, and is told all the same', async () => {
  const { client, sent, alerts } = makeClient({ cache: { ttl: 60_000 } })
  for (let n = 0; n < 5_000; n += 1) await client.json('/a', undefined, { label: 'Table' })
  expect(alerts).toEqual([])
  for (let n = 0; n < 5_000; n += 1) await client.json('/a', undefined, { label: 'Table' })
  expect(sent).toHaveLength(1)
  expect(alerts).toMatchObject([{ code: 'runaway', endpoint: 'GET http://mill.test/a', subscriber: 'Table' }])
  expect(client.health()).toMatchObject({ status: 'degraded' })
  await clock.advance(60_000)
  expect(client.health()).toMatchObject({ status: 'healthy' })
})

test('a limit that is no number lets nothing through', async () => {
  const { client, sent } = makeClient()
  // As by a door that nobody has checked.
  expect(() => makeClient({ limits: { backgroundPerMinute: Number.NaN } })).toThrow(/backgroundPerMinute/)
  await client.json('/a')
  expect(sent).toHaveLength(1)
})

test('who has signed in again under the same name is asked for again what had failed with 401', async () => {
  let isIn = false
  const { client } = makeClient({
    identity: 'ada',
    fetch: async () => (isIn ? Response.json('hers') : new Response('', { status: 401 })),
  })
  const channel = defineChannel({ key: 'mine', snapshot: '/mine' })
  client.subscribe(channel, {})
  await clock.advance(100)
  expect(client.getState(channel)).toMatchObject({ status: 'failed', error: { code: 'unauthorized' } })
  isIn = true
  client.setIdentity('ada')
  await clock.advance(100)
  expect(client.getState(channel)).toMatchObject({ data: 'hers', error: undefined })
})
