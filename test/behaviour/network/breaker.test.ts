import type { ServerResponse } from 'node:http'
import { type Alert, type Client, type ClientOptions, createClient } from 'millrace'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { closeServers, startServer, startStream } from '../../support/http-server'
import { createTestClock, type TestClock } from '../../support/test-clock'
import { until } from '../../support/until'

const clients: Client[] = []
let clock: TestClock

function makeClient(options: ClientOptions = {}): { client: Client; alerts: Alert[] } {
  const client = createClient({ environment: 'production', clock, ...options })
  const alerts: Alert[] = []
  client.on('alert', (alert) => alerts.push(alert))
  clients.push(client)
  return { client, alerts }
}

/** What it answers with, or rejects with: a status or a code. */
const outcomeOf = (promise: Promise<Response>): Promise<unknown> =>
  promise.then(
    ({ status }) => status,
    (error) => error.code ?? error,
  )

let query = 0
/** A request that is shared with no other one. */
const ask = (client: Client, url: string, init: RequestInit = {}): Promise<Response> =>
  client.fetch(`${url}?${++query}`, init)

const breakerOf = (client: Client) => client.stats().endpoints[0]!.breaker

/** A server that fails until it is told to work, or to keep its answers until they are released. */
async function startMill() {
  const held: ServerResponse[] = []
  const mill = { status: 500, holds: false }
  const server = await startServer((_, response) => {
    if (mill.holds) held.push(response)
    else response.writeHead(mill.status).end()
  })
  return { mill, held, server, url: server.url('/a') }
}

async function openBreaker(client: Client, url: string): Promise<void> {
  for (let n = 0; n < 5; n += 1) expect(await outcomeOf(ask(client, url))).toBe(500)
  expect(breakerOf(client)).toBe('open')
}

beforeEach(() => {
  clock = createTestClock()
})

afterEach(async () => {
  for (const client of clients.splice(0)) client.close()
  await closeServers()
})

describe('the breaker of an endpoint', () => {
  test('opens with the fifth failure within a minute, for 30 s, and says so', async () => {
    const { server, url } = await startMill()
    const { client, alerts } = makeClient()
    await openBreaker(client, url)
    const failure = await ask(client, url).catch((error) => error)
    expect(failure).toMatchObject({
      code: 'breaker-open',
      retryable: true,
      retryAfter: 30_000,
      endpoint: `GET ${url}`,
    })
    await clock.advance(29_999)
    expect(await outcomeOf(ask(client, url))).toBe('breaker-open')
    expect(server.requests).toHaveLength(5)
    expect(alerts.filter(({ code }) => code === 'breaker-open')).toEqual([
      expect.objectContaining({ endpoint: `GET ${url}` }),
    ])
    expect(client.health()).toMatchObject({ status: 'degraded' })
    await clock.advance(1)
    expect(await outcomeOf(ask(client, url))).toBe(500)
    expect(server.requests).toHaveLength(6)
  })

  test('forgets failures that are older than a minute', async () => {
    const { url } = await startMill()
    const { client } = makeClient()
    for (let n = 0; n < 12; n += 1) {
      await ask(client, url)
      await clock.advance(15_001)
    }
    expect(breakerOf(client)).toBe('closed')
    // Three are young enough to count.
    await ask(client, url)
    expect(breakerOf(client)).toBe('closed')
    await ask(client, url)
    expect(breakerOf(client)).toBe('open')
  })

  test('leaves other endpoints alone, and a group shares one', async () => {
    const { url, server } = await startMill()
    const { client } = makeClient()
    await openBreaker(client, url)
    expect(await outcomeOf(client.fetch(server.url('/other')))).toBe(500)
    expect(await outcomeOf(client.fetch(url, { method: 'POST' }))).toBe(500)

    const { client: grouped } = makeClient()
    const paths = ['/1', '/2', '/3', '/4', '/5', '/6']
    const outcomes: unknown[] = []
    for (const path of paths) outcomes.push(await outcomeOf(grouped.fetch(server.url(path), {}, { group: 'api' })))
    expect(outcomes).toEqual([500, 500, 500, 500, 500, 'breaker-open'])
    expect(grouped.stats().endpoints).toMatchObject([{ endpoint: 'api', breaker: 'open' }])
  })

  test('can be set up otherwise, or switched off', async () => {
    const { url } = await startMill()
    const { client } = makeClient({ breaker: { failures: 2, window: 1_000, cooldown: 5_000 } })
    await ask(client, url)
    await clock.advance(1_000)
    await ask(client, url)
    expect(breakerOf(client)).toBe('closed')
    await ask(client, url)
    expect(breakerOf(client)).toBe('open')
    await clock.advance(5_000)
    expect(await outcomeOf(ask(client, url))).toBe(500)

    const { client: without } = makeClient({ flags: { breaker: false } })
    for (let n = 0; n < 20; n += 1) expect(await outcomeOf(ask(without, url))).toBe(500)
    expect(breakerOf(without)).toBe('closed')
  })

  test.each([500, 502, 503, 504])('counts a %s', async (status) => {
    const { mill, url } = await startMill()
    mill.status = status
    const { client } = makeClient()
    for (let n = 0; n < 5; n += 1) await ask(client, url)
    expect(breakerOf(client)).toBe('open')
  })

  test.each([200, 204, 400, 401, 403, 404, 409, 422, 429])('does not count a %s', async (status) => {
    const { mill, url } = await startMill()
    mill.status = status
    const { client } = makeClient()
    for (let n = 0; n < 20; n += 1) await ask(client, url)
    expect(breakerOf(client)).toBe('closed')
  })

  test('counts a connection that breaks', async () => {
    const server = await startServer((_, response) => void response.socket?.resetAndDestroy())
    const { client } = makeClient()
    for (let n = 0; n < 5; n += 1) expect(await outcomeOf(ask(client, server.url('/a')))).toBe('network')
    expect(breakerOf(client)).toBe('open')
  })

  test('counts a timeout', async () => {
    const { mill, server, url } = await startMill()
    mill.holds = true
    const { client } = makeClient()
    const outcomes = Array.from({ length: 5 }, (_, n) => outcomeOf(client.fetch(`${url}?${n}`, {}, { timeout: 100 })))
    await until(() => server.requests.length === 5)
    await clock.advance(100)
    expect(await Promise.all(outcomes)).toEqual(Array(5).fill('timeout'))
    expect(breakerOf(client)).toBe('open')
  })

  test('does not count aborts, nor its own refusals, nor requests that waited too long for their turn', async () => {
    const { mill, held, server, url } = await startMill()
    mill.holds = true
    const { client } = makeClient({ limits: { concurrency: 2, queue: 2 } })
    const controllers = Array.from({ length: 4 }, () => new AbortController())
    const outcomes = controllers.map(({ signal }) => outcomeOf(ask(client, url, { signal })))
    await until(() => server.requests.length === 2)
    for (let n = 0; n < 10; n += 1) expect(await outcomeOf(ask(client, url))).toBe('queue-full')
    await clock.advance(10_000)
    for (const controller of controllers) controller.abort('gone')
    expect(await Promise.all(outcomes)).toEqual(Array(4).fill('gone'))
    expect(breakerOf(client)).toBe('closed')

    mill.holds = false
    await until(() => client.stats().endpoints[0]!.inFlight === 0)
    await openBreaker(client, url)
    for (let n = 0; n < 50; n += 1) expect(await outcomeOf(ask(client, url))).toBe('breaker-open')
    // Its refusals did not prolong it.
    await clock.advance(30_000)
    mill.status = 200
    expect(await outcomeOf(ask(client, url))).toBe(200)
    expect(breakerOf(client)).toBe('closed')
    expect(held).toHaveLength(2)
  })

  test('neither counts nor stops streams, which keep to their backoff', async () => {
    let streams = 0
    const server = await startServer(({ headers }, response) => {
      if (headers.accept !== 'text/event-stream') response.writeHead(500).end()
      else if (++streams < 8) response.writeHead(503).end()
      else startStream(response).write('data: 1\n\n')
    })
    const { client } = makeClient({
      backoff: { base: 1, cap: 1, jitter: 'none' },
      limits: { backgroundPerMinute: Infinity },
    })
    const events: unknown[] = []
    client.subscribe(server.url('/a'), ({ data }) => events.push(data))
    for (let n = 0; n < 7; n += 1) {
      await until(() => streams === n + 1 && clock.pending().some(({ label }) => label.startsWith('reconnect')))
      await clock.advance(1)
    }
    await until(() => events.length === 1)
    expect(breakerOf(client)).toBe('closed')
  })
})

describe('a half-open breaker', () => {
  test('lets one probe through, and everybody in after its success', async () => {
    const { mill, held, server, url } = await startMill()
    const { client, alerts } = makeClient()
    await openBreaker(client, url)
    await clock.advance(30_000)
    mill.holds = true
    const outcomes = Array.from({ length: 10 }, () => outcomeOf(ask(client, url)))
    await until(() => server.requests.length === 6)
    expect(breakerOf(client)).toBe('half-open')
    expect(client.stats().endpoints[0]).toMatchObject({ inFlight: 1, queued: 9 })
    mill.holds = false
    mill.status = 200
    held[0]!.end()
    expect(await Promise.all(outcomes)).toEqual(Array(10).fill(200))
    expect(breakerOf(client)).toBe('closed')
    expect(alerts.filter(({ code }) => code === 'breaker-closed')).toHaveLength(1)
  })

  test('releases those who waited little by little: 1, 2, 4, 6 at once', async () => {
    const { mill, held, server, url } = await startMill()
    const { client } = makeClient()
    await openBreaker(client, url)
    await clock.advance(30_000)
    mill.holds = true
    const outcomes = Array.from({ length: 30 }, () => outcomeOf(ask(client, url)))
    const steps: number[] = []
    const left = (): number => client.stats().endpoints[0]!.inFlight + client.stats().endpoints[0]!.queued
    let answered = 0
    while (answered < 30) {
      await until(() => left() === 30 - answered)
      const { inFlight } = client.stats().endpoints[0]!
      await until(() => server.openStreams === inFlight && held.length === inFlight)
      if (steps.at(-1) !== inFlight) steps.push(inFlight)
      // One answer at a time, to see how many come in its place.
      held.shift()!.end()
      answered += 1
    }
    expect(await Promise.all(outcomes)).toEqual(Array(30).fill(200))
    expect(steps.slice(0, 4)).toEqual([1, 2, 4, 6])
    expect(Math.max(...steps)).toBe(6)
  })

  test('opens for another 30 s when its probe fails, and refuses those who waited', async () => {
    const { mill, held, server, url } = await startMill()
    const { client } = makeClient()
    await openBreaker(client, url)
    await clock.advance(30_000)
    mill.holds = true
    const outcomes = Array.from({ length: 10 }, () => outcomeOf(ask(client, url)))
    await until(() => held.length === 1)
    held[0]!.writeHead(500).end()
    expect(await Promise.all(outcomes)).toEqual([500, ...Array(9).fill('breaker-open')])
    await clock.advance(29_999)
    expect(await outcomeOf(ask(client, url))).toBe('breaker-open')
    expect(server.requests).toHaveLength(6)
  })

  test('gives the turn of a probe that was aborted to the next one at once', async () => {
    const { mill, held, server, url } = await startMill()
    const { client } = makeClient()
    await openBreaker(client, url)
    await clock.advance(30_000)
    mill.holds = true
    const controller = new AbortController()
    const probe = outcomeOf(ask(client, url, { signal: controller.signal }))
    await until(() => held.length === 1)
    const next = outcomeOf(ask(client, url))
    controller.abort('gone')
    expect(await probe).toBe('gone')
    await until(() => held.length === 2, 'the next probe')
    expect(breakerOf(client)).toBe('half-open')
    held[1]!.end()
    expect(await next).toBe(200)
    expect(breakerOf(client)).toBe('closed')
    expect(server.requests).toHaveLength(7)
  })

  test('does not wait for ever for a probe that hangs: its timeout is a failure', async () => {
    const { mill, server, url } = await startMill()
    const { client } = makeClient()
    await openBreaker(client, url)
    await clock.advance(30_000)
    mill.holds = true
    const probe = outcomeOf(client.fetch(`${url}?probe`, {}, { timeout: 1_000 }))
    await until(() => server.requests.length === 6)
    const waiting = outcomeOf(ask(client, url))
    await clock.advance(1_000)
    expect(await Promise.all([probe, waiting])).toEqual(['timeout', 'breaker-open'])
    mill.holds = false
    mill.status = 200
    await clock.advance(30_000)
    expect(await outcomeOf(ask(client, url))).toBe(200)
    expect(client.stats().endpoints[0]).toMatchObject({ breaker: 'closed', inFlight: 0, queued: 0 })
  })

  test('is not closed by an old request that succeeds after all, nor opened by one that fails', async () => {
    const { mill, held, url } = await startMill()
    const { client } = makeClient()
    mill.holds = true
    const old = [outcomeOf(ask(client, url)), outcomeOf(ask(client, url))]
    await until(() => held.length === 2)
    mill.holds = false
    await openBreaker(client, url)
    held[0]!.end()
    expect(await old[0]).toBe(200)
    expect(breakerOf(client)).toBe('open')
    await clock.advance(14_000)
    expect(await outcomeOf(ask(client, url))).toBe('breaker-open')
    held[1]!.writeHead(500).end()
    expect(await old[1]).toBe(500)
    await clock.advance(16_000)
    mill.status = 200
    expect(await outcomeOf(ask(client, url))).toBe(200)
  })

  test('is probed by what is asked anyway: there is no timer', async () => {
    const { url, server } = await startMill()
    const { client } = makeClient()
    await openBreaker(client, url)
    expect(client.stats().timers).toEqual([])
    await clock.advance(300_000)
    expect(server.requests).toHaveLength(5)
  })
})
