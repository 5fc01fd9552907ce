import type { ServerResponse } from 'node:http'
import { type Alert, type Client, type ClientOptions, createClient, defineChannel, type RequestRecord } from 'millrace'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { closeServers, startServer } from '../../support/http-server'
import { createTestClock, type TestClock } from '../../support/test-clock'
import { until } from '../../support/until'
import { catchReported } from '../channels/watch'

const clients: Client[] = []
let clock: TestClock

function makeClient(options: ClientOptions = {}): { client: Client; alerts: Alert[] } {
  const client = createClient({ environment: 'production', clock, ...options })
  const alerts: Alert[] = []
  client.on('alert', (alert) => alerts.push(alert))
  clients.push(client)
  return { client, alerts }
}

/** A server in memory that answers after so many ms of the test clock, with that status. */
function createMill() {
  const mill = {
    status: 200,
    delay: 0,
    fetch: (): Promise<Response> => {
      const { status } = mill
      return new Promise((resolve) => {
        clock.after(mill.delay, () => resolve(new Response('{}', { status })), 'mill')
      })
    },
  }
  return mill
}

let query = 0
async function ask(client: Client, ms = 0): Promise<void> {
  const asked = client.fetch(`http://mill.test/a?${++query}`).catch(() => {})
  await clock.advance(ms)
  await asked
}

beforeEach(() => {
  clock = createTestClock()
})

afterEach(async () => {
  for (const client of clients.splice(0)) client.close()
  vi.restoreAllMocks()
  await closeServers()
})

describe('the counters', () => {
  test('add up: what was asked was sent, shared, cached or refused', async () => {
    const held: ServerResponse[] = []
    const server = await startServer(({ url }, response) => {
      if (url === '/held') held.push(response)
      else if (url === '/down') response.writeHead(503).end()
      else response.end('{}')
    })
    const { client } = makeClient({ limits: { fetchesPer10s: 4 } })
    const held_ = [client.fetch(server.url('/held')), client.fetch(server.url('/held')), client.json(server.url('/a'))]
    await until(() => held.length === 1)
    held[0]!.end()
    await Promise.all(held_)
    await client.json(server.url('/a'))
    await client.fetch(server.url('/down'))
    for (let n = 0; n < 4; n += 1) await client.fetch(server.url(`/b?${n}`))
    await expect(client.fetch(server.url('/b?4'))).rejects.toMatchObject({ code: 'runaway' })
    expect(client.stats().requests).toEqual({
      asked: 10,
      sent: 7,
      shared: 1,
      cached: 1,
      failed: 1,
      refused: 1,
      saved: 0.2,
    })
  })

  test('of a channel count each subscriber as one who would have asked', async () => {
    const { client } = makeClient({ fetch: createMill().fetch })
    const channel = defineChannel({ key: 'users', snapshot: 'http://mill.test/users', interval: 10_000 })
    for (let n = 0; n < 4; n += 1) client.subscribe(channel, {})
    await clock.advance(35_000)
    const { asked, sent, saved } = client.stats().requests
    expect(sent).toBe(4)
    expect(asked).toBeGreaterThanOrEqual(16)
    expect(saved).toBeGreaterThanOrEqual(0.75)
    expect(saved).toBeLessThan(1)
  })

  test('begin at zero, and nothing asked saves nothing', () => {
    const { client } = makeClient()
    expect(client.stats()).toMatchObject({
      since: clock.now(),
      enabled: true,
      requests: { asked: 0, sent: 0, shared: 0, cached: 0, failed: 0, refused: 0, saved: 0 },
      endpoints: [],
      timers: [],
      memory: 0,
    })
  })
})

describe('an endpoint', () => {
  test('shows how long its answers take, p50 and p95', async () => {
    const mill = createMill()
    const { client } = makeClient({ fetch: mill.fetch })
    for (let ms = 1; ms <= 100; ms += 1) {
      mill.delay = ms
      await ask(client, ms)
    }
    const { p50, p95 } = client.stats().endpoints[0]!
    expect(p50).toBeGreaterThanOrEqual(50)
    expect(p50).toBeLessThanOrEqual(51)
    expect(p95).toBeGreaterThanOrEqual(95)
    expect(p95).toBeLessThanOrEqual(96)
  })

  test('shows what was sent to it in the last minute, and its budget', async () => {
    const { client } = makeClient({ fetch: createMill().fetch })
    for (let n = 0; n < 5; n += 1) await ask(client)
    await clock.advance(30_000)
    for (let n = 0; n < 3; n += 1) await ask(client)
    expect(client.stats().endpoints).toMatchObject([{ endpoint: 'GET http://mill.test/a', lastMinute: 8, budget: 20 }])
    await clock.advance(30_000)
    expect(client.stats().endpoints[0]).toMatchObject({ lastMinute: 3 })
    await clock.advance(30_000)
    expect(client.stats().endpoints[0]).toMatchObject({ lastMinute: 0 })
  })

  test('shows the share of failures among its last 100 answers', async () => {
    const mill = createMill()
    const { client } = makeClient({ fetch: mill.fetch, breaker: { failures: Infinity } })
    const alone = { fetchesPer10s: Infinity }
    const { client: other } = makeClient({ fetch: mill.fetch, breaker: { failures: Infinity }, limits: alone })
    for (let n = 0; n < 8; n += 1) await ask(client)
    mill.status = 500
    for (let n = 0; n < 2; n += 1) await ask(client)
    expect(client.stats().endpoints[0]!.errorRate).toBe(0.2)
    for (let n = 0; n < 10; n += 1) await ask(other)
    mill.status = 200
    for (let n = 0; n < 100; n += 1) await ask(other)
    expect(other.stats().endpoints[0]!.errorRate).toBe(0)
  })

  test('does not count a 4xx or an abort as a failure', async () => {
    const mill = createMill()
    const { client } = makeClient({ fetch: mill.fetch })
    mill.status = 404
    for (let n = 0; n < 10; n += 1) await ask(client)
    mill.delay = 1_000
    const controller = new AbortController()
    const aborted = client.fetch('http://mill.test/a', { signal: controller.signal }).catch((error) => error)
    await clock.advance(10)
    controller.abort('gone')
    expect(await aborted).toBe('gone')
    expect(client.stats().endpoints[0]!.errorRate).toBe(0)
    expect(client.stats().requests.failed).toBe(0)
  })
})

describe('a `request` event', () => {
  test('tells of each request that ended: who asked, when, how long, with what', async () => {
    const mill = createMill()
    const { client } = makeClient({ fetch: mill.fetch })
    const records: RequestRecord[] = []
    const stop = client.on('request', (record) => records.push(record))
    const startedAt = clock.now()
    mill.delay = 40
    const asked = client.fetch('http://mill.test/a?token=secret', {}, { label: 'Table' })
    await clock.advance(40)
    await asked
    expect(records).toEqual([
      {
        endpoint: 'GET http://mill.test/a',
        kind: 'foreground',
        label: 'Table',
        startedAt,
        duration: 40,
        status: 200,
      },
    ])
    mill.fetch = async () => {
      throw new TypeError('fetch failed')
    }
    const { client: broken } = makeClient({ fetch: mill.fetch })
    broken.on('request', (record) => records.push(record))
    await broken.fetch('http://mill.test/a').catch(() => {})
    expect(records[1]).toMatchObject({ error: { code: 'network' }, label: 'client.fetch' })
    expect(records[1]).not.toHaveProperty('status')
    stop()
    await ask(client, 40)
    expect(records).toHaveLength(2)
  })

  test('with a listener that throws harms neither the request nor the other listeners', async () => {
    const reported = catchReported()
    try {
      const { client } = makeClient({ fetch: createMill().fetch })
      const seen: string[] = []
      client.on('request', () => {
        throw new Error('mine')
      })
      client.on('request', ({ endpoint }) => seen.push(endpoint))
      await ask(client)
      expect(seen).toEqual(['GET http://mill.test/a'])
      expect(reported).toEqual([expect.objectContaining({ code: 'callback', cause: new Error('mine') })])
    } finally {
      vi.unstubAllGlobals()
      vi.restoreAllMocks()
    }
  })
})

describe('an alert', () => {
  test('comes when over 5 of the last 100 requests failed, and not before', async () => {
    const mill = createMill()
    const { client, alerts } = makeClient({ fetch: mill.fetch, breaker: { failures: Infinity } })
    mill.status = 500
    for (let n = 0; n < 5; n += 1) await ask(client)
    expect(alerts).toEqual([])
    await ask(client)
    expect(alerts).toEqual([
      expect.objectContaining({ code: 'error-rate', endpoint: 'GET http://mill.test/a', limit: 0.05, value: 0.06 }),
    ])
    expect(client.health()).toMatchObject({ status: expect.any(String) })
  })

  test('about errors has a threshold of its own', async () => {
    const mill = createMill()
    const { client, alerts } = makeClient({
      fetch: mill.fetch,
      breaker: { failures: Infinity },
      thresholds: { errorRate: 0.5 },
    })
    mill.status = 500
    for (let n = 0; n < 50; n += 1) await ask(client)
    expect(alerts).toEqual([])
    await ask(client)
    expect(alerts).toMatchObject([{ code: 'error-rate', limit: 0.5 }])
  })

  test('is told at most once a minute per code and endpoint', async () => {
    const mill = createMill()
    const { client, alerts } = makeClient({ fetch: mill.fetch, limits: { fetchesPer10s: 1 } })
    const hurry = async (path: string) => {
      for (let n = 0; n < 5; n += 1) await client.fetch(`http://mill.test${path}?${++query}`).catch(() => {})
    }
    const settle = async (path: string) => {
      const done = hurry(path)
      for (let n = 0; n < 5; n += 1) await clock.advance(0)
      await done
    }
    await settle('/a')
    await clock.advance(10_000)
    await settle('/a')
    expect(alerts.map(({ code, endpoint }) => [code, endpoint])).toEqual([['runaway', 'GET http://mill.test/a']])
    await settle('/b')
    expect(alerts).toHaveLength(2)
    await clock.advance(50_000)
    await settle('/a')
    expect(alerts.map(({ endpoint }) => endpoint)).toEqual([
      'GET http://mill.test/a',
      'GET http://mill.test/b',
      'GET http://mill.test/a',
    ])
  })

  test.each([
    ['development', {}, 1],
    ['test', {}, 1],
    ['docker', {}, 1],
    ['production', {}, 0],
    ['production', { debug: true }, 1],
  ] as const)('is printed in %s with %o: %i time', async (environment, options, times) => {
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => {})
    const { client, alerts } = makeClient({
      environment,
      ...options,
      fetch: createMill().fetch,
      limits: { fetchesPer10s: 1 },
    })
    for (let round = 0; round < 3; round += 1) {
      for (let n = 0; n < 3; n += 1) {
        const asked = client.fetch(`http://mill.test/a?${++query}`, {}, { label: 'Table' }).catch(() => {})
        await clock.advance(0)
        await asked
      }
      await clock.advance(61_000)
    }
    expect(alerts.length).toBeGreaterThanOrEqual(2)
    expect(warn).toHaveBeenCalledTimes(times)
    if (times) expect(warn.mock.calls[0]!.join(' ')).toMatch(/millrace.*runaway.*"Table"/)
  })
})

describe('health', () => {
  test('is healthy, degraded by a breaker, unhealthy while something runs away', async () => {
    const mill = createMill()
    const { client } = makeClient({ fetch: mill.fetch, limits: { fetchesPer10s: 20 } })
    await ask(client)
    expect(client.health()).toEqual({ status: 'healthy', reasons: [] })
    mill.status = 500
    for (let n = 0; n < 5; n += 1) await ask(client)
    expect(client.health()).toMatchObject({ status: 'degraded', reasons: [expect.stringContaining('breaker')] })
    mill.status = 200
    await clock.advance(30_000)
    await ask(client)
    expect(client.health()).toEqual({ status: 'healthy', reasons: [] })
    for (let n = 0; n < 21; n += 1) await ask(client)
    expect(client.health().status).toBe('unhealthy')
  })

  test('is unhealthy with a channel that has failed for good, and degraded when it is switched off', async () => {
    const mill = createMill()
    const { client } = makeClient({ fetch: mill.fetch })
    mill.status = 404
    client.subscribe(defineChannel({ key: 'gone', snapshot: 'http://mill.test/gone' }), {})
    await clock.advance(100)
    expect(client.health()).toMatchObject({ status: 'unhealthy', reasons: [expect.stringContaining('404')] })
    const { client: off } = makeClient()
    off.disable()
    expect(off.health()).toEqual({ status: 'degraded', reasons: ['disabled'] })
  })
})
