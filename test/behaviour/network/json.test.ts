import type { ServerResponse } from 'node:http'
import { type Client, type ClientOptions, createClient } from 'millrace'
import * as v from 'valibot'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
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

/** A server that answers with the JSON of what `body` returns at the time. */
const startJson = (body: () => unknown): Promise<TestServer> =>
  startServer((_, response) => response.setHeader('content-type', 'application/json').end(JSON.stringify(body())))

beforeEach(() => {
  clock = createTestClock()
})

afterEach(async () => {
  for (const client of clients.splice(0)) client.close()
  vi.restoreAllMocks()
  await closeServers()
})

describe('json', () => {
  test('is parsed once for all callers, who get the same value', async () => {
    const held: ServerResponse[] = []
    const server = await startServer((_, response) => void held.push(response))
    const client = makeClient()
    const parse = vi.spyOn(JSON, 'parse')
    const callers = Array.from({ length: 20 }, () => client.json(server.url('/a')))
    await until(() => held.length)
    held[0]!.end('{"once":"upon a time"}')
    const values = await Promise.all(callers)
    expect(new Set(values).size).toBe(1)
    expect(values[0]).toEqual({ once: 'upon a time' })
    expect(parse.mock.calls.filter(([text]) => text.includes('once'))).toHaveLength(1)
    expect(client.stats().requests).toMatchObject({ asked: 20, sent: 1, shared: 19, saved: 0.95 })
  })

  test('is cached for 2 s unless `ttl` or `cache.ttl` says otherwise', async () => {
    const server = await startJson(() => ({ n: server.requests.length }))
    const ask = async (client: Client, ms: number, ttl?: number): Promise<unknown> => {
      await client.json(server.url(`/a?${ms}`), {}, ttl === undefined ? {} : { ttl })
      await clock.advance(ms)
      const before = server.requests.length
      await client.json(server.url(`/a?${ms}`), {}, ttl === undefined ? {} : { ttl })
      return server.requests.length - before
    }
    expect(await ask(makeClient(), 1_999)).toBe(0)
    expect(await ask(makeClient(), 2_000)).toBe(1)
    expect(await ask(makeClient(), 2_001, 2_002)).toBe(0)
    expect(await ask(makeClient(), 0, 0)).toBe(1)
    expect(await ask(makeClient({ cache: { ttl: 50 } }), 51)).toBe(1)
    expect(await ask(makeClient({ cache: { ttl: 5_000 } }), 4_999)).toBe(0)
  })

  test('keeps the reference of what is equal, as a whole and in parts', async () => {
    let users = [
      { id: 1, tags: ['a'] },
      { id: 2, tags: [] as string[] },
    ]
    const server = await startJson(() => ({ users, total: users.length }))
    const client = makeClient()
    const ask = () => client.json<{ users: { id: number; tags: string[] }[] }>(server.url('/a'), {}, { ttl: 1 })
    const first = await ask()
    await clock.advance(10)
    expect(await ask()).toBe(first)
    users = [
      { id: 1, tags: ['a'] },
      { id: 2, tags: ['new'] },
    ]
    await clock.advance(10)
    const third = await ask()
    expect(third).not.toBe(first)
    expect(third.users[0]).toBe(first.users[0])
    expect(third.users[1]).toEqual({ id: 2, tags: ['new'] })
    expect(server.requests).toHaveLength(3)
  })

  test('gives a caller without a URL string the same value', async () => {
    const server = await startJson(() => ({ n: 1 }))
    const client = makeClient()
    const value = await client.json(server.url('/a'))
    expect(await client.json(new URL(server.url('/a')))).toBe(value)
    expect(await client.json(new Request(server.url('/a')))).toBe(value)
    expect(await client.json(server.url('/a'), {})).toBe(value)
    expect(server.requests).toHaveLength(1)
  })

  test('sends a body and never shares it', async () => {
    const server = await startJson(() => ({ n: server.requests.length }))
    const client = makeClient()
    const init = { method: 'POST', body: '{"a":1}' }
    expect(await Promise.all([client.json(server.url('/a'), init), client.json(server.url('/a'), init)])).toEqual(
      expect.arrayContaining([{ n: 1 }, { n: 2 }]),
    )
    expect(client.stats().cache.entries).toBe(0)
  })

  test.each(['null', '0', 'false', '""', '[]'])('takes %s for a value like any other, and caches it', async (text) => {
    const server = await startServer((_, response) => response.end(text))
    const client = makeClient()
    expect(await client.json(server.url('/a'))).toEqual(JSON.parse(text))
    expect(await client.json(server.url('/a'))).toEqual(JSON.parse(text))
    expect(server.requests).toHaveLength(1)
  })

  test('reads a byte order mark and characters that are cut between two chunks', async () => {
    const bytes = Buffer.from('\ufeff{"name":"Zoë 🙂"}')
    const server = await startServer(async (_, response) => {
      for (const byte of bytes) {
        response.write(Buffer.of(byte))
        await new Promise((resolve) => setImmediate(resolve))
      }
      response.end()
    })
    expect(await makeClient().json(server.url('/a'))).toEqual({ name: 'Zoë 🙂' })
  })
})

describe('json rejects', () => {
  test('with `http` and the status for an answer that is no success', async () => {
    const server = await startServer((_, response) => response.writeHead(404).end('{"secret":1}'))
    const error = await makeClient()
      .json(server.url('/a?token=secret'))
      .catch((reason: unknown) => reason)
    expect(error).toMatchObject({
      name: 'MillraceError',
      code: 'http',
      status: 404,
      retryable: false,
      endpoint: `GET ${server.origin}/a`,
      message: `GET ${server.origin}/a answered 404: no such URL.`,
    })
  })

  test('with `unauthorized` for a 401', async () => {
    const server = await startServer((_, response) => response.writeHead(401).end())
    await expect(makeClient().json(server.url('/a'))).rejects.toMatchObject({ code: 'unauthorized', status: 401 })
  })

  test('with `invalid-body` for HTML, and says which type came', async () => {
    const server = await startServer((_, response) =>
      response.setHeader('content-type', 'text/html; charset=utf-8').end('<h1>Sign in, secret</h1>'),
    )
    const client = makeClient()
    const error: unknown = await client.json(server.url('/a')).catch((reason) => reason)
    expect(error).toMatchObject({
      code: 'invalid-body',
      retryable: false,
      endpoint: `GET ${server.origin}/a`,
      message: expect.stringContaining('text/html'),
    })
    expect(String(error)).not.toContain('secret')
    expect(client.stats().cache.entries).toBe(0)
  })

  test('with `invalid-body` for an empty body', async () => {
    const server = await startServer((_, response) => response.end())
    await expect(makeClient().json(server.url('/a'))).rejects.toMatchObject({ code: 'invalid-body' })
  })

  test('with `network` for a body that breaks off', async () => {
    const server = await startServer((_, response) => {
      response.writeHead(200, { 'content-length': '100' })
      response.write('{"n":', () => response.socket?.resetAndDestroy())
    })
    await expect(makeClient().json(server.url('/a'))).rejects.toMatchObject({ code: 'network', retryable: true })
  })

  test('and lets go of the body of an answer that is no success', async () => {
    const server = await startServer((_, response) => void response.writeHead(500).write('without end'))
    await expect(makeClient().json(server.url('/a'))).rejects.toMatchObject({ status: 500 })
    await until(() => server.openStreams === 0, 'the server to see the close')
  })

  test('with `too-large` for a body without end', async () => {
    const chunk = Buffer.alloc(2 ** 20, '1')
    const server = await startServer((_, response) => {
      const write = (): void => {
        while (response.writable && response.write(chunk));
        response.once('drain', write)
      }
      write()
    })
    await expect(makeClient().json(server.url('/a'))).rejects.toMatchObject({ code: 'too-large' })
    await until(() => server.openStreams === 0, 'the server to see the close')
  })
})

describe('a schema', () => {
  const user = z.object({ name: z.string(), born: z.coerce.date() })

  test('validates and types the value', async () => {
    const server = await startJson(() => ({ name: 'Ann', born: '2000-01-01' }))
    const value = await makeClient().json(server.url('/a'), {}, { schema: user })
    const year: number = value.born.getUTCFullYear()
    expect([value.name, year]).toEqual(['Ann', 2000])
  })

  test('may be of any library, or answer late', async () => {
    const server = await startJson(() => ({ name: 'Ann' }))
    const client = makeClient()
    expect(await client.json(server.url('/a'), {}, { schema: v.object({ name: v.string() }) })).toEqual({ name: 'Ann' })
    const late = v.pipeAsync(
      v.object({ name: v.string() }),
      v.transformAsync(async ({ name }) => name),
    )
    expect(await client.json(server.url('/a'), {}, { schema: late })).toBe('Ann')
  })

  test('that does not fit rejects with `invalid-body`, says where, and quotes no data', async () => {
    const server = await startJson(() => ({ name: { secret: 1 }, born: '2000-01-01' }))
    const client = makeClient()
    const error: unknown = await client.json(server.url('/a'), {}, { schema: user }).catch((reason) => reason)
    expect(error).toMatchObject({ code: 'invalid-body', message: expect.stringContaining('`name`') })
    expect(String(error)).not.toContain('secret')
    // The body itself is fine, and cached for who expects something else of it.
    expect(await client.json(server.url('/a'))).toMatchObject({ name: { secret: 1 } })
    expect(server.requests).toHaveLength(1)
  })

  test('keeps the reference of equal data too, from the cache and over time', async () => {
    const schema = z.object({ n: z.number(), nested: z.object({ list: z.array(z.number()) }) })
    const server = await startJson(() => ({ n: 1, nested: { list: [1, 2] } }))
    const client = makeClient()
    const first = await client.json(server.url('/a'), {}, { schema })
    expect(await client.json(server.url('/a'), {}, { schema })).toBe(first)
    await clock.advance(10_000)
    expect(await client.json(server.url('/a'), {}, { schema })).toBe(first)
    expect(server.requests).toHaveLength(2)
  })

  test('used for two URLs confuses neither', async () => {
    const schema = z.object({ n: z.number() })
    const server = await startServer(({ url }, response) => response.end(`{"n":${url.length}}`))
    const client = makeClient()
    for (let round = 0; round < 2; round += 1) {
      expect(await client.json(server.url('/a'), {}, { schema })).toEqual({ n: 2 })
      expect(await client.json(server.url('/abc'), {}, { schema })).toEqual({ n: 4 })
    }
    expect(server.requests).toHaveLength(2)
  })
})
