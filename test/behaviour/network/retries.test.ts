import type { ServerResponse } from 'node:http'
import { type Client, type ClientOptions, createClient, type RequestRecord } from 'millrace'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { closeServers, type Handler, startServer, startStream } from '../../support/http-server'
import { createTestClock, type TestClock } from '../../support/test-clock'
import { until, within } from '../../support/until'

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

/** Answers with these statuses in turn, then with 200. */
const answering = (...statuses: (number | [number, Record<string, string>])[]): Handler => {
  return (_, response) => {
    const [status, headers] = [statuses.shift() ?? 200].flat() as [number, Record<string, string>?]
    response.writeHead(status, headers).end(`{"status":${status}}`)
  }
}

/** Lets time pass once the client waits for it. */
async function passTimer(label: string, ms: number): Promise<void> {
  await until(() => clock.pending().some((timer) => timer.label.startsWith(label)), `a timer "${label}"`)
  await clock.advance(ms)
}

/** What it rejects with; awaited from the start, so that no rejection goes by unseen while time passes. */
const failureOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'it resolved',
    (error: unknown) => error,
  )

beforeEach(() => {
  clock = createTestClock()
})

afterEach(async () => {
  for (const client of clients.splice(0)) client.close()
  await closeServers()
})

describe('a failed request', () => {
  test('is not tried again unless that was asked for', async () => {
    const server = await startServer(answering(503))
    const client = makeClient()
    expect((await client.fetch(server.url('/a'))).status).toBe(503)
    expect(server.requests).toHaveLength(1)
    expect(clock.pending()).toEqual([])
  })

  test.each(['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS'])(
    'is tried again with backoff if it is a %s',
    async (method) => {
      const server = await startServer(answering(503, 500))
      const client = makeClient()
      const answer = client.fetch(server.url('/a'), { method }, { retry: 2 })
      await passTimer('retry', 999)
      expect(server.requests).toHaveLength(1)
      await clock.advance(1)
      await until(() => server.requests.length === 2)
      await passTimer('retry', 1_999)
      expect(server.requests).toHaveLength(2)
      await clock.advance(1)
      expect((await answer).status).toBe(200)
      expect(server.requests.map((request) => request.method)).toEqual([method, method, method])
    },
  )

  test.each(['POST', 'PATCH'])('is never tried again if it is a %s', async (method) => {
    const server = await startServer(answering(503))
    const client = makeClient()
    expect((await client.fetch(server.url('/a'), { method, body: 'x' }, { retry: 5 })).status).toBe(503)
    expect(server.requests).toHaveLength(1)
  })

  test('ends with the last answer when the retries are used up', async () => {
    const server = await startServer(answering(503, 502, 500))
    const client = makeClient()
    const answer = client.fetch(server.url('/a'), {}, { retry: 2 })
    await passTimer('retry', 1_000)
    await until(() => server.requests.length === 2)
    await passTimer('retry', 2_000)
    const response = await answer
    expect([response.status, await response.text()]).toEqual([500, '{"status":500}'])
  })

  test.each([400, 401, 403, 404, 410, 422])('is not tried again for a %s', async (status) => {
    const server = await startServer(answering(status))
    expect((await makeClient().fetch(server.url('/a'), {}, { retry: 5 })).status).toBe(status)
    expect(server.requests).toHaveLength(1)
  })

  test('is tried again after a network error', async () => {
    let broken = true
    const server = await startServer((_, response) => {
      if (broken) response.socket?.resetAndDestroy()
      else response.end('ok')
    })
    const answer = makeClient().fetch(server.url('/a'), {}, { retry: 1 })
    await until(() => clock.pending().some(({ label }) => label.startsWith('retry')))
    broken = false
    await clock.advance(1_000)
    expect(await (await answer).text()).toBe('ok')
  })

  test.each([
    ['seconds', '7', 8_000],
    ['a date', () => new Date(clock.now() + 7_000).toUTCString(), 8_000],
    ['far too long, so five minutes', '99999999999', 301_000],
    ['nothing readable', 'soon', 1_000],
  ])('waits for the backoff on top of a Retry-After of %s', async (_, value, wait) => {
    const retryAfter = typeof value === 'string' ? value : value()
    const server = await startServer(answering([429, { 'retry-after': retryAfter }]))
    const answer = makeClient().fetch(server.url('/a'), {}, { retry: 1, timeout: Infinity })
    await passTimer('retry', wait - 1)
    expect(server.requests).toHaveLength(1)
    await clock.advance(1)
    expect((await answer).status).toBe(200)
  })

  test('is tried again within the background budget', async () => {
    const server = await startServer(answering(503))
    const records: RequestRecord[] = []
    const client = makeClient()
    client.on('request', (record) => records.push(record))
    const answer = client.fetch(server.url('/a'), {}, { retry: 1, label: 'Page' })
    await passTimer('retry', 1_000)
    await answer
    expect(records).toMatchObject([
      { kind: 'foreground', status: 503, label: 'Page', endpoint: `GET ${server.origin}/a` },
      { kind: 'background', status: 200, label: 'Page' },
    ])
  })

  test('is tried again for all who share it, once', async () => {
    const server = await startServer(answering(503))
    const client = makeClient()
    const answers = [1, 2, 3].map(() => client.fetch(server.url('/a'), {}, { retry: 1 }))
    await passTimer('retry', 1_000)
    expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([200, 200, 200])
    expect(server.requests).toHaveLength(2)
  })

  test('is not tried again by a caller who has left', async () => {
    const server = await startServer(answering(503))
    const controller = new AbortController()
    const answer = makeClient().fetch(server.url('/a'), { signal: controller.signal }, { retry: 5 })
    await until(() => clock.pending().some(({ label }) => label.startsWith('retry')))
    controller.abort('gone')
    await expect(answer).rejects.toBe('gone')
    expect(clock.pending()).toEqual([])
    await clock.advance(60_000)
    expect(server.requests).toHaveLength(1)
  })

  test.each(['Request', 'string'])('is sent again with its body, given as a %s', async (form) => {
    const server = await startServer(answering(503))
    const url = server.url('/a')
    const init = { method: 'PUT', body: 'content' }
    const client = makeClient()
    const answer =
      form === 'Request'
        ? client.fetch(new Request(url, init), {}, { retry: 1 })
        : client.fetch(url, init, { retry: 1 })
    answer.catch(() => {})
    await passTimer('retry', 1_000)
    expect((await answer).status).toBe(200)
    expect(server.requests.map(({ body }) => body)).toEqual(['content', 'content'])
  })

  test('is tried again for json too', async () => {
    const server = await startServer(answering(503))
    const value = makeClient().json(server.url('/a'), {}, { retry: 1 })
    await passTimer('retry', 1_000)
    expect(await value).toEqual({ status: 200 })
  })
})

describe('a timeout', () => {
  test('rejects with `timeout` and closes the connection when no headers come', async () => {
    const server = await startServer(() => {})
    const client = makeClient()
    const answer = failureOf(client.fetch(server.url('/a?secret'), {}, { timeout: 500 }))
    await until(() => server.requests.length === 1)
    await clock.advance(499)
    expect(server.openStreams).toBe(1)
    await clock.advance(1)
    expect(await answer).toMatchObject({
      code: 'timeout',
      retryable: true,
      endpoint: `GET ${server.origin}/a`,
      message: expect.stringContaining('500 ms'),
    })
    await until(() => server.openStreams === 0)
    expect(client.stats()).toMatchObject({ timers: [], requests: { failed: 1 } })
  })

  test('is 15 s unless it is given', async () => {
    const server = await startServer(() => {})
    const answer = failureOf(makeClient().fetch(server.url('/a')))
    await until(() => server.requests.length === 1)
    expect(clock.pending()).toMatchObject([{ dueAt: clock.now() + 15_000 }])
    await clock.advance(15_000)
    expect(await answer).toMatchObject({ code: 'timeout' })
  })

  test('is over with the headers: a slow body may take its time', async () => {
    let held: ServerResponse | undefined
    const server = await startServer((_, response) => {
      held = response
      response.write('slow')
    })
    const response = await makeClient().fetch(server.url('/a'), {}, { timeout: 500 })
    await clock.advance(60_000)
    held!.end('ly')
    expect(await response.text()).toBe('slowly')
  })

  test('counts the body of json, too', async () => {
    const server = await startServer((_, response) => void response.write('{"n":'))
    const client = makeClient()
    const value = failureOf(client.json(server.url('/a'), {}, { timeout: 500 }))
    await until(() => server.requests.length === 1)
    await clock.advance(500)
    expect(await value).toMatchObject({ code: 'timeout', endpoint: `GET ${server.origin}/a` })
    await until(() => server.openStreams === 0, 'the server to see the close')
    expect(client.stats().timers).toEqual([])
  })

  test('counts a body that is read for the cache, too', async () => {
    const server = await startServer((_, response) => void response.write('part'))
    const client = makeClient()
    const answer = failureOf(client.fetch(server.url('/a'), {}, { timeout: 500, ttl: 1_000 }))
    await until(() => server.requests.length === 1)
    await clock.advance(500)
    expect(await answer).toMatchObject({ code: 'timeout' })
    await until(() => server.openStreams === 0, 'the server to see the close')
    expect(client.stats().timers).toEqual([])
  })

  test('rejects although the `fetch` that was given does not heed its signal', async () => {
    const client = makeClient({ fetch: () => new Promise(() => {}), limits: { concurrency: 2 } })
    for (let n = 0; n < 5; n += 1) {
      const answer = failureOf(client.fetch(`http://mill.test/a?${n}`, {}, { timeout: 500 }))
      await clock.advance(500)
      expect(await within(1_000, answer, `timeout number ${n}`)).toMatchObject({ code: 'timeout' })
    }
    expect(client.stats().endpoints[0]).toMatchObject({ inFlight: 0, queued: 0 })
  })

  test('counts the retries, too: what it leaves no time for is not waited for', async () => {
    const server = await startServer(answering(503, 503, 503))
    const answer = makeClient().fetch(server.url('/a'), {}, { timeout: 2_500, retry: 5 })
    await passTimer('retry', 1_000)
    expect((await answer).status).toBe(503)
    expect(server.requests).toHaveLength(2)
    expect(clock.pending()).toEqual([])
  })
})

describe('a 401', () => {
  /** A server that lets nobody in but the holder of the newest token. */
  async function startDoor() {
    const door = { token: 'new' }
    const server = await startServer(({ headers }, response) => {
      response.writeHead(headers.authorization === door.token ? 200 : 401).end('{"in":true}')
    })
    return { door, server }
  }

  test('is refreshed once for any number of requests, and each is tried once more', async () => {
    const { server } = await startDoor()
    let token = 'old'
    let refreshes = 0
    const client = makeClient({
      headers: () => ({ authorization: token }),
      async onUnauthorized(error) {
        refreshes += 1
        expect(error).toMatchObject({ code: 'unauthorized', status: 401 })
        await until(() => server.requests.length >= 6, 'all of them to be refused')
        token = 'new'
        return true
      },
    })
    const answers = Array.from({ length: 5 }, (_, n) => client.fetch(server.url(`/a/${n}`)))
    const posted = client.fetch(server.url('/post'), { method: 'POST', body: 'content' })
    for (const response of await Promise.all([...answers, posted])) expect(response.status).toBe(200)
    expect(refreshes).toBe(1)
    expect(server.requests).toHaveLength(12)
    expect(server.requests.filter(({ url }) => url === '/post').map(({ body }) => body)).toEqual(['content', 'content'])
  })

  test('that comes late, to a request from before the refresh, needs none of its own', async () => {
    let token = 'old'
    let refreshes = 0
    const held: ServerResponse[] = []
    const server = await startServer(({ url, headers }, response) => {
      const status = headers.authorization === 'new' ? 200 : 401
      if (url === '/slow' && status === 401) held.push(response)
      else response.writeHead(status).end()
    })
    const client = makeClient({
      headers: () => ({ authorization: token }),
      onUnauthorized() {
        refreshes += 1
        token = 'new'
        return true
      },
    })
    const slow = client.fetch(server.url('/slow'))
    await until(() => held.length === 1)
    expect((await client.fetch(server.url('/fast'))).status).toBe(200)
    held[0]!.writeHead(401).end()
    expect((await slow).status).toBe(200)
    expect(refreshes).toBe(1)
  })

  test('that comes again after the refresh is the answer', async () => {
    const { server } = await startDoor()
    let refreshes = 0
    const client = makeClient({
      onUnauthorized() {
        refreshes += 1
        return true
      },
    })
    const response = await client.fetch(server.url('/a'))
    expect([response.status, refreshes, server.requests.length]).toEqual([401, 1, 2])
    await expect(client.json(server.url('/b'))).rejects.toMatchObject({ code: 'unauthorized', status: 401 })
    expect([refreshes, server.requests.length]).toEqual([2, 4])
  })

  test.each([
    ['says no', async () => false],
    ['says nothing', async () => undefined as unknown as boolean],
  ])('is the answer when the refresh %s', async (_, onUnauthorized) => {
    const { server } = await startDoor()
    const client = makeClient({ onUnauthorized })
    const response = await client.fetch(server.url('/a'))
    expect([response.status, await response.text(), server.requests.length]).toEqual([401, '{"in":true}', 1])
  })

  test('leaves nobody waiting when the refresh throws', async () => {
    const { server } = await startDoor()
    const client = makeClient({
      onUnauthorized() {
        throw new Error('no refresh token')
      },
    })
    expect(await within(2_000, failureOf(client.json(server.url('/a'))), 'an outcome')).toBeInstanceOf(Error)
    expect(server.requests).toHaveLength(1)
    // And the next one asks again.
    expect(await within(2_000, failureOf(client.json(server.url('/a'))), 'an outcome')).toBeInstanceOf(Error)
    expect(server.requests).toHaveLength(2)
  })

  test.each(['GET', 'POST'])('does not hold a %s that was aborted while the refresh is pending', async (method) => {
    const { server } = await startDoor()
    const client = makeClient({ onUnauthorized: () => new Promise(() => {}) })
    const controller = new AbortController()
    const answer = client.fetch(server.url('/a'), { method, signal: controller.signal })
    await until(() => client.stats().requests.sent === 1 && server.openStreams === 0)
    controller.abort('gone')
    await expect(within(1_000, answer, 'the abort to reject')).rejects.toBe('gone')
  })

  test('is sent again with its body, given as a Request', async () => {
    const { server } = await startDoor()
    let token = 'old'
    const client = makeClient({
      headers: () => ({ authorization: token }),
      onUnauthorized() {
        token = 'new'
        return true
      },
    })
    const request = new Request(server.url('/a'), { method: 'POST', body: 'content' })
    expect((await client.fetch(request)).status).toBe(200)
    expect(server.requests.map(({ body }) => body)).toEqual(['content', 'content'])
  })

  test('of a stream is refreshed too, together with requests', async () => {
    let token = 'old'
    let refreshes = 0
    const server = await startServer(({ url, headers }, response) => {
      if (headers.authorization !== 'new') response.writeHead(401).end()
      else if (url === '/stream') startStream(response).write('data: 1\n\n')
      else response.end('{}')
    })
    const client = makeClient({
      headers: () => ({ authorization: token }),
      async onUnauthorized() {
        refreshes += 1
        await until(() => server.requests.length >= 2)
        token = 'new'
        return true
      },
    })
    const events: unknown[] = []
    client.subscribe(server.url('/stream'), (event) => events.push(event.data))
    expect(await client.json(server.url('/a'))).toEqual({})
    await until(() => events.length === 1)
    expect(refreshes).toBe(1)
  })
})
