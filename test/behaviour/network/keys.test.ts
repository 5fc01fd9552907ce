import type { ServerResponse } from 'node:http'
import { type Client, type ClientOptions, createClient } from 'millrace'
import { afterEach, describe, expect, test } from 'vitest'
import { closeServers, startServer } from '../../support/http-server'
import { until } from '../../support/until'

const clients: Client[] = []

function makeClient(options: ClientOptions = {}): Client {
  const client = createClient({ environment: 'production', ...options })
  clients.push(client)
  return client
}

/** How many requests the server gets when these are asked at the same moment. */
async function countRequests(
  requests: readonly (RequestInit & { path?: string })[],
  options: ClientOptions = {},
): Promise<number> {
  const held: ServerResponse[] = []
  const server = await startServer((_, response) => void held.push(response))
  const client = makeClient(options)
  const callers = requests.map(({ path = '/a', ...init }) => client.fetch(server.url(path), init))
  // Another endpoint, asked last: when it has arrived, all before it have.
  const last = client.fetch(server.url('/last'))
  await until(() => server.requests.some(({ url }) => url === '/last'))
  await until(() => client.stats().requests.sent === server.requests.length)
  for (const response of held) response.end('ok')
  await Promise.all([...callers, last])
  return server.requests.length - 1
}

afterEach(async () => {
  for (const client of clients.splice(0)) client.close()
  await closeServers()
})

describe('requests are apart that differ in', () => {
  test.each<[string, (RequestInit & { path?: string })[]]>([
    ['their path', [{ path: '/a' }, { path: '/b' }]],
    ['their query', [{ path: '/a?x=1' }, { path: '/a?x=2' }]],
    ['the order of their query', [{ path: '/a?x=1&y=2' }, { path: '/a?y=2&x=1' }]],
    ['their method', [{}, { method: 'HEAD' }]],
    ['their Authorization', [{ headers: { authorization: 'Ann' } }, { headers: { Authorization: 'Ben' } }]],
    ['having an Authorization', [{}, { headers: { authorization: 'Ann' } }]],
    ['what Vary may name: Accept', [{ headers: { accept: 'text/csv' } }, { headers: { accept: 'text/html' } }]],
    ['what Vary may name: Accept-Language', [{ headers: { 'accept-language': 'de' } }, {}]],
    ['a header of their own', [{ headers: { 'x-tenant': '1' } }, { headers: { 'x-tenant': '2' } }]],
    ['their Range', [{ headers: { range: 'bytes=0-1' } }, { headers: { range: 'bytes=1-2' } }]],
    ['the border between two values', [{ headers: { a: '1', b: '23' } }, { headers: { a: '12', b: '3' } }]],
    ['their credentials', [{ credentials: 'omit' }, { credentials: 'include' }]],
    ['how they take a redirect', [{ redirect: 'manual' }, { redirect: 'follow' }]],
    ['how they take the cache', [{ cache: 'reload' }, {}]],
  ])('%s', async (_, requests) => {
    expect(await countRequests(requests)).toBe(2)
    expect(await countRequests([requests[0]!, requests[0]!])).toBe(1)
  })

  test('the mode of a Request object', async () => {
    const held: ServerResponse[] = []
    const server = await startServer((request, response) => {
      if (request.url === '/old') response.writeHead(302, { location: '/new' }).end()
      else held.push(response.end('new'))
    })
    const client = makeClient()
    const [followed, manual] = await Promise.all([
      client.fetch(new Request(server.url('/old'))),
      client.fetch(new Request(server.url('/old'), { redirect: 'manual' })),
    ])
    expect([followed.status, manual.status]).toEqual([200, 302])
  })

  test('the identity that they were asked under', async () => {
    const server = await startServer((_, response) => response.end(String(server.requests.length)))
    const client = makeClient({ identity: 'ann' })
    expect(await client.json(server.url('/a'))).toBe(1)
    client.setIdentity('ben')
    expect(await client.json(server.url('/a'))).toBe(2)
    client.setIdentity('ann')
    expect(await client.json(server.url('/a'))).toBe(3)
  })

  test('what the header function of the client says', async () => {
    let token = 'Ann'
    const server = await startServer(({ headers }, response) => response.end(JSON.stringify(headers.authorization)))
    const client = makeClient({ headers: async () => ({ authorization: token }) })
    expect(await client.json(server.url('/a'))).toBe('Ann')
    token = 'Ben'
    expect(await client.json(server.url('/a'))).toBe('Ben')
    token = 'Ann'
    expect(await client.json(server.url('/a'))).toBe('Ann')
    expect(server.requests).toHaveLength(2)
  })

  test('their cached answers as in their answers in flight', async () => {
    const server = await startServer(({ headers }, response) => response.end(JSON.stringify(headers.authorization)))
    const client = makeClient()
    for (const authorization of ['Ann', 'Ben', 'Ann'])
      expect(await client.json(server.url('/a'), { headers: { authorization } })).toBe(authorization)
    expect(server.requests).toHaveLength(2)
  })
})

describe('requests are one that differ only in', () => {
  test.each<[string, RequestInit[]]>([
    [
      'tracing headers',
      [{ headers: { traceparent: '00-a-b-01', 'x-request-id': '1' } }, { headers: { baggage: 'c' } }],
    ],
    ['the case of a header', [{ headers: { 'X-Tenant': '1' } }, { headers: { 'x-tenant': '1' } }]],
    ['the order of their headers', [{ headers: { a: '1', b: '2' } }, { headers: { b: '2', a: '1' } }]],
    ['their signals', [{ signal: new AbortController().signal }, { signal: new AbortController().signal }, {}]],
    ['the form of their headers', [{ headers: new Headers({ a: '1' }) }, { headers: [['a', '1']] }]],
  ])('%s', async (_, requests) => {
    expect(await countRequests(requests)).toBe(1)
  })
})

describe('headers', () => {
  test('of the client go with every request, and the request`s own win', async () => {
    const server = await startServer((_, response) => response.end('ok'))
    const client = makeClient({ headers: { authorization: 'client', 'x-a': '1' } })
    await client.fetch(server.url('/a'), { headers: { Authorization: 'own' } })
    await client.fetch(new Request(server.url('/b'), { headers: { 'x-b': '2' } }))
    await client.fetch(server.url('/c'), { method: 'POST', body: 'x', headers: [['x-c', '3']] })
    expect(server.requests[0]!.headers).toMatchObject({ authorization: 'own', 'x-a': '1' })
    expect(server.requests[1]!.headers).toMatchObject({ authorization: 'client', 'x-a': '1', 'x-b': '2' })
    expect(server.requests[2]!.headers).toMatchObject({ authorization: 'client', 'x-a': '1', 'x-c': '3' })
    expect(server.requests[2]!.body).toBe('x')
  })

  test('of the client are asked with the URL and the attempt', async () => {
    let status = 503
    const server = await startServer((_, response) => response.writeHead(status).end('ok'))
    const asked: { url: string; attempt: number }[] = []
    const client = makeClient({
      backoff: { base: 1 },
      headers(request) {
        asked.push(request)
        if (request.attempt === 2) status = 200
        return { 'x-attempt': String(request.attempt) }
      },
    })
    await client.fetch(server.url('/a?b=c'), { method: 'PUT' }, { retry: 5 })
    expect(new Set(asked.map(({ url }) => url))).toEqual(new Set([server.url('/a?b=c')]))
    expect(server.requests.map(({ headers }) => headers['x-attempt'])).toEqual(['0', '1', '2'])
  })

  test('that cannot be had reject the caller, and nothing is sent', async () => {
    const server = await startServer((_, response) => response.end('ok'))
    const client = makeClient({
      headers() {
        throw new Error('no token')
      },
    })
    const failure = {
      code: 'callback',
      message: `\`headers\` of GET ${server.origin}/a threw.`,
      cause: expect.objectContaining({ message: 'no token' }),
    }
    await expect(client.fetch(server.url('/a'))).rejects.toMatchObject(failure)
    await expect(client.json(server.url('/a'))).rejects.toMatchObject(failure)
    expect(server.requests).toHaveLength(0)
    expect(client.stats().endpoints.every(({ inFlight, queued }) => inFlight + queued === 0)).toBe(true)
  })
})

describe('a URL', () => {
  test('is relative to `baseUrl`', async () => {
    const server = await startServer((_, response) => response.end('"ok"'))
    const client = makeClient({ baseUrl: server.url('/v1/') })
    await client.fetch('users?x=1')
    await client.json('/users')
    await client.fetch(`${server.origin}/absolute`)
    expect(server.requests.map(({ url }) => url)).toEqual(['/v1/users?x=1', '/users', '/absolute'])
  })

  test('that is relative to nothing is a `config` error that says what to do', async () => {
    const client = makeClient()
    for (const wanted of [client.fetch('/users'), client.json('/users')])
      await expect(wanted).rejects.toMatchObject({ code: 'config', message: expect.stringContaining('baseUrl') })
    expect(client.stats().requests.sent).toBe(0)
  })

  test('with credentials, a query or a fragment shows none of them in errors and statistics', async () => {
    const client = makeClient({ fetch: async () => new Response('x', { status: 500 }) })
    const error: unknown = await client.json('http://ann:secret@mill.test/a?token=secret#secret').catch((e) => e)
    expect(error).toMatchObject({ code: 'http', status: 500, endpoint: 'GET http://mill.test/a' })
    expect(JSON.stringify([String(error), client.stats(), client.health()])).not.toContain('secret')
  })
})

describe('`credentials` of the client', () => {
  test('go with every request that names none', async () => {
    const seen: (RequestCredentials | undefined)[] = []
    const client = makeClient({
      credentials: 'include',
      async fetch(_, init) {
        seen.push(init?.credentials)
        return Response.json({})
      },
    })
    await client.fetch('http://mill.test/a')
    await client.fetch('http://mill.test/b', { credentials: 'omit' })
    await client.json('http://mill.test/c')
    expect(seen).toEqual(['include', 'omit', 'include'])
  })
})

describe('a Request object', () => {
  test('is sent with its method, headers and body', async () => {
    const server = await startServer((_, response) => response.end('ok'))
    const request = new Request(server.url('/a'), { method: 'PUT', headers: { 'x-a': '1' }, body: 'content' })
    await makeClient().fetch(request)
    expect(server.requests).toMatchObject([{ method: 'PUT', url: '/a', body: 'content', headers: { 'x-a': '1' } }])
  })

  test('gives way to what `init` says', async () => {
    const server = await startServer((_, response) => response.end('ok'))
    const request = new Request(server.url('/a'), { headers: { 'x-a': '1' } })
    await makeClient().fetch(request, { method: 'POST', headers: { 'x-a': '2' }, body: 'content' })
    expect(server.requests).toMatchObject([{ method: 'POST', body: 'content', headers: { 'x-a': '2' } }])
  })
})
