import fc from 'fast-check'
import { type Alert, type Client, type ClientOptions, createClient, defineChannel, type RequestRecord } from 'millrace'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { closeServers, type Handler, startServer, startStream } from '../support/http-server'
import { createTestClock, type TestClock } from '../support/test-clock'
import { until } from '../support/until'

const BASE = 'http://mill.test'
/** The background budget outside of test, per endpoint. */
const BURST = 5
const PER_MINUTE = 20
const PER_10_S = 100

const clients: Client[] = []

/** A client with the limits of production. */
function makeClient(options: ClientOptions = {}): { client: Client; alerts: Alert[]; requests: RequestRecord[] } {
  const client = createClient({ environment: 'production', baseUrl: BASE, ...options })
  const alerts: Alert[] = []
  const requests: RequestRecord[] = []
  client.on('alert', (alert) => alerts.push(alert))
  client.on('request', (request) => requests.push(request))
  clients.push(client)
  return { client, alerts, requests }
}

type Mood = 'well' | 'fails' | 'refuses' | 'breaks'

/** A server in memory, for policies about time: each answer differs from the one before. */
function createMill(clock: TestClock) {
  const seen: { url: URL; at: number }[] = []
  let mood: Mood = 'well'
  return {
    seen,
    set mood(next: Mood) {
      mood = next
    },
    async fetch(input: RequestInfo | URL): Promise<Response> {
      const url = new URL(String(input))
      seen.push({ url, at: clock.now() })
      if (mood === 'breaks') throw new TypeError('fetch failed')
      if (mood === 'fails') return new Response('no', { status: 500 })
      if (mood === 'refuses') return new Response('no', { status: 429 })
      if (!url.pathname.includes('stream')) return Response.json({ n: seen.length })
      return new Response(`id: ${seen.length}\ndata: ${seen.length}\n\n`, {
        headers: { 'content-type': 'text/event-stream' },
      })
    },
  }
}

/** The most that any window of that length holds of these moments. */
function mostWithin(ms: number, times: readonly number[]): number {
  const sorted = [...times].sort((a, b) => a - b)
  let most = 0
  let from = 0
  for (const [to, time] of sorted.entries()) {
    while (time - sorted[from]! >= ms) from += 1
    most = Math.max(most, to - from + 1)
  }
  return most
}

/** By how much the worst window of all is over a budget of `burst` and `perMinute`; never more than zero if it is kept. */
function worstExcess(times: readonly number[], burst = BURST, perMinute = PER_MINUTE): number {
  const sorted = [...times].sort((a, b) => a - b)
  let worst = -burst
  for (const [from, start] of sorted.entries())
    for (let to = from; to < sorted.length; to += 1)
      worst = Math.max(worst, to - from + 1 - burst - ((sorted[to]! - start) * perMinute) / 60_000)
  return worst
}

const timesOf = (requests: readonly RequestRecord[], kind: RequestRecord['kind'], endpoint?: string) =>
  requests.filter((one) => one.kind === kind && (!endpoint || one.endpoint === endpoint)).map((one) => one.startedAt)

/** A page in miniature: what Millrace listens to in a browser. */
function stubPage() {
  const document = Object.assign(new EventTarget(), { visibilityState: 'visible', baseURI: `${BASE}/` })
  const scope = new EventTarget()
  const navigator = { onLine: true }
  vi.stubGlobal('document', document)
  vi.stubGlobal('navigator', navigator)
  vi.stubGlobal('addEventListener', scope.addEventListener.bind(scope))
  vi.stubGlobal('removeEventListener', scope.removeEventListener.bind(scope))
  return {
    show(visibilityState: 'visible' | 'hidden') {
      document.visibilityState = visibilityState
      document.dispatchEvent(new Event('visibilitychange'))
    },
    connect(onLine: boolean) {
      navigator.onLine = onLine
      scope.dispatchEvent(new Event(onLine ? 'online' : 'offline'))
    },
    life(type: 'freeze' | 'resume') {
      document.dispatchEvent(new Event(type))
    },
  }
}

beforeEach(() => {
  // Outside production each alert is printed, once; here it is asserted.
  vi.spyOn(console, 'warn').mockImplementation(() => {})
})

afterEach(async () => {
  for (const client of clients.splice(0)) client.close()
  vi.unstubAllGlobals()
  vi.restoreAllMocks()
  await closeServers()
})

describe('any sequence of calls', () => {
  const command = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({ do: fc.constant('advance' as const), ms: fc.integer({ min: 1, max: 20_000 }) }),
    },
    {
      weight: 2,
      arbitrary: fc.record({ do: fc.constant('refresh' as const), times: fc.integer({ min: 1, max: 30 }) }),
    },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('fetch' as const), times: fc.integer({ min: 1, max: 60 }) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('abort' as const), nth: fc.nat(20) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('invalidate' as const) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('switch' as const) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('identity' as const), who: fc.constantFrom('a', 'b', null) }) },
    {
      weight: 2,
      arbitrary: fc.record({
        do: fc.constant('mood' as const),
        mood: fc.constantFrom<Mood>('well', 'fails', 'refuses', 'breaks'),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ do: fc.constant('remount' as const), times: fc.integer({ min: 1, max: 40 }) }),
    },
  )

  test('keeps the background and the foreground of an endpoint within their budgets, in every window', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(command, { minLength: 5, maxLength: 40 }), fc.nat(), async (commands, seed) => {
        const clock = createTestClock({ seed })
        const mill = createMill(clock)
        const { client, requests } = makeClient({ clock, fetch: mill.fetch })
        const polled = defineChannel({ key: 'polled', snapshot: '/data', interval: 8_000, grace: 0 })
        const other = defineChannel({ key: 'other', snapshot: '/data?other', interval: 10_000, grace: 0 })
        const subscriptions = [client.subscribe(polled, {}), client.subscribe(other, {})]
        const aborts: AbortController[] = []
        let query = 0
        for (const step of commands) {
          if (step.do === 'advance') await clock.advance(step.ms)
          if (step.do === 'refresh' && client.enabled)
            for (let n = 0; n < step.times; n += 1) void client.refresh(n % 2 ? polled : other).catch(() => {})
          if (step.do === 'fetch')
            for (let n = 0; n < step.times; n += 1) {
              query += 1
              const controller = new AbortController()
              aborts.push(controller)
              const wanted = client.fetch(`/data?${query}`, { signal: controller.signal }, { retry: 2 })
              wanted.then((response) => response.text()).catch(() => {})
            }
          if (step.do === 'abort') aborts.at(-step.nth)?.abort()
          if (step.do === 'invalidate') client.invalidate('polled')
          if (step.do === 'switch') client.enabled ? client.disable() : client.enable()
          if (step.do === 'identity') client.setIdentity(step.who)
          if (step.do === 'mood') mill.mood = step.mood
          if (step.do === 'remount')
            for (let n = 0; n < step.times; n += 1) {
              subscriptions.pop()?.unsubscribe()
              subscriptions.push(client.subscribe(other, {}))
            }
        }
        client.enable()
        await clock.advance(120_000)
        client.close()
        // The record of a request says when it was sent; what the server saw says that none was left out.
        expect(requests.length).toBe(mill.seen.length)
        expect(worstExcess(timesOf(requests, 'background'))).toBeLessThanOrEqual(0.001)
        expect(mostWithin(10_000, timesOf(requests, 'foreground'))).toBeLessThanOrEqual(PER_10_S)
      }),
      { seed: 7, numRuns: 20 },
    )
  })

  test('keeps the reconnects of streams within the budget, whatever the server and the page do', async () => {
    const event = fc.oneof(
      fc.record({ do: fc.constant('advance' as const), ms: fc.integer({ min: 1, max: 8_000 }) }),
      fc.record({ do: fc.constantFrom('hide', 'show', 'offline', 'online', 'freeze', 'resume') }),
      fc.record({ do: fc.constant('refresh' as const) }),
      fc.record({ do: fc.constant('switch' as const) }),
      fc.record({ do: fc.constant('mood' as const), mood: fc.constantFrom<Mood>('well', 'fails', 'breaks') }),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(event, { minLength: 20, maxLength: 120 }), fc.nat(), async (events, seed) => {
        const page = stubPage()
        const clock = createTestClock({ seed })
        const mill = createMill(clock)
        const { client } = makeClient({ clock, fetch: mill.fetch, backoff: { base: 1, cap: 10 } })
        const channel = defineChannel<unknown, never>({ key: 'stream', stream: '/stream' })
        client.subscribe(channel, {})
        for (const step of events) {
          if ('ms' in step) await clock.advance(step.ms)
          else if ('mood' in step) mill.mood = step.mood
          else if (step.do === 'hide' || step.do === 'show') page.show(step.do === 'hide' ? 'hidden' : 'visible')
          else if (step.do === 'offline' || step.do === 'online') page.connect(step.do === 'online')
          else if (step.do === 'freeze' || step.do === 'resume') page.life(step.do)
          else if (step.do === 'refresh') void client.refresh(channel).catch(() => {})
          else client.enabled ? client.disable() : client.enable()
          await clock.advance(1)
        }
        client.close()
        vi.unstubAllGlobals()
        // The first connect is the foreground's, and stands outside of the burst.
        expect(
          worstExcess(
            mill.seen.map(({ at }) => at),
            BURST + 1,
          ),
        ).toBeLessThanOrEqual(0.001)
      }),
      { seed: 11, numRuns: 20 },
    )
  })
})

describe('a handler that refreshes its own channel', () => {
  test('is held to the budget, and the alert names its label', async () => {
    const clock = createTestClock()
    const mill = createMill(clock)
    const { client, alerts, requests } = makeClient({ clock, fetch: mill.fetch })
    const channel = defineChannel({ key: 'users', snapshot: '/users', interval: 5_000 })
    let handled = 0
    const observer = {
      state() {
        handled += 1
        // As an effect does that a render schedules.
        clock.after(1, () => client.refresh(channel).catch(() => {}), 'effect')
      },
    }
    client.subscribe(channel, observer, { label: 'UserList' })
    await clock.advance(60_000)
    expect(handled).toBeGreaterThan(PER_MINUTE)
    // A user's writes come in handfuls: a minute's budget may be used at once, beside the first request and the polls.
    const asked = [...timesOf(requests, 'foreground'), ...timesOf(requests, 'background')].sort((a, b) => a - b)
    expect(worstExcess(asked, PER_MINUTE + BURST + 1)).toBeLessThanOrEqual(0.001)
    // Slowed down, not stopped: what the budget allows is used.
    expect(requests.length).toBeGreaterThanOrEqual(PER_MINUTE)
    expect(alerts).toContainEqual(
      expect.objectContaining({
        code: 'request-rate',
        endpoint: `GET ${BASE}/users`,
        subscriber: 'UserList',
        limit: PER_MINUTE,
        message: expect.stringContaining('"UserList"'),
      }),
    )
    expect(alerts.filter(({ code }) => code === 'request-rate')).toHaveLength(1)
  })

  test('goes over that budget many times without Millrace', async () => {
    const clock = createTestClock()
    const mill = createMill(clock)
    const load = async (): Promise<void> => {
      await (await mill.fetch(`${BASE}/users`)).json()
      // The handler of the answer asks again.
      clock.after(1, load, 'naive')
    }
    await load()
    await clock.advance(1_000)
    expect(worstExcess(mill.seen.map(({ at }) => at))).toBeGreaterThan(500)
  })

  test('of a stream is held to it too, when each event asks for the snapshot', async () => {
    const server = await startServer((request, response) => {
      if (request.url === '/snapshot') return response.setHeader('content-type', 'application/json').end('{"n":1}')
      const stream = startStream(response)
      const timer = setInterval(() => stream.write('data: {"n":1}\n\n'), 1)
      response.once('close', () => clearInterval(timer))
    })
    const { client, alerts } = makeClient({ baseUrl: server.origin })
    const channel = defineChannel<{ n: number }, { type: string; data: { n: number }; receivedAt: number }>({
      key: 'loop',
      stream: '/stream',
      snapshot: '/snapshot',
    })
    let events = 0
    client.subscribe(channel, { next: () => void (++events && client.refresh(channel)) }, { label: 'Board' })
    await until(() => events > 200 && alerts.length > 0, 'two hundred events')
    const snapshots = server.requests.filter(({ url }) => url === '/snapshot')
    // The first one is foreground; the loop has what a minute allows, and no minute has passed.
    expect(snapshots.length).toBeGreaterThan(1)
    expect(snapshots.length).toBeLessThanOrEqual(1 + PER_MINUTE + 1)
    expect(alerts.map(({ code, subscriber }) => [code, subscriber])).toEqual([['request-rate', 'Board']])
  })
})

describe('a loop of fetches', () => {
  test('reaches the server at most 100 times; the rest is refused, and the alert names the label', async () => {
    const server = await startServer((_, response) => response.end('ok'))
    const { client, alerts } = makeClient({ limits: { queue: Infinity } })
    const loop = Array.from({ length: 400 }, (_, n) =>
      client.fetch(server.url(`/search?q=${n}`), {}, { label: 'SearchBox' }).then(
        (response) => response.text(),
        (error) => error.code,
      ),
    )
    const outcomes = await Promise.all(loop)
    expect(server.requests).toHaveLength(PER_10_S)
    expect(outcomes.filter((outcome) => outcome === 'ok')).toHaveLength(PER_10_S)
    expect(outcomes.filter((outcome) => outcome === 'runaway')).toHaveLength(300)
    expect(alerts).toEqual([
      expect.objectContaining({
        code: 'runaway',
        endpoint: `GET ${server.origin}/search`,
        subscriber: 'SearchBox',
        limit: PER_10_S,
        message: expect.stringContaining('"SearchBox"'),
      }),
    ])
    expect(client.stats().requests).toMatchObject({ asked: 400, sent: 100, refused: 300 })
    expect(client.health().status).toBe('unhealthy')
    expect(alerts[0]!.message).not.toContain('q=')
  })

  test('reaches it every time without Millrace', async () => {
    const server = await startServer((_, response) => response.end('ok'))
    await Promise.all(Array.from({ length: 200 }, (_, n) => fetch(server.url(`/search?q=${n}`)).then((r) => r.text())))
    expect(server.requests).toHaveLength(200)
  })

  test('names who asked most, not who happened to come last', async () => {
    const clock = createTestClock()
    const { client, alerts } = makeClient({ clock, fetch: createMill(clock).fetch, limits: { concurrency: Infinity } })
    for (let n = 0; n < 90; n += 1) void client.fetch(`/a?${n}`, {}, { label: 'Loop' }).catch(() => {})
    for (let n = 0; n < 20; n += 1) void client.fetch(`/a?x${n}`, {}, { label: 'Innocent' }).catch(() => {})
    await clock.advance(0)
    expect(alerts).toEqual([expect.objectContaining({ code: 'runaway', subscriber: 'Loop' })])
  })

  test('is let through again by itself after 10 s, and refused until then', async () => {
    const clock = createTestClock()
    const mill = createMill(clock)
    const { client } = makeClient({ clock, fetch: mill.fetch })
    const ask = async (query: number): Promise<string> =>
      client.fetch(`/a?${query}`).then(
        () => 'answered',
        (error) => error.code,
      )
    for (let n = 0; n < PER_10_S; n += 1) expect(await ask(n)).toBe('answered')
    expect(await ask(101)).toBe('runaway')
    await clock.advance(9_999)
    expect(await ask(102)).toBe('runaway')
    await clock.advance(1)
    expect(await ask(103)).toBe('answered')
    expect(mill.seen).toHaveLength(PER_10_S + 1)
    expect(client.health().status).toBe('healthy')
  })

  test('tells a caller when it may ask again', async () => {
    const clock = createTestClock()
    const { client } = makeClient({ clock, fetch: createMill(clock).fetch, limits: { fetchesPer10s: 1 } })
    await client.fetch('/a?1')
    await expect(client.fetch('/a?2')).rejects.toMatchObject({
      code: 'runaway',
      retryable: true,
      retryAfter: 10_000,
      endpoint: `GET ${BASE}/a`,
    })
  })

  test('still gets what is cached, fresh or stale, while the gate is closed', async () => {
    const clock = createTestClock()
    const mill = createMill(clock)
    const { client } = makeClient({ clock, fetch: mill.fetch, limits: { fetchesPer10s: 3 } })
    const first = await client.json('/a', {}, { ttl: 1_000 })
    await client.fetch('/a', {}, { ttl: 1_000 })
    await client.fetch('/a?2')
    await expect(client.fetch('/a?3')).rejects.toMatchObject({ code: 'runaway' })
    expect(await client.json('/a', {}, { ttl: 1_000 })).toBe(first)
    await clock.advance(5_000)
    expect(await client.json('/a', {}, { ttl: 1_000 })).toBe(first)
    expect((await client.fetch('/a', {}, { ttl: 1_000 })).ok).toBe(true)
    expect(mill.seen).toHaveLength(3)
  })

  test('of one endpoint does not close another one', async () => {
    const clock = createTestClock()
    const { client } = makeClient({ clock, fetch: createMill(clock).fetch, limits: { fetchesPer10s: 1 } })
    await client.fetch('/a?1')
    await expect(client.fetch('/a?2')).rejects.toMatchObject({ code: 'runaway' })
    expect((await client.fetch('/b')).ok).toBe(true)
    expect((await client.fetch('/a', { method: 'POST', body: 'x' })).ok).toBe(true)
  })
})

describe('a loop of subscribes', () => {
  test.each(['stream', 'snapshot'] as const)('to a %s reaches the server at most 100 times in 10 s', async (kind) => {
    const clock = createTestClock()
    const mill = createMill(clock)
    const { client, alerts } = makeClient({ clock, fetch: mill.fetch })
    const channel = defineChannel<unknown, never>(
      kind === 'stream'
        ? { key: 'loop', stream: '/stream', grace: 0 }
        : ({ key: 'loop', snapshot: '/data', grace: 0 } as never),
    )
    for (let n = 0; n < 400; n += 1) {
      const { unsubscribe } = client.subscribe(channel, {}, { label: 'Flicker' })
      await clock.advance(20)
      unsubscribe()
      await clock.advance(5)
    }
    expect(mill.seen.length).toBeGreaterThan(50)
    const times = mill.seen.map(({ at }) => at)
    expect(mostWithin(10_000, times)).toBeLessThanOrEqual(PER_10_S)
    expect(alerts).toContainEqual(expect.objectContaining({ code: 'runaway', subscriber: 'Flicker' }))
  })

  test('with a remount within the grace costs one request', async () => {
    const clock = createTestClock()
    const mill = createMill(clock)
    const { client } = makeClient({ clock, fetch: mill.fetch })
    const channel = defineChannel({ key: 'users', snapshot: '/users', interval: 60_000 })
    for (let n = 0; n < 1_000; n += 1) {
      // A render with everything new: the channel, the observer, the options.
      const again = defineChannel({ key: 'users', snapshot: '/users', interval: 60_000, fromSnapshot: (body) => body })
      const { unsubscribe } = client.subscribe(again, { state() {} }, { label: `render ${n}` })
      await clock.advance(1)
      unsubscribe()
    }
    client.subscribe(channel, {})
    await clock.advance(1_000)
    expect(mill.seen).toHaveLength(1)
  })
})

describe('a server that answers 500', () => {
  test('is asked a dozen times at most by 1,000 callers, and hears nothing while the breaker is open', async () => {
    const server = await startServer((_, response) => response.writeHead(500).end())
    const { client, alerts } = makeClient({ baseUrl: server.origin, limits: { fetchesPer10s: Infinity } })
    const outcomes = await Promise.all(
      Array.from({ length: 1_000 }, (_, n) =>
        client.fetch(`/down?${n}`).then(
          ({ status }) => status,
          (error) => error.code,
        ),
      ),
    )
    expect(server.requests.length).toBeLessThanOrEqual(12)
    expect(server.requests.length).toBeGreaterThanOrEqual(5)
    expect(outcomes.filter((outcome) => outcome === 500)).toHaveLength(server.requests.length)
    const before = server.requests.length
    await expect(client.fetch('/down')).rejects.toMatchObject({ code: 'breaker-open' })
    expect(server.requests).toHaveLength(before)
    expect(alerts.filter(({ code }) => code === 'breaker-open')).toHaveLength(1)
  })

  test('is asked by each caller without Millrace', async () => {
    const server = await startServer((_, response) => response.writeHead(500).end())
    await Promise.all(Array.from({ length: 200 }, (_, n) => fetch(server.url(`/down?${n}`)).then((r) => r.text())))
    expect(server.requests).toHaveLength(200)
  })

  test('has its old answers served while the breaker is open', async () => {
    let isDown = false
    const server = await startServer((_, response) => {
      if (isDown) response.writeHead(500).end()
      else response.setHeader('content-type', 'application/json').end('{"users":3}')
    })
    const { client } = makeClient({ baseUrl: server.origin, cache: { ttl: 1 } })
    const first = await client.json('/users')
    isDown = true
    for (let n = 0; n < 8; n += 1) await client.fetch(`/users?${n}`).catch(() => {})
    expect(client.stats().endpoints[0]).toMatchObject({ breaker: 'open' })
    const before = server.requests.length
    expect(await client.json('/users')).toBe(first)
    expect(server.requests).toHaveLength(before)
  })

  test('is not polled faster than the interval asks, and slower and slower', async () => {
    const clock = createTestClock()
    const mill = createMill(clock)
    mill.mood = 'fails'
    const { client } = makeClient({ clock, fetch: mill.fetch })
    client.subscribe(defineChannel({ key: 'users', snapshot: '/users', interval: 1_000 }), {})
    await clock.advance(60_000)
    expect(mill.seen.length).toBeGreaterThan(1)
    expect(mill.seen.length).toBeLessThanOrEqual(10)
  })
})

describe('polls', () => {
  test('of two subscribers with intervals of their own are one poll, at the smaller one', async () => {
    const clock = createTestClock()
    const mill = createMill(clock)
    const { client, alerts } = makeClient({ clock, fetch: mill.fetch })
    const channel = defineChannel({ key: 'users', snapshot: '/users' })
    client.subscribe(channel, {}, { interval: 5_000 })
    await clock.advance(1_300)
    client.subscribe(channel, {}, { interval: 10_000 })
    await clock.advance(60_000)
    expect(mill.seen.length).toBeGreaterThanOrEqual(12)
    expect(mill.seen.length).toBeLessThanOrEqual(14)
    expect(alerts).toEqual([])
  })

  test('never come faster than once a second, whatever is asked for', async () => {
    const clock = createTestClock()
    const mill = createMill(clock)
    const { client, alerts } = makeClient({ clock, fetch: mill.fetch })
    client.subscribe(defineChannel({ key: 'users', snapshot: '/users', interval: 10 }), {}, { interval: 1 })
    await clock.advance(30_000)
    expect(
      mostWithin(
        900,
        mill.seen.map(({ at }) => at),
      ),
    ).toBe(1)
    expect(mill.seen.length).toBeGreaterThanOrEqual(25)
    // Told once, whoever comes and goes.
    expect(alerts).toMatchObject([{ code: 'config', value: 10, limit: 1_000 }])
  })

  test('are given the budget that their own interval needs, also where a function tells the URL', async () => {
    const clock = createTestClock()
    const mill = createMill(clock)
    const { client, alerts } = makeClient({ clock, fetch: mill.fetch })
    client.subscribe(defineChannel({ key: 'users', snapshot: () => '/users', interval: 1_000 }), {})
    await clock.advance(60_000)
    expect(mill.seen.length).toBeGreaterThanOrEqual(50)
    expect(alerts).toEqual([])
  })

  test('do not come faster because the page is hidden and shown, or goes on and off line, all the time', async () => {
    const page = stubPage()
    const clock = createTestClock()
    const mill = createMill(clock)
    const { client } = makeClient({ clock, fetch: mill.fetch })
    client.subscribe(defineChannel({ key: 'users', snapshot: '/users', interval: 5_000 }), {})
    await clock.advance(10)
    for (let n = 0; n < 300; n += 1) {
      page.show('hidden')
      await clock.advance(50)
      page.show('visible')
      await clock.advance(50)
      page.connect(false)
      await clock.advance(50)
      page.connect(true)
      await clock.advance(50)
    }
    expect(mill.seen.length).toBeGreaterThan(5)
    expect(mill.seen.length).toBeLessThanOrEqual(14)
  })
})

describe('a stream', () => {
  const endsAtOnce: Handler = (_, response) => startStream(response).end('data: 1\n\n')

  test('that is accepted and ended at once is not reconnected in a loop', async () => {
    const server = await startServer(endsAtOnce)
    const { client } = makeClient({ backoff: { base: 1, cap: 1, jitter: 'none', resetAfter: 0 } })
    const subscription = client.subscribe(server.url('/stream'), () => {}, { label: 'Ticker' })
    await until(() => server.requests.length > BURST, 'the burst to be used up')
    await until(
      () => client.stats().timers.some(({ label }) => label.startsWith('budget')),
      'the budget to hold it back',
    )
    // The first connect, the burst, and what the budget gives in the moment that this took.
    expect(server.requests.length).toBeLessThanOrEqual(1 + BURST + 1)
    expect(subscription.state.status).toBe('reconnecting')
    expect(subscription.state.retryAt).toBeTypeOf('number')
  })

  test('that is replaced at each thaw is replaced within the budget', async () => {
    const page = stubPage()
    const clock = createTestClock()
    const mill = createMill(clock)
    const { client, alerts } = makeClient({ clock, fetch: mill.fetch })
    client.subscribe(`${BASE}/stream`, () => {}, { label: 'Ticker' })
    for (let n = 0; n < 300; n += 1) {
      page.life('freeze')
      await clock.advance(30)
      page.life('resume')
      await clock.advance(70)
    }
    expect(mill.seen.length).toBeGreaterThan(1)
    expect(
      worstExcess(
        mill.seen.map(({ at }) => at),
        BURST + 1,
      ),
    ).toBeLessThanOrEqual(0.001)
    expect(alerts).toContainEqual(expect.objectContaining({ code: 'request-rate', subscriber: 'Ticker' }))
  })
})

describe('retries', () => {
  test('of hundreds of callers stay within the background budget', async () => {
    const clock = createTestClock()
    const mill = createMill(clock)
    mill.mood = 'refuses'
    const { client, requests } = makeClient({ clock, fetch: mill.fetch, backoff: { base: 1, cap: 1 } })
    for (let n = 0; n < 400; n += 1) void client.fetch(`/a?${n}`, {}, { retry: 5, timeout: Infinity }).catch(() => {})
    await clock.advance(60_000)
    expect(timesOf(requests, 'background').length).toBeGreaterThanOrEqual(PER_MINUTE)
    expect(worstExcess(timesOf(requests, 'background'))).toBeLessThanOrEqual(0.001)
    expect(mostWithin(10_000, timesOf(requests, 'foreground'))).toBeLessThanOrEqual(PER_10_S)
  })
})
