import { type Client, type ClientOptions, createClient } from 'millrace'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { closeServers, startServer } from '../support/http-server'
import { createTestClock, type TestClock } from '../support/test-clock'
import { until } from '../support/until'

const clients: Client[] = []
let clock: TestClock

function makeClient(options: ClientOptions = {}): Client {
  const client = createClient({
    environment: 'production',
    clock,
    backoff: { base: 1_000, jitter: 'none' },
    ...options,
  })
  clients.push(client)
  return client
}

const outcomeOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'answered',
    (error) => error,
  )

beforeEach(() => {
  clock = createTestClock()
})
afterEach(async () => {
  for (const client of clients.splice(0)) client.close()
  await closeServers()
})

test('a timeout counts the wait in the queue, and says what it was', async () => {
  const server = await startServer(() => {})
  const client = makeClient({ limits: { concurrency: 1 } })
  void client.fetch(server.url('/a?slow')).catch(() => {})
  await until(() => server.requests.length === 1)
  const late = outcomeOf(client.fetch(server.url('/a?quick'), {}, { timeout: 500 }))
  await clock.advance(500)
  expect(await late).toMatchObject({
    code: 'timeout',
    message: `GET ${server.url('/a')} was not sent within 500 ms: it waited for its turn. Another attempt may succeed.`,
  })
  expect(server.requests).toHaveLength(1)
  expect(client.stats().requests.failed).toBe(0)
})

test('a timeout counts a function for headers, which is named', async () => {
  const client = makeClient({ headers: () => new Promise(() => {}) })
  const late = outcomeOf(client.json('https://example.com/me', undefined, { timeout: 500 }))
  await clock.advance(500)
  expect(await late).toMatchObject({
    code: 'callback',
    message: '`headers` of GET https://example.com/me has not answered within 500 ms.',
  })
  expect(client.stats().timers).toEqual([])
})

test.each(['headers', 'onUnauthorized'])(
  '`%s` that hang once are given up after 15 s, and asked again',
  async (name) => {
    let calls = 0
    const flaky = () => (++calls > 1 ? undefined : new Promise<never>(() => {}))
    const server = await startServer(({ headers }, response) => {
      response.writeHead(name === 'headers' || headers.authorization ? 200 : 401).end('{}')
    })
    let token = {}
    const client = makeClient(
      name === 'headers'
        ? { headers: async () => (await flaky()) ?? {} }
        : {
            headers: () => token,
            async onUnauthorized() {
              await flaky()
              token = { authorization: 'fresh' }
              return true
            },
          },
    )
    const asked = outcomeOf(client.json(server.url('/me'), undefined, { retry: 1, timeout: Infinity }))
    await until(() => clock.pending().some(({ label }) => label.startsWith(name)))
    await clock.advance(15_000)
    await until(() => clock.pending().some(({ label }) => label.startsWith('retry')))
    await clock.advance(1_000)
    expect(await asked).toBe('answered')
  },
)

test.each(['fetch', 'json'] as const)('%s: who joins waits by its own time', async (ask) => {
  const server = await startServer(async (_, response) => {
    await until(() => clock.now() >= 1_700_000_000_900)
    response.end('{}')
  })
  const client = makeClient()
  const hasty = outcomeOf(client[ask](server.url('/a'), {}, { timeout: 300 }))
  const patient = outcomeOf(client[ask](server.url('/a'), {}, { timeout: 5_000 }))
  await until(() => server.requests.length === 1)
  await clock.advance(300)
  expect(await hasty).toMatchObject({ code: 'timeout' })
  await clock.advance(600)
  expect(await patient).toBe('answered')
  expect(server.requests).toHaveLength(1)
})

test('the last who gives up ends the request', async () => {
  const server = await startServer(() => {})
  const client = makeClient()
  const asked = [300, 500].map((timeout) => outcomeOf(client.json(server.url('/a'), undefined, { timeout })))
  await until(() => server.openStreams === 1)
  await clock.advance(300)
  expect(await asked[0]).toMatchObject({ code: 'timeout' })
  expect(server.openStreams).toBe(1)
  await clock.advance(200)
  expect(await asked[1]).toMatchObject({ code: 'timeout' })
  await until(() => server.openStreams === 0)
})

test('who joins one that tries once tries as often as it said', async () => {
  const server = await startServer((_, response) => {
    response.writeHead(server.requests.length === 1 ? 503 : 200).end('{}')
  })
  const client = makeClient()
  const once = outcomeOf(client.json(server.url('/a')))
  const stubborn = outcomeOf(client.json(server.url('/a'), undefined, { retry: 3 }))
  expect(await once).toMatchObject({ code: 'http', status: 503 })
  await until(() => clock.pending().some(({ label }) => label.startsWith('retry')))
  await clock.advance(1_000)
  expect(await stubborn).toBe('answered')
  expect(server.requests).toHaveLength(2)
})

test('who asks now does not wait for the budget of a retry', async () => {
  const server = await startServer((_, response) => {
    response.writeHead(server.requests.length < 3 ? 503 : 200).end('{}')
  })
  const client = makeClient({ limits: { burst: 1 } })
  const retried = outcomeOf(client.json(server.url('/a'), undefined, { retry: 2 }))
  for (const wait of [1_000, 2_000]) {
    await until(() => clock.pending().some(({ label }) => label.startsWith('retry')))
    await clock.advance(wait)
  }
  await until(() => clock.pending().some(({ label }) => label.startsWith('budget')))
  expect(await outcomeOf(client.json(server.url('/a')))).toBe('answered')
  await clock.advance(3_000)
  expect(await retried).toBe('answered')
})

test('of a request that is not tried again no error says that it is', async () => {
  const server = await startServer((_, response) => response.writeHead(503).end())
  const client = makeClient()
  expect(await outcomeOf(client.json(server.url('/a')))).toMatchObject({
    message: `GET ${server.url('/a')} answered 503: not now.`,
  })
})
