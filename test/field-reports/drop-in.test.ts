import { type Client, type ClientOptions, createClient } from 'millrace'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { closeServers, startServer } from '../support/http-server'
import { createTestClock } from '../support/test-clock'
import { until } from '../support/until'

const clients: Client[] = []

function makeClient(options: ClientOptions = {}): Client {
  const client = createClient({ environment: 'production', ...options })
  clients.push(client)
  return client
}

/** Answers 200 from the given attempt on, before with that status. */
const startMoody = (status: number, from = Infinity) => {
  const server = startServer((_, response) =>
    server.then(({ requests }) => response.writeHead(requests.length < from ? status : 200).end('{}')),
  )
  return server
}

const streamOf = (text: string) =>
  new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(new TextEncoder().encode(text))
      controller.close()
    },
  })
const half = { duplex: 'half' } as RequestInit

afterEach(async () => {
  for (const client of clients.splice(0)) client.close()
  vi.restoreAllMocks()
  await closeServers()
})

describe('a request', () => {
  test('of another library is known by its shape', async () => {
    const server = await startServer((_, response) => response.end('{}'))
    const body = new TextEncoder().encode('an order')
    const request = {
      url: server.url('/a'),
      method: 'POST',
      headers: new Map([['x-key', '7']]),
      arrayBuffer: async () => body.buffer,
    }
    expect((await makeClient().fetch(request as never)).status).toBe(200)
    expect(server.requests[0]).toMatchObject({ method: 'POST', body: 'an order', headers: { 'x-key': '7' } })
  })

  test('given as the options of another URL gives all that it has', async () => {
    const server = await startServer((_, response) => response.end('{}'))
    const request = new Request('https://example.com/', { method: 'PUT', body: 'x', headers: { 'x-key': '7' } })
    await makeClient().fetch(server.url('/a'), request)
    expect(server.requests[0]).toMatchObject({ method: 'PUT', url: '/a', body: 'x', headers: { 'x-key': '7' } })
  })

  test('is taken with members that are not given, and with none at all', async () => {
    const server = await startServer((_, response) => response.end('{}'))
    const client = makeClient()
    const init = { method: undefined, headers: undefined, body: null, signal: null, credentials: undefined }
    for (const given of [init, null, undefined]) await client.fetch(server.url('/a'), given as never)
    await client.fetch(server.url('/a'), { method: 'patch' })
    expect(server.requests.map(({ method }) => method)).toEqual(['GET', 'GET', 'GET', 'PATCH'])
  })

  test('whose body was read already is refused, with its reason', async () => {
    const request = new Request('https://example.com/', { method: 'POST', body: 'x' })
    await request.text()
    await expect(makeClient().fetch(request)).rejects.toMatchObject({ code: 'config' })
  })
})

// https://github.com/node-fetch/node-fetch/issues/1204
test('a header without a value is not sent, and not as a word', async () => {
  const server = await startServer(({ headers }, response) => response.end(JSON.stringify(headers)))
  const none = { 'x-none': undefined } as never
  const client = makeClient({ baseUrl: server.origin, headers: none })
  const sent = await client.json('/a', { headers: { 'x-one': '1', ...(none as object) } })
  expect(sent).toMatchObject({ 'x-one': '1' })
  expect(sent).not.toHaveProperty('x-none')
})

describe('a body that can be read once', () => {
  test.each([
    ['a retry', 503, { retry: 3 }],
    ['a refresh', 401, {}],
  ])('is not sent again by %s', async (_, status, coordination) => {
    const server = await startMoody(status)
    const client = makeClient({ onUnauthorized: () => true, backoff: { base: 1 } })
    const response = await client.fetch(
      server.url('/a'),
      { method: 'PUT', body: streamOf('once'), ...half },
      coordination,
    )
    expect(response.status).toBe(status)
    expect(server.requests.map(({ body }) => body)).toEqual(['once'])
  })

  test('is not held in memory for a retry, where it is a Request’s and large', async () => {
    const server = await startMoody(503)
    const request = new Request(server.url('/a'), { method: 'PUT', body: 'x'.repeat(3 * 2 ** 20) })
    expect((await makeClient({ backoff: { base: 1 } }).fetch(request, {}, { retry: 3 })).status).toBe(503)
    expect(server.requests).toHaveLength(1)
  })

  test('without `duplex` is a mistake of the caller, not of the network', async () => {
    const asked = makeClient().fetch('https://example.com/', { method: 'POST', body: streamOf('x') })
    await expect(asked).rejects.toMatchObject({ code: 'config', message: expect.stringMatching(/duplex/) })
  })
})

test('one signal for a hundred calls is no leak', async () => {
  const warnings: unknown[] = []
  const onWarning = (warning: unknown) => warnings.push(warning)
  process.on('warning', onWarning)
  const server = await startServer((_, response) => response.end('{}'))
  const { signal } = new AbortController()
  const add = vi.spyOn(signal, 'addEventListener')
  const remove = vi.spyOn(signal, 'removeEventListener')
  const client = makeClient({ limits: { fetchesPer10s: 1_000 } })
  const texts = Array.from({ length: 100 }, async (_, n) =>
    (await client.fetch(server.url(`/${n}`), { signal })).text(),
  )
  await Promise.all(texts)
  await new Promise((resolve) => setImmediate(resolve))
  process.off('warning', onWarning)
  expect(warnings).toEqual([])
  expect(remove.mock.calls.length).toBe(add.mock.calls.length)
})

test('one signal for a hundred subscriptions is one listener', async () => {
  const controller = new AbortController()
  const add = vi.spyOn(controller.signal, 'addEventListener')
  const client = makeClient({ fetch: () => new Promise(() => {}) })
  for (let n = 0; n < 100; n += 1) client.subscribe('https://example.com/stream', {}, { signal: controller.signal })
  expect(add).toHaveBeenCalledTimes(1)
  controller.abort()
  expect(client.stats().subscriptions.active).toBe(0)
})

test('a signal of a polyfill, which gives no reason, ends its call', async () => {
  const listeners: (() => void)[] = []
  const signal = {
    aborted: false,
    addEventListener: (_: string, run: () => void) => listeners.push(run),
    removeEventListener() {},
  }
  const server = await startServer(() => {})
  const asked = makeClient().fetch(server.url('/a'), { signal: signal as never })
  await until(() => server.requests.length === 1)
  signal.aborted = true
  for (const run of listeners) run()
  await expect(asked).rejects.toMatchObject({ name: 'AbortError' })
})

test('of a shared body no more is held than 4 MiB, for 5 s, for who does not read', async () => {
  const clock = createTestClock()
  const server = await startServer((_, response) => response.end(Buffer.alloc(20 * 2 ** 20)))
  const client = makeClient({ clock })
  const [read, unread] = await Promise.all([client.fetch(server.url('/a')), client.fetch(server.url('/a'))])
  const bytes = read.arrayBuffer()
  await until(() => clock.pending().some(({ label }) => label.startsWith('unread')))
  expect(client.stats().memory).toBeGreaterThan(4_000_000)
  expect(client.stats().memory).toBeLessThan(5 * 2 ** 20)
  await clock.advance(5_000)
  expect((await bytes).byteLength).toBe(20 * 2 ** 20)
  await expect(unread.text()).rejects.toMatchObject({ code: 'overflow' })
  expect(client.stats()).toMatchObject({ memory: 0, timers: [] })
  expect(server.requests).toHaveLength(1)
})

describe('a `fetch` that was given', () => {
  test.each([
    ['answers nothing', () => undefined, /has answered no `Response`/],
    ['answers something else', () => Promise.resolve({ json: async () => ({}) }), /has answered no `Response`/],
  ])('and %s is named', async (_, fetch, message) => {
    const asked = makeClient({ fetch: fetch as never }).json('https://example.com/')
    await expect(asked).rejects.toMatchObject({ code: 'callback', message: expect.stringMatching(message) })
  })

  test('and throws at once rejects', async () => {
    const fetch = () => {
      throw new TypeError('no network here')
    }
    await expect(makeClient({ fetch }).json('https://example.com/')).rejects.toMatchObject({ code: 'network' })
  })

  test.each([
    ['arrayBuffer', { arrayBuffer: async () => new TextEncoder().encode('{"n":1}').buffer }],
    ['text', { text: async () => '{"n":1}' }],
    ['json', { json: async () => ({ n: 1 }) }],
    // https://github.com/jefflau/jest-fetch-mock/issues/62
    ['json and headers to be asked one by one', { json: async () => ({ n: 1 }), headers: { get: () => null } }],
  ])('and whose answer has no more than `%s` is read by that', async (_, methods) => {
    const answer = { ok: true, status: 200, ...methods }
    const client = makeClient({ fetch: (async () => answer) as never })
    expect(await client.json('https://example.com/')).toEqual({ n: 1 })
    expect(await client.fetch('https://example.com/')).toBe(answer)
  })
})

test.each([
  [204, 'DELETE', undefined],
  [205, 'POST', undefined],
  [200, 'DELETE', undefined],
  [202, 'POST', undefined],
  [204, 'GET', undefined],
])('json of a %i without a body to a %s is a success', async (status, method, value) => {
  const server = await startServer((_, response) => response.writeHead(status).end())
  expect(await makeClient().json(server.url('/a'), { method })).toBe(value)
})

test('json of a 304 is what was known', async () => {
  const server = await startServer(({ headers }, response) => {
    if (headers['if-none-match']) response.writeHead(304).end()
    else response.end('{"n":1}')
  })
  const client = makeClient()
  expect(await client.json(server.url('/a'), { headers: { 'if-none-match': 'x' } })).toBeUndefined()
})

test.each([
  ['', 'it is empty, "Unexpected end of JSON input"'],
  ['{"secret": [1, 2', 'it ends in the middle, "Unexpected end of JSON input"'],
  ['<!doctype html>', 'a login page or a proxy may have answered, it begins with "<"'],
  ['{"secret": ruby}', 'the parser stumbles'],
])('a body of %j says what is wrong with it, and nothing of what it says', async (body, why) => {
  const server = await startServer((_, response) => response.writeHead(200, { 'content-type': 'text/plain' }).end(body))
  const asked = makeClient().json(server.url('/a'))
  await expect(asked).rejects.toMatchObject({
    code: 'invalid-body',
    message: expect.stringContaining(`is not JSON (text/plain): ${why}`),
  })
  await expect(asked).rejects.not.toMatchObject({ message: expect.stringMatching(/secret|ruby/) })
})

test.each(['no-store', 'reload', 'no-cache'] as const)(
  'a request with `cache: %j` goes past our cache, too',
  async (cache) => {
    const server = await startServer((_, response) => response.end(`{"n":${server.requests.length}}`))
    const client = makeClient({ cache: { ttl: 60_000 } })
    await client.json(server.url('/a'))
    expect(await client.json(server.url('/a'), { cache })).toEqual({ n: 2 })
    // What a reload brought is as good for who would have taken what was cached.
    expect(await client.json(server.url('/a'))).toEqual({ n: cache === 'no-store' ? 1 : 2 })
  },
)
