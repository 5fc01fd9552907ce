import type { ServerResponse } from 'node:http'
import { type Client, type ClientOptions, configure, createClient, getClient } from 'millrace'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { closeServers, startServer, type TestServer } from '../../support/http-server'
import { createTestClock, type TestClock } from '../../support/test-clock'
import { until } from '../../support/until'

const clients: Client[] = []
let clock: TestClock

function makeClient(options: ClientOptions = {}): Client {
  const client = createClient({ environment: 'production', clock, ...options })
  clients.push(client)
  return client
}

/** A server that counts its answers: `{ n, url }`, with a status that a test may change. */
async function startCounting(headers: Record<string, string> = {}): Promise<TestServer & { status: number }> {
  let n = 0
  const server = await startServer(({ url }, response) => {
    n += 1
    response.writeHead(counting.status, { 'content-type': 'application/json', ...headers })
    response.end(JSON.stringify({ n, url }))
  })
  const counting = Object.assign(Object.create(server) as TestServer, { status: 200 })
  return counting
}

const read = async (response: Promise<Response>): Promise<number> => (await (await response).json()).n

beforeEach(() => {
  clock = createTestClock()
})

afterEach(async () => {
  for (const client of clients.splice(0)) client.close()
  vi.restoreAllMocks()
  await closeServers()
})

describe('an answer with a `ttl`', () => {
  test('is served again until its time is over, to each caller as its own', async () => {
    const server = await startCounting()
    const client = makeClient()
    const url = server.url('/a')
    const first = await client.fetch(url, {}, { ttl: 1_000 })
    expect(await read(Promise.resolve(first))).toBe(1)
    await clock.advance(999)
    const again = await client.fetch(url, {}, { ttl: 1_000 })
    expect([again.url, again.status, again.headers.get('content-type')]).toEqual([url, 200, 'application/json'])
    expect(again === first).toBe(false)
    expect(await read(Promise.resolve(again))).toBe(1)
    await clock.advance(1)
    expect(await read(client.fetch(url, {}, { ttl: 1_000 }))).toBe(2)
    expect(client.stats().requests).toMatchObject({ asked: 3, sent: 2, cached: 1 })
  })

  test('waits for no timer to forget it', async () => {
    const server = await startCounting()
    const client = makeClient()
    await client.fetch(server.url('/a'), {}, { ttl: 1_000 })
    await client.json(server.url('/b'))
    expect(client.stats().cache.entries).toBe(2)
    expect(client.stats().timers).toEqual([])
    expect(clock.pending()).toEqual([])
  })

  test('cannot be spoilt by a caller who changes what it was given', async () => {
    const server = await startCounting()
    const client = makeClient()
    const url = server.url('/a')
    const first = await client.fetch(url, {}, { ttl: 1_000 })
    first.headers.set('content-type', 'text/evil')
    new Uint8Array(await first.arrayBuffer()).fill(0)
    const second = await client.fetch(url, {}, { ttl: 1_000 })
    expect(second.headers.get('content-type')).toBe('application/json')
    new Uint8Array(await second.arrayBuffer()).fill(0)
    expect(await read(client.fetch(url, {}, { ttl: 1_000 }))).toBe(1)
  })

  test('is asked for anew by a caller who names none', async () => {
    const server = await startCounting()
    const client = makeClient()
    await client.fetch(server.url('/a'), {}, { ttl: 1_000 })
    expect(await read(client.fetch(server.url('/a')))).toBe(2)
  })

  test('is kept although its caller would not share the request', async () => {
    const server = await startCounting()
    const client = makeClient()
    const coordination = { ttl: 1_000, dedupe: false }
    expect(await read(client.fetch(server.url('/a'), {}, coordination))).toBe(1)
    expect(await read(client.fetch(server.url('/a'), {}, coordination))).toBe(1)
  })

  test.each([404, 500, 302])('is not kept when it is a %s', async (status) => {
    const server = await startCounting()
    server.status = status
    const client = makeClient()
    const init = { redirect: 'manual' } as const
    expect(await read(client.fetch(server.url('/a'), init, { ttl: 1_000 }))).toBe(1)
    expect(await read(client.fetch(server.url('/a'), init, { ttl: 1_000 }))).toBe(2)
    expect(client.stats().cache.entries).toBe(0)
  })

  test('is not kept when it varies by everything', async () => {
    const server = await startCounting({ vary: '*' })
    const client = makeClient()
    expect(await read(client.fetch(server.url('/a'), {}, { ttl: 1_000 }))).toBe(1)
    expect(await read(client.fetch(server.url('/a'), {}, { ttl: 1_000 }))).toBe(2)
    expect(await client.json(server.url('/b'))).toMatchObject({ n: 3 })
    expect(await client.json(server.url('/b'))).toMatchObject({ n: 4 })
  })

  test('is kept without a body too', async () => {
    const server = await startServer((_, response) => response.writeHead(204).end())
    const client = makeClient()
    for (let n = 0; n < 3; n += 1) {
      const response = await client.fetch(server.url('/a'), {}, { ttl: 1_000 })
      expect([response.status, await response.text()]).toEqual([204, ''])
    }
    expect(server.requests).toHaveLength(1)
  })
})

describe('the cache', () => {
  test('holds so many entries, and forgets what was used longest ago', async () => {
    const server = await startCounting()
    const client = makeClient({ cache: { entries: 3 } })
    const ask = (path: string) => read(client.fetch(server.url(path), {}, { ttl: 60_000 }))
    expect([await ask('/1'), await ask('/2'), await ask('/3')]).toEqual([1, 2, 3])
    expect(await ask('/1')).toBe(1)
    expect(await ask('/4')).toBe(4)
    expect(client.stats().cache.entries).toBe(3)
    expect([await ask('/1'), await ask('/3'), await ask('/4')]).toEqual([1, 3, 4])
    expect(await ask('/2')).toBe(5)
  })

  test('holds so many bytes, and nothing that is larger than all of it', async () => {
    const sizes: Record<string, number> = { '/40': 40, '/50': 50, '/200': 200 }
    const server = await startServer(({ url }, response) => response.end('x'.repeat(sizes[url] ?? 0)))
    const client = makeClient({ cache: { bytes: 100 } })
    const ask = async (path: string) =>
      (await (await client.fetch(server.url(path), {}, { ttl: 60_000 })).text()).length
    await ask('/40')
    await ask('/50')
    expect(client.stats().cache).toEqual({ entries: 2, bytes: 90 })
    expect(await ask('/200')).toBe(200)
    expect(await ask('/200')).toBe(200)
    expect(client.stats().cache).toEqual({ entries: 2, bytes: 90 })
    expect(server.requests.map(({ url }) => url)).toEqual(['/40', '/50', '/200', '/200'])
  })

  test('does not wait for the end of a body that says that it is too large', async () => {
    let held: ServerResponse | undefined
    const server = await startServer((_, response) => {
      held = response.writeHead(200, { 'content-length': '1000' })
      held.write('begin')
    })
    const response = await makeClient({ cache: { bytes: 100 } }).fetch(server.url('/large'), {}, { ttl: 60_000 })
    const reader = response.body!.getReader()
    expect(new TextDecoder().decode((await reader.read()).value)).toBe('begin')
    expect(held!.writableEnded).toBe(false)
    await reader.cancel()
  })

  test('is forgotten for a URL by a successful unsafe method, and for no other URL', async () => {
    const server = await startCounting()
    const client = makeClient()
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) {
      const ask = (path: string) => read(client.fetch(server.url(path), {}, { ttl: 60_000 }))
      const [known, other] = [await ask('/a?x=1'), await ask('/b')]
      await client.fetch(server.url('/a?x=1'), { method })
      expect([method, await ask('/a?x=1')]).not.toEqual([method, known])
      expect(await ask('/b')).toBe(other)
      const value = await client.json(server.url('/a?x=1'))
      await client.json(server.url('/a?x=1'), { method })
      expect(await client.json(server.url('/a?x=1'))).not.toEqual(value)
    }
  })

  test('is not forgotten by an unsafe method that failed', async () => {
    const server = await startCounting()
    const client = makeClient()
    const known = await read(client.fetch(server.url('/a'), {}, { ttl: 60_000 }))
    server.status = 422
    await client.fetch(server.url('/a'), { method: 'POST' })
    server.status = 200
    expect(await read(client.fetch(server.url('/a'), {}, { ttl: 60_000 }))).toBe(known)
  })

  test('does not keep an answer that was on its way while an unsafe method changed the resource', async () => {
    const held: ServerResponse[] = []
    const server = await startServer(({ method }, response) => {
      if (method === 'GET') held.push(response)
      else response.end('{}')
    })
    const client = makeClient()
    const before = client.fetch(server.url('/a'), {}, { ttl: 60_000 })
    await until(() => held.length === 1)
    await client.fetch(server.url('/a'), { method: 'POST' })
    held[0]!.end('before')
    expect(await (await before).text()).toBe('before')
    const after = client.fetch(server.url('/a'), {}, { ttl: 60_000 })
    await until(() => held.length === 2, 'a request of its own')
    held[1]!.end('after')
    expect(await (await after).text()).toBe('after')
  })

  test('is forgotten for a URL by `invalidate`', async () => {
    const server = await startCounting()
    const client = makeClient({ baseUrl: server.origin })
    const ask = (path: string) => read(client.fetch(server.url(path), {}, { ttl: 60_000 }))
    expect([await ask('/a'), await ask('/b')]).toEqual([1, 2])
    client.invalidate('/a')
    expect([await ask('/a'), await ask('/b')]).toEqual([3, 2])
    client.invalidate(new URL(server.url('/b')))
    expect([await ask('/a'), await ask('/b')]).toEqual([3, 4])
    expect(await client.json('/c')).toMatchObject({ n: 5 })
    client.invalidate(server.url('/c'))
    expect(await client.json('/c')).toMatchObject({ n: 6 })
  })

  test('can be switched off', async () => {
    const server = await startCounting()
    const client = makeClient({ flags: { cache: false } })
    expect(await read(client.fetch(server.url('/a'), {}, { ttl: 60_000 }))).toBe(1)
    expect(await read(client.fetch(server.url('/a'), {}, { ttl: 60_000 }))).toBe(2)
    expect(await client.json(server.url('/a'))).toMatchObject({ n: 3 })
    expect(await client.json(server.url('/a'))).toMatchObject({ n: 4 })
    expect(client.stats().cache).toEqual({ entries: 0, bytes: 0 })
    // Only the cache: what is in flight is still shared.
    await Promise.all([client.fetch(server.url('/b')), client.fetch(server.url('/b'))])
    expect(server.requests.filter(({ url }) => url === '/b')).toHaveLength(1)
  })
})

describe('a stale answer', () => {
  const stale = { ttl: 1_000, staleIfError: 60_000 }

  test('stands in for a 5xx, and not for a 404', async () => {
    const server = await startCounting()
    const client = makeClient()
    const value = await client.json(server.url('/a'), {}, stale)
    await client.fetch(server.url('/a'), {}, stale)
    await clock.advance(2_000)
    server.status = 503
    expect(await client.json(server.url('/a'), {}, stale)).toBe(value)
    const response = await client.fetch(server.url('/a'), {}, stale)
    expect([response.status, (await response.json()).n]).toEqual([200, 2])
    server.status = 404
    await expect(client.json(server.url('/a'), {}, stale)).rejects.toMatchObject({ code: 'http', status: 404 })
    expect((await client.fetch(server.url('/a'), {}, stale)).status).toBe(404)
  })

  test('lets go of the failure that it stands in for', async () => {
    let isDown = false
    const server = await startServer((_, response) => {
      if (isDown) response.writeHead(503).write('an answer that never ends')
      else response.end('ok')
    })
    const client = makeClient()
    await client.fetch(server.url('/a'), {}, stale)
    await clock.advance(2_000)
    isDown = true
    expect((await client.fetch(server.url('/a'), {}, stale)).status).toBe(200)
    await until(() => server.openStreams === 0, 'the server to see the close')
  })

  test('stands in for a network that is gone', async () => {
    const server = await startCounting()
    const client = makeClient()
    const value = await client.json(server.url('/a'), {}, stale)
    await client.fetch(server.url('/a'), {}, stale)
    await server.close()
    await clock.advance(2_000)
    expect(await client.json(server.url('/a'), {}, stale)).toBe(value)
    expect(await read(client.fetch(server.url('/a'), {}, stale))).toBe(2)
    expect(client.stats().requests.failed).toBe(2)
  })

  test('stands in for a server that does not answer in time', async () => {
    let isSlow = false
    const server = await startServer((_, response) => void (isSlow || response.end('{"n":1}')))
    const client = makeClient()
    const value = await client.json(server.url('/a'), {}, stale)
    isSlow = true
    await clock.advance(2_000)
    const asked = client.json(server.url('/a'), {}, { ...stale, timeout: 500 })
    await until(() => server.requests.length === 2)
    await clock.advance(500)
    expect(await asked).toBe(value)
  })

  test('stands in while the breaker is open, and while the runaway guard is closed', async () => {
    const server = await startCounting()
    const client = makeClient({ breaker: { failures: 2 } })
    const value = await client.json(server.url('/a'), {}, stale)
    await clock.advance(2_000)
    server.status = 500
    for (let n = 0; n < 2; n += 1) await client.fetch(server.url('/a'))
    await expect(client.fetch(server.url('/a'))).rejects.toMatchObject({ code: 'breaker-open' })
    expect(await client.json(server.url('/a'), {}, stale)).toBe(value)

    server.status = 200
    const guarded = makeClient({ limits: { fetchesPer10s: 1 } })
    const other = await guarded.json(server.url('/b'), {}, stale)
    await clock.advance(2_000)
    await expect(guarded.fetch(server.url('/b'))).rejects.toMatchObject({ code: 'runaway' })
    expect(await guarded.json(server.url('/b'), {}, stale)).toBe(other)
  })

  test('is gone when its time is over too', async () => {
    const server = await startCounting()
    const client = makeClient()
    await client.json(server.url('/a'), {}, stale)
    server.status = 503
    await clock.advance(60_999)
    expect(await client.json(server.url('/a'), {}, stale)).toMatchObject({ n: 1 })
    await clock.advance(1)
    await expect(client.json(server.url('/a'), {}, stale)).rejects.toMatchObject({ code: 'http', status: 503 })
  })

  test('is replaced as soon as the server answers again', async () => {
    const server = await startCounting()
    const client = makeClient()
    await client.json(server.url('/a'), {}, stale)
    await clock.advance(2_000)
    server.status = 503
    expect(await client.json(server.url('/a'), {}, stale)).toMatchObject({ n: 1 })
    server.status = 200
    expect(await client.json(server.url('/a'), {}, stale)).toMatchObject({ n: 3 })
  })

  test('counts as cached', async () => {
    const server = await startCounting()
    const client = makeClient()
    await client.json(server.url('/a'), {}, stale)
    await clock.advance(2_000)
    server.status = 503
    await client.json(server.url('/a'), {}, stale)
    expect(client.stats().requests).toMatchObject({ asked: 2, sent: 2, cached: 1, failed: 1 })
  })
})

describe('the singleton', () => {
  const place = Symbol.for('millrace')

  test('serves nothing that was cached for other headers', async () => {
    const server = await startServer(({ headers }, response) => {
      response.setHeader('content-type', 'application/json').end(JSON.stringify(headers.authorization))
    })
    delete (globalThis as Record<symbol, unknown>)[place]
    try {
      configure({ environment: 'production', headers: { authorization: 'of Ann' }, flags: { tabs: false } })
      expect(await getClient().json(server.url('/me'))).toBe('of Ann')
      configure({ headers: { authorization: 'of Ben' } })
      expect(await getClient().json(server.url('/me'))).toBe('of Ben')
    } finally {
      getClient().close()
      delete (globalThis as Record<symbol, unknown>)[place]
    }
  })
})

describe('a relative URL', () => {
  test('means what the page means by it at the time', async () => {
    const server = await startCounting()
    const client = makeClient()
    const location = { href: server.url('/one/') }
    vi.stubGlobal('location', location)
    try {
      expect(await client.json('data')).toMatchObject({ url: '/one/data' })
      location.href = server.url('/two/')
      expect(await client.json('data')).toMatchObject({ url: '/two/data' })
    } finally {
      vi.unstubAllGlobals()
    }
  })
})
