import type { ServerResponse } from 'node:http'
import { type Client, type ClientEvents, type ClientOptions, createClient, defineChannel } from 'millrace'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { closeServers, startServer, startStream, type TestServer } from '../support/http-server'
import { createTestClock, type TestClock } from '../support/test-clock'
import { until, within } from '../support/until'

const clients: Client[] = []

function makeClient(options: ClientOptions = {}): Client {
  const client = createClient({ environment: 'test', ...options })
  clients.push(client)
  return client
}

/** Streams a beat, answers snapshots, holds what is asked for under `/held`, fails under `/down`. */
async function startMill(): Promise<TestServer & { held: ServerResponse[] }> {
  const held: ServerResponse[] = []
  const server = await startServer(({ url }, response) => {
    if (url.startsWith('/stream')) startStream(response).write('id: 1\ndata: {"n":1}\n\n')
    else if (url.startsWith('/held')) held.push(response)
    else if (url.startsWith('/down')) response.writeHead(503).end()
    else response.setHeader('content-type', 'application/json').end(`{"n":${server.requests.length}}`)
  })
  return Object.assign(Object.create(server) as TestServer, { held })
}

const outcomeOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'it resolved',
    (error) => error.code ?? error,
  )

const macrotask = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Everything that a client can be in the middle of, under way. */
async function startEverything(client: Client, server: TestServer) {
  const streamed = defineChannel<unknown, never>({ key: 'streamed', stream: server.url('/stream') })
  const polled = defineChannel({ key: 'polled', snapshot: server.url('/data'), interval: 200 })
  const both = defineChannel<unknown, never>({
    key: 'both',
    stream: server.url('/stream/both'),
    snapshot: server.url('/data/both'),
  })
  const lost = defineChannel<unknown, never>({ key: 'lost', stream: server.url('/down/stream') })
  const left = defineChannel<unknown, never>({ key: 'left', stream: server.url('/stream/left'), grace: 60_000 })
  const subscriptions = [streamed, polled, both, lost].map((channel) => client.subscribe(channel, {}))
  client.subscribe(left, {}).unsubscribe()
  client.subscribe(
    defineChannel<unknown, never>({ key: 'frames', stream: server.url('/stream/frames') }),
    {},
    {
      delivery: 'frame',
    },
  )
  const waits = [
    client.fetch(server.url('/held/1')),
    client.json(server.url('/held/2')),
    client.fetch(server.url('/held/3'), { method: 'POST', body: 'x' }),
    client.fetch(server.url('/down/1'), {}, { retry: 100 }),
    client.fetch(server.url('/held/4'), {}, { retry: 100 }),
    ...Array.from({ length: 20 }, (_, n) => client.fetch(server.url(`/held/queue?${n}`))),
  ].map(outcomeOf)
  const body = await client.fetch(server.url('/stream/body'))
  await until(() => subscriptions.map(({ state }) => state.status).join(), {
    accept: (statuses) => statuses === 'live,polling,live,reconnecting',
  })
  await until(() => client.stats().endpoints.some(({ queued }) => queued > 0))
  await until(() => client.stats().timers.some(({ label }) => label.startsWith('retry')))
  return { subscriptions, waits, body: outcomeOf(body.text()) }
}

beforeEach(() => {
  vi.spyOn(console, 'warn').mockImplementation(() => {})
})

afterEach(async () => {
  for (const client of clients.splice(0)) client.close()
  vi.restoreAllMocks()
  await closeServers()
})

describe('disable()', () => {
  test('leaves no timer when it returns, and none afterwards', async () => {
    const server = await startMill()
    const client = makeClient({ limits: { streams: 10 } })
    await startEverything(client, server)
    expect(client.stats().timers.length).toBeGreaterThan(5)
    client.disable()
    expect(client.stats().timers).toEqual([])
    expect(client.enabled).toBe(false)
    for (let turn = 0; turn < 20; turn += 1) await macrotask()
    expect(client.stats().timers).toEqual([])
  })

  test('closes every connection, and no request follows', async () => {
    const server = await startMill()
    const client = makeClient({ limits: { streams: 10 } })
    await startEverything(client, server)
    expect(server.openStreams).toBeGreaterThan(8)
    client.disable()
    await until(() => server.openStreams === 0, 'the server to see every close')
    const before = server.requests.length
    // Longer than the interval of the polls and the first backoff.
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(server.requests).toHaveLength(before)
    expect(client.stats().endpoints.every(({ inFlight, queued }) => inFlight + queued === 0)).toBe(true)
  })

  test('rejects at once what waits: in flight, in the queue, between two attempts, in the middle of a body', async () => {
    const server = await startMill()
    const client = makeClient({ limits: { streams: 10 } })
    const { waits, body } = await startEverything(client, server)
    client.disable()
    const outcomes = await within(500, Promise.all([...waits, body]), 'every promise to settle')
    expect(new Set(outcomes)).toEqual(new Set(['disabled']))
  })

  test.each(['header function', 'refresh'])('rejects what waits for a %s that never comes', async (what) => {
    const server = await startServer((_, response) => response.writeHead(401).end())
    const never = () => new Promise<never>(() => {})
    const client = makeClient(what === 'refresh' ? { onUnauthorized: never } : { headers: never })
    const waits = [client.fetch(server.url('/a')), client.json(server.url('/b'))].map(outcomeOf)
    if (what === 'refresh') await until(() => client.stats().requests.sent === 2 && server.openStreams === 0)
    client.disable()
    expect(await within(500, Promise.all(waits), 'both to settle')).toEqual(['disabled', 'disabled'])
  })

  test('shows every channel as paused, with its data', async () => {
    const server = await startMill()
    const client = makeClient({ limits: { streams: 10 } })
    const { subscriptions } = await startEverything(client, server)
    client.disable('maintenance')
    for (const { state } of subscriptions) expect(state).toMatchObject({ status: 'paused', pausedBy: 'disabled' })
    expect(subscriptions[0]!.state).toMatchObject({ data: { n: 1 }, isStale: true })
  })

  test('refuses what is asked while it lasts, and opens nothing for who subscribes', async () => {
    const server = await startMill()
    const client = makeClient()
    client.disable()
    const channel = defineChannel({ key: 'polled', snapshot: server.url('/data'), interval: 200 })
    expect(await outcomeOf(client.fetch(server.url('/a')))).toBe('disabled')
    expect(await outcomeOf(client.json(server.url('/a')))).toBe('disabled')
    expect(await outcomeOf(client.fetch(server.url('/a'), { method: 'POST' }))).toBe('disabled')
    expect(await outcomeOf(client.fetch(server.url('/a'), {}, { retry: 3 }))).toBe('disabled')
    expect(await outcomeOf(client.refresh(channel))).toBe('disabled')
    const subscription = client.subscribe(channel, {})
    const stream = client.subscribe(server.url('/stream'), () => {})
    expect(subscription.state).toMatchObject({ status: 'paused', pausedBy: 'disabled' })
    expect(stream.state).toMatchObject({ status: 'paused', pausedBy: 'disabled' })
    for (let turn = 0; turn < 20; turn += 1) await macrotask()
    expect(client.stats().timers).toEqual([])
    expect(server.requests).toHaveLength(0)
  })

  test('tells whoever listens, once, with its reason', () => {
    const client = makeClient()
    const switched: ClientEvents['switch'][] = []
    client.on('switch', (event) => switched.push(event))
    client.disable('maintenance')
    client.disable('again')
    client.enable()
    client.enable()
    client.disable()
    expect(switched).toEqual([{ enabled: false, reason: 'maintenance' }, { enabled: true }, { enabled: false }])
  })

  test('works from within a handler', async () => {
    const server = await startMill()
    const client = makeClient()
    let events = 0
    const subscription = client.subscribe(server.url('/stream'), () => {
      events += 1
      client.disable()
    })
    await until(() => events === 1)
    expect(subscription.state.status).toBe('paused')
    await until(() => server.openStreams === 0)
    expect(client.stats().timers).toEqual([])
  })

  test('concerns no other client', async () => {
    const server = await startMill()
    const [client, other] = [makeClient(), makeClient()]
    client.disable()
    expect((await other.fetch(server.url('/a'))).ok).toBe(true)
  })
})

describe('enable()', () => {
  test('brings every channel back', async () => {
    const server = await startMill()
    const client = makeClient({ limits: { streams: 10 } })
    const { subscriptions } = await startEverything(client, server)
    client.disable()
    await until(() => server.openStreams === 0)
    const before = server.requests.length
    client.enable()
    expect(client.enabled).toBe(true)
    await until(() => subscriptions.map(({ state }) => state.status).join(), {
      accept: (statuses) => statuses === 'live,polling,live,reconnecting',
    })
    await until(() => {
      const back = new Set(server.requests.slice(before).map(({ url }) => url))
      return ['/stream', '/data', '/stream/both', '/down/stream', '/stream/frames'].every((path) => back.has(path))
    }, 'every source to be asked')
    expect((await client.fetch(server.url('/a'))).ok).toBe(true)
  })

  test('brings back what was subscribed meanwhile', async () => {
    const server = await startMill()
    const client = makeClient()
    client.disable()
    const subscription = client.subscribe(server.url('/stream'), () => {})
    client.enable()
    await until(() => subscription.state.status === 'live')
  })

  test('resumes streams where they were', async () => {
    const server = await startMill()
    const client = makeClient()
    const events: unknown[] = []
    const subscription = client.subscribe(server.url('/stream'), ({ data }) => events.push(data))
    await until(() => subscription.state.status === 'live' && events.length === 1)
    client.disable()
    client.enable()
    await until(() => server.requests.length === 2 && subscription.state.status === 'live')
    expect(server.requests[1]!.headers['last-event-id']).toBe('1')
    expect(events).toHaveLength(1)
  })

  test('spreads the return over a second, so that a fleet does not come back in one instant', async () => {
    const returns: number[] = []
    for (let seed = 1; seed <= 40; seed += 1) {
      const clock: TestClock = createTestClock({ seed })
      const sent: number[] = []
      const client = makeClient({
        clock,
        baseUrl: 'http://mill.test',
        async fetch(input) {
          sent.push(clock.now())
          if (!String(input).includes('stream')) return Response.json({})
          return new Response(new ReadableStream(), { headers: { 'content-type': 'text/event-stream' } })
        },
      })
      client.subscribe(defineChannel<unknown, never>({ key: 'streamed', stream: '/stream' }), {})
      client.subscribe(defineChannel({ key: 'polled', snapshot: '/data', interval: 60_000 }), {})
      await clock.advance(10)
      expect(sent).toHaveLength(2)
      client.disable()
      await clock.advance(120_000)
      expect(sent).toHaveLength(2)
      const enabledAt = clock.now()
      client.enable()
      await clock.advance(1_000)
      expect(sent).toHaveLength(4)
      returns.push(...sent.slice(2).map((at) => at - enabledAt))
    }
    expect(Math.min(...returns)).toBeGreaterThanOrEqual(0)
    expect(Math.max(...returns)).toBeLessThanOrEqual(1_000)
    const quarters = [0, 0, 0, 0]
    for (const delay of returns) quarters[Math.min(3, Math.floor(delay / 250))]! += 1
    // Eighty in four quarters of a second: 20 each, give or take.
    for (const count of quarters) expect(count).toBeGreaterThan(5)
  })

  test('any number of times in any order ends where the last call says', async () => {
    const server = await startMill()
    const client = makeClient()
    const subscription = client.subscribe(server.url('/stream'), () => {})
    for (let n = 0; n < 50; n += 1) {
      client.disable()
      client.enable()
    }
    client.disable()
    expect(client.stats().timers).toEqual([])
    await until(() => server.openStreams === 0)
    client.enable()
    await until(() => subscription.state.status === 'live')
    expect(server.openStreams).toBe(1)
  })
})

describe('close()', () => {
  test('ends everything for good, with `closed`', async () => {
    const server = await startMill()
    const client = makeClient({ limits: { streams: 10 } })
    const { subscriptions, waits, body } = await startEverything(client, server)
    const errors: unknown[] = []
    client.subscribe(server.url('/stream/last'), { error: ({ code }) => errors.push(code) })
    const iterator = client.events(defineChannel<unknown, never>({ key: 'it', stream: server.url('/stream/it') }))
    const first = outcomeOf(iterator.next().then(() => iterator.next()))
    await until(() => server.requests.some(({ url }) => url === '/stream/it'))
    client.close()
    expect(client.stats().timers).toEqual([])
    const outcomes = await within(500, Promise.all([...waits, body, first]), 'every promise to settle')
    expect(new Set(outcomes)).toEqual(new Set(['closed']))
    expect(errors).toEqual(['closed'])
    await until(() => server.openStreams === 0)
    expect(client.stats()).toMatchObject({
      channels: [],
      subscriptions: { active: 0 },
      cache: { entries: 0, bytes: 0 },
    })
    for (const subscription of subscriptions) subscription.unsubscribe()
    client.enable()
    client.disable()
    client.close()
    for (const refused of [client.fetch(server.url('/a')), client.json(server.url('/a'))])
      expect(await outcomeOf(refused)).toBe('closed')
    expect(() => client.subscribe(server.url('/stream'), () => {})).toThrow(expect.objectContaining({ code: 'closed' }))
    expect(client.stats().timers).toEqual([])
  })
})

describe('setIdentity()', () => {
  test('drops what was cached and what is in flight for the identity that is left', async () => {
    const server = await startMill()
    const client = makeClient({ identity: 'ann' })
    await client.json(server.url('/data'), {}, { ttl: 60_000 })
    const waits = [client.json(server.url('/held/1')), client.fetch(server.url('/held/2'))].map(outcomeOf)
    await until(() => server.held.length === 2)
    client.setIdentity('ben')
    expect(await within(500, Promise.all(waits), 'both to settle')).toEqual(['aborted', 'aborted'])
    await until(() => server.openStreams === 0)
    expect(client.stats().cache).toEqual({ entries: 0, bytes: 0 })
    expect(await client.json(server.url('/data'), {}, { ttl: 60_000 })).toEqual({ n: 4 })
  })

  test('drops what still waits for its headers', async () => {
    const server = await startMill()
    const pending: ((headers: HeadersInit) => void)[] = []
    const client = makeClient({ identity: 'ann', headers: () => new Promise((resolve) => pending.push(resolve)) })
    const wait = outcomeOf(client.json(server.url('/data')))
    await until(() => pending.length === 1)
    client.setIdentity('ben')
    for (let n = 0; n < 3; n += 1) {
      for (const resolve of pending.splice(0)) resolve({ authorization: 'of Ben' })
      await macrotask()
    }
    expect(await within(500, wait, 'the request of Ann')).toBe('aborted')
    expect(server.requests).toHaveLength(0)
  })

  test('drops what channels knew, and asks again', async () => {
    const server = await startMill()
    const client = makeClient({ identity: 'ann' })
    const states: unknown[] = []
    const channel = defineChannel({ key: 'data', snapshot: server.url('/data'), interval: 60_000 })
    client.subscribe(channel, { state: ({ data }) => states.push(data) })
    await until(() => states.at(-1) !== undefined)
    client.setIdentity('ben')
    expect(client.getState(channel).data).toBeUndefined()
    await until(() => states.at(-1) !== undefined)
    expect(states.at(-1)).toEqual({ n: 2 })
    const before = server.requests.length
    client.setIdentity('ben')
    for (let turn = 0; turn < 20; turn += 1) await macrotask()
    expect(server.requests).toHaveLength(before)
  })
})
