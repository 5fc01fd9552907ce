import type { ServerResponse } from 'node:http'
import { type Client, type ClientOptions, createClient, type RequestRecord } from 'millrace'
import { afterEach, describe, expect, test } from 'vitest'
import { closeServers, startServer } from '../../support/http-server'
import { createTestClock } from '../../support/test-clock'
import { until } from '../../support/until'

const clients: Client[] = []

function makeClient(options: ClientOptions = {}): Client {
  const client = createClient({ environment: 'production', ...options })
  clients.push(client)
  return client
}

afterEach(async () => {
  for (const client of clients.splice(0)) client.close()
  await closeServers()
})

describe('without coordination', () => {
  const flags = { coordination: false }

  test('`fetch` is the plain one: nothing is shared, counted or refused', async () => {
    const held: ServerResponse[] = []
    const server = await startServer((_, response) => void held.push(response))
    const client = makeClient({ flags, limits: { fetchesPer10s: 1, concurrency: 1 } })
    const asked = [1, 2, 3].map(() => client.fetch(server.url('/a'), {}, { ttl: 60_000 }))
    await until(() => held.length === 3)
    for (const response of held) response.end('ok')
    expect(await Promise.all(asked.map(async (one) => (await one).text()))).toEqual(['ok', 'ok', 'ok'])
    expect(client.stats()).toMatchObject({ requests: { asked: 0, sent: 0 }, cache: { entries: 0 }, endpoints: [] })
  })

  test('`fetch` fails as the plain one does', async () => {
    const server = await startServer((_, response) => void response.socket?.resetAndDestroy())
    const error: unknown = await makeClient({ flags })
      .fetch(server.url('/a'))
      .catch((reason) => reason)
    expect(error).toBeInstanceOf(TypeError)
  })
})

describe('without the guard', () => {
  test('nothing is refused or paced, and the rest goes on', async () => {
    const clock = createTestClock()
    const client = makeClient({
      clock,
      flags: { guard: false },
      limits: { fetchesPer10s: 2, backgroundPerMinute: 1, burst: 1 },
      backoff: { base: 1, cap: 1, jitter: 'none' },
      fetch: async (input) => new Response('{}', { status: String(input).includes('down') ? 500 : 200 }),
    })
    for (let n = 0; n < 10; n += 1) expect((await client.fetch(`http://mill.test/a?${n}`)).ok).toBe(true)
    const kinds: RequestRecord['kind'][] = []
    client.on('request', ({ kind }) => kinds.push(kind))
    const retried = client.fetch('http://mill.test/down', {}, { retry: 3 })
    await clock.advance(10)
    expect((await retried).status).toBe(500)
    expect(kinds).toEqual(['foreground', 'background', 'background', 'background'])
    await client.fetch('http://mill.test/down')
    await expect(client.fetch('http://mill.test/down')).rejects.toMatchObject({ code: 'breaker-open' })
  })
})

describe('a limit of Infinity', () => {
  test('is none', async () => {
    const none = Infinity
    const client = makeClient({
      limits: { fetchesPer10s: none, concurrency: none, queue: none, backgroundPerMinute: none, burst: none },
      fetch: async () => new Response('ok'),
    })
    const asked = Array.from({ length: 500 }, (_, n) => client.fetch(`http://mill.test/a?${n}`))
    expect((await Promise.all(asked)).every(({ ok }) => ok)).toBe(true)
  })
})

describe('a group', () => {
  test('shares budget, slots and figures over endpoints, and answers stay apart', async () => {
    const server = await startServer(({ url }, response) => response.end(JSON.stringify(url)))
    const client = makeClient({ limits: { fetchesPer10s: 3 } })
    const ask = (path: string) => client.json(server.url(path), {}, { group: 'search' })
    expect([await ask('/a'), await ask('/b'), await ask('/c')]).toEqual(['/a', '/b', '/c'])
    await expect(ask('/d')).rejects.toMatchObject({ code: 'runaway', endpoint: 'search' })
    expect(await client.json(server.url('/d'))).toBe('/d')
    expect(client.stats().endpoints.map(({ endpoint, lastMinute }) => [endpoint, lastMinute])).toEqual([
      ['search', 3],
      [`GET ${server.origin}/d`, 1],
    ])
  })
})

describe('options that make no sense', () => {
  test.each<[ClientOptions, string]>([
    [{ limits: { concurrency: 0 } }, 'limits.concurrency'],
    [{ limits: { queue: -1 } }, 'limits.queue'],
    [{ limits: { fetchesPer10s: Number.NaN } }, 'limits.fetchesPer10s'],
    [{ breaker: { failures: -1 } }, 'breaker.failures'],
    [{ cache: { bytes: -1 } }, 'cache.bytes'],
    [{ backoff: { base: 0 } }, 'backoff.base'],
    [{ interval: -5 }, 'interval'],
    [{ thresholds: { errorRate: '5 %' as never } }, 'thresholds.errorRate'],
    [{ environment: 'prod' as never }, 'environment'],
  ])('%o are refused at the door, by name', (options, name) => {
    expect(() => makeClient(options)).toThrow(
      expect.objectContaining({ code: 'config', message: expect.stringContaining(name) }),
    )
  })
})
