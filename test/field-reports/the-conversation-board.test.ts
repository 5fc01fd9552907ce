import type { ServerResponse } from 'node:http'
import {
  type Alert,
  type ChannelState,
  type Client,
  type ClientOptions,
  configure,
  createClient,
  defineChannel,
  getClient,
  type StreamEvent,
} from 'millrace'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { settledHeap } from '../support/heap'
import { closeServers, startServer, startStream, type TestServer } from '../support/http-server'
import { createTestClock, type TestClock } from '../support/test-clock'
import { until, within } from '../support/until'

const cleanups: (() => void)[] = []

function makeClient(options: ClientOptions = {}): { client: Client; alerts: Alert[] } {
  const client = createClient({ environment: 'test', ...options })
  const alerts: Alert[] = []
  client.on('alert', (alert) => alerts.push(alert))
  cleanups.push(client.close)
  return { client, alerts }
}

/** `/api/sessions` and all else: a list that says how often it was asked for, unless `body` says something. */
async function startBoard(body?: () => unknown): Promise<TestServer> {
  const server = await startServer((_, response) => {
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify(body ? body() : { asked: server.requests.length }))
  })
  return server
}

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** `setInterval` that also fires at once, as hooks do, and stops with the test. */
function every(ms: number, run: () => unknown): () => void {
  const timer = setInterval(run, ms)
  const stop = () => clearInterval(timer)
  cleanups.push(stop)
  run()
  return stop
}

beforeEach(() => {
  vi.spyOn(console, 'warn').mockImplementation(() => {})
})

afterEach(async () => {
  for (const clean of cleanups.splice(0)) clean()
  vi.restoreAllMocks()
  await closeServers()
})

describe('1: two hooks on one endpoint, each with a timer', () => {
  const INTERVAL = 5_000

  /** A minute in steps of half an interval; before each next one, every answer has come. */
  async function passMinute(clock: TestClock, inFlight: () => number): Promise<void> {
    for (let ms = 0; ms < 60_000; ms += INTERVAL / 2) {
      await until(() => inFlight() === 0)
      await clock.advance(INTERVAL / 2)
    }
    await until(() => inFlight() === 0)
  }

  test('ask twice per interval, out of step, however well requests are deduplicated', async () => {
    const clock = createTestClock()
    const server = await startBoard()
    const inFlight = new Map<string, Promise<unknown>>()
    const deduplicated = (url: string): void => {
      if (inFlight.has(url)) return
      const asked = fetch(url).then((response) => response.json())
      inFlight.set(
        url,
        asked.finally(() => inFlight.delete(url)),
      )
    }
    const hook = (): void => {
      deduplicated(server.url('/api/sessions'))
      clock.after(INTERVAL, hook, 'hook')
    }
    hook()
    clock.after(INTERVAL / 2, hook, 'another hook')
    await passMinute(clock, () => inFlight.size)
    // 12 intervals, 2 hooks, and the first request.
    expect(server.requests).toHaveLength(25)
  })

  test('are one request per interval on Millrace, with any number of hooks', async () => {
    const clock = createTestClock()
    const server = await startBoard()
    const { client, alerts } = makeClient({ environment: 'production', clock })
    const hook = () =>
      client.subscribe(defineChannel({ key: 'sessions', snapshot: server.url('/api/sessions'), interval: INTERVAL }), {
        state() {},
      })
    hook()
    clock.after(
      INTERVAL / 2,
      () => {
        for (let n = 0; n < 10; n += 1) hook()
      },
      'other hooks',
    )
    await passMinute(clock, () => client.stats().endpoints[0]?.inFlight ?? 0)
    expect(server.requests.length).toBeGreaterThanOrEqual(11)
    expect(server.requests.length).toBeLessThanOrEqual(13)
    expect(client.stats().requests.saved).toBeGreaterThan(0.8)
    expect(alerts).toEqual([])
  })
})

describe('3: a breaker with a threshold of 15 ms of processing', () => {
  /** What was deployed: it times the handler, and never looks at how often it runs. */
  function createTimingBreaker(threshold: number, now: () => number) {
    let slow = 0
    return {
      run(work: () => void): boolean {
        if (slow >= 3) return false
        const begun = now()
        work()
        if (now() - begun > threshold) slow += 1
        return true
      },
    }
  }

  test('never opens while requests run away', async () => {
    const server = await startBoard()
    // What a handler takes on a machine that has nothing else to do.
    let time = 0
    const breaker = createTimingBreaker(15, () => time)
    const handle = () => {
      time += 1
    }
    let refused = 0
    const loop = async (): Promise<void> => {
      const response = await fetch(server.url('/api/sessions'))
      await response.json()
      if (!breaker.run(handle)) refused += 1
      else if (server.requests.length < 120) await loop()
    }
    await loop()
    expect(server.requests.length).toBe(120)
    expect(refused).toBe(0)
  })

  test('is the runaway guard on Millrace: it counts requests, names the loop, and opens again by itself', async () => {
    const server = await startBoard()
    const { client, alerts } = makeClient({ limits: { fetchesPer10s: 20 } })
    let error: unknown
    for (let n = 0; n < 300 && !error; n += 1)
      await client.fetch(server.url('/api/sessions'), {}, { label: 'useSessions' }).catch((reason) => {
        error = reason
      })
    expect(server.requests).toHaveLength(20)
    expect(error).toMatchObject({ code: 'runaway', retryAfter: expect.any(Number) })
    expect(alerts).toMatchObject([{ code: 'runaway', subscriber: 'useSessions' }])
  })

  test('tells of an event loop that lags', async () => {
    const { client, alerts } = makeClient({ thresholds: { lag: 30 } })
    const channel = defineChannel({ key: 'busy', snapshot: (await startBoard()).url('/busy'), interval: 200 })
    client.subscribe(channel, {})
    const block = () => {
      const until = performance.now() + 120
      while (performance.now() < until);
    }
    every(10, block)
    await until(() => alerts.some(({ code }) => code === 'pressure'), { within: 20_000 })
    expect(alerts.find(({ code }) => code === 'pressure')).toMatchObject({ limit: 30 })
  })
})

describe('5: handling an event causes a fetch that causes an event', () => {
  /** Every read of the list is announced to everybody, since it touches `lastSeenAt`. */
  async function startEcho() {
    const streams = new Set<ServerResponse>()
    const server = await startServer(({ url }, response) => {
      if (url === '/events') {
        streams.add(startStream(response))
        response.write(': hello\n\n')
        return
      }
      response.setHeader('content-type', 'application/json').end('{"users":1}')
      for (const stream of streams) stream.write('data: {"changed":true}\n\n')
    })
    return { server, reads: () => server.requests.filter(({ url }) => url === '/users').length }
  }

  test('is a loop without end', async () => {
    const { server, reads } = await startEcho()
    const controller = new AbortController()
    cleanups.push(() => controller.abort())
    const response = await fetch(server.url('/events'), { signal: controller.signal })
    const handle = async (): Promise<void> => {
      const decoder = new TextDecoder()
      for await (const chunk of response.body!)
        if (decoder.decode(chunk).includes('data:')) fetch(server.url('/users')).catch(() => {})
    }
    handle().catch(() => {})
    await fetch(server.url('/users'))
    await until(() => reads() > 100, 'a hundred reads')
  })

  test('ends at the background budget on Millrace, with an alert that names the label', async () => {
    const { server, reads } = await startEcho()
    const { client, alerts } = makeClient({ environment: 'production' })
    const channel = defineChannel<unknown, StreamEvent>({
      key: 'users',
      stream: server.url('/events'),
      snapshot: server.url('/users'),
    })
    let events = 0
    const next = (): void => {
      events += 1
      void client.refresh(channel).catch(() => {})
    }
    client.subscribe(channel, { next }, { label: 'ActiveUsers' })
    await until(() => alerts.some(({ code }) => code === 'request-rate'), { within: 20_000 })
    await wait(200)
    // What a minute allows, and the first one.
    expect(reads()).toBeLessThanOrEqual(22)
    expect(events).toBeGreaterThanOrEqual(5)
    expect(alerts).toMatchObject([{ code: 'request-rate', subscriber: 'ActiveUsers' }])
  })
})

describe('6: state without cleanup', () => {
  const body = { text: 'x'.repeat(20_000) }

  test('grows with each view that was ever open', async () => {
    const cache = new Map<string, unknown>()
    const before = await settledHeap()
    for (let n = 0; n < 300; n += 1) cache.set(`/api/sessions/${n}`, JSON.parse(JSON.stringify({ ...body, n })))
    expect((await settledHeap()) - before).toBeGreaterThan(4_000_000)
    expect(cache.size).toBe(300)
  })

  test('is forgotten on Millrace: by number, by bytes and by time', async () => {
    const clock = createTestClock()
    const fetch = async (): Promise<Response> => Response.json(body)
    const { client } = makeClient({ clock, fetch, cache: { entries: 10 }, limits: { fetchesPer10s: Infinity } })
    const view = async (n: number): Promise<void> => {
      const url = `http://mill.test/api/sessions/${n}`
      const { unsubscribe } = client.subscribe(defineChannel({ key: ['session', n], snapshot: url, keep: 1_000 }), {})
      await clock.advance(10)
      expect(client.getState(defineChannel({ key: ['session', n], snapshot: url })).data).toEqual(body)
      unsubscribe()
      await clock.advance(1_000)
    }
    for (let n = 0; n < 60; n += 1) await view(n)
    expect(client.stats()).toMatchObject({ channels: [], subscriptions: { active: 0, total: 60 } })
    expect(client.stats().timers.map(({ label }) => label)).toEqual(['keep'])
    expect(client.stats().cache.entries).toBeLessThanOrEqual(10)
    expect(client.stats().subscriptions.averageLifetime).toBe(10)
  })
})

describe('7: one switch for everything', () => {
  const place = Symbol.for('millrace')

  test('turns deduplication off together with the optimized path', async () => {
    const server = await startBoard()
    const inFlight = new Map<string, Promise<Response>>()
    const optimized = false
    const get = (url: string): Promise<Response> => {
      if (!optimized) return fetch(url)
      const known = inFlight.get(url) ?? fetch(url)
      inFlight.set(url, known)
      return known
    }
    await Promise.all([1, 2, 3].map(() => get(server.url('/a'))))
    expect(server.requests).toHaveLength(3)
  })

  test('is several on Millrace: without streaming, the guard, the breaker and the sharing go on', async () => {
    const held: ServerResponse[] = []
    const server = await startServer(({ url }, response) => {
      if (url === '/stream') startStream(response).write('data: {"n":1}\n\n')
      else if (url === '/held') held.push(response)
      else if (url.startsWith('/down')) response.writeHead(500).end()
      else response.setHeader('content-type', 'application/json').end('{"n":0}')
    })
    delete (globalThis as Record<symbol, unknown>)[place]
    cleanups.push(() => {
      getClient().close()
      delete (globalThis as Record<symbol, unknown>)[place]
    })
    const client = configure({ environment: 'test', flags: { tabs: false } })
    const channel = defineChannel<{ n: number }, StreamEvent>({
      key: 'seven',
      stream: server.url('/stream'),
      snapshot: server.url('/snapshot'),
      interval: 200,
    })
    const subscription = client.subscribe(channel, {})
    await until(() => subscription.state.status === 'live')

    configure({ flags: { streaming: false } })
    await until(() => subscription.state.status === 'polling' && server.openStreams === 0)
    const shared = Promise.all([1, 2, 3].map(() => client.fetch(server.url('/held'))))
    await until(() => held.length === 1)
    held[0]!.end('ok')
    await shared
    for (let n = 0; n < 6; n += 1) await client.fetch(server.url(`/down?${n}`)).catch(() => {})
    expect(client.stats().endpoints.find(({ endpoint }) => endpoint.endsWith('/down'))).toMatchObject({
      breaker: 'open',
    })

    configure({ flags: { breaker: false } })
    expect((await client.fetch(server.url('/down?again'))).status).toBe(500)

    configure({ flags: { streaming: true } })
    await until(() => subscription.state.status === 'live')
    const polls = server.requests.filter(({ url }) => url === '/snapshot').length
    await wait(450)
    expect(server.requests.filter(({ url }) => url === '/snapshot').length - polls).toBeLessThanOrEqual(1)
  })

  test('can be a rollout by percent, stable for each id', async () => {
    const server = await startServer(({ url }, response) => {
      if (url === '/stream') startStream(response).write(': hello\n\n')
      else response.setHeader('content-type', 'application/json').end('{}')
    })
    const channel = defineChannel<unknown, StreamEvent>({
      key: 'rollout',
      stream: server.url('/stream'),
      snapshot: server.url('/snapshot'),
    })
    const streams = async (id: string, percent: number, only?: string[]): Promise<boolean> => {
      const { client } = makeClient({ rollout: { percent, id, ...(only && { only }) } })
      const subscription = client.subscribe(channel, {})
      const { status } = await until(() => subscription.state, {
        accept: (state) => state.status === 'live' || state.status === 'polling',
      })
      client.close()
      return status === 'live'
    }
    expect(await streams('ann', 0)).toBe(false)
    expect(await streams('ann', 100)).toBe(true)
    expect(await streams('ann', 100, ['ben'])).toBe(false)
    expect(await streams('ben', 0, ['ben'])).toBe(true)
    const ids = Array.from({ length: 20 }, (_, n) => `user ${n}`)
    const half = await Promise.all(ids.map((id) => streams(id, 50)))
    expect(await Promise.all(ids.map((id) => streams(id, 50)))).toEqual(half)
    expect(half.filter(Boolean).length).toBeGreaterThan(3)
    expect(half.filter(Boolean).length).toBeLessThan(17)
  })
})

describe('8: a breaker that counts its own refusals', () => {
  /** What was deployed: whatever rejects is a failure, the breaker's own refusal too, and each one prolongs it. */
  function createSelfishBreaker(cooldown: number, now: () => number) {
    let failures = 0
    let openUntil = 0
    return async (run: () => Promise<Response>): Promise<Response> => {
      try {
        if (now() < openUntil) throw new Error('open')
        const response = await run()
        if (!response.ok) throw new Error('failed')
        failures = 0
        return response
      } catch (error) {
        failures += 1
        if (failures >= 5) openUntil = now() + cooldown
        throw error
      }
    }
  }

  test('keeps itself open long after the server is well', async () => {
    let isDown = true
    const server = await startServer((_, response) => response.writeHead(isDown ? 500 : 200).end())
    let time = 0
    const breaker = createSelfishBreaker(100, () => time)
    const ask = () =>
      breaker(() => fetch(server.url('/a'))).then(
        () => 'well',
        () => 'failed',
      )
    for (let n = 0; n < 5; n += 1) await ask()
    isDown = false
    const outcomes: string[] = []
    for (; time < 500; time += 20) outcomes.push(await ask())
    expect(new Set(outcomes)).toEqual(new Set(['failed']))
    expect(server.requests).toHaveLength(5)
  })

  test('is open for its cooldown on Millrace, however often it refuses', async () => {
    let isDown = true
    const server = await startServer((_, response) => response.writeHead(isDown ? 500 : 200).end())
    const { client } = makeClient({ breaker: { cooldown: 100 } })
    for (let n = 0; n < 5; n += 1) await client.fetch(server.url(`/a?${n}`))
    isDown = false
    const begun = performance.now()
    const status = await until(() =>
      client.fetch(server.url('/a')).then(
        (response) => response.status,
        () => undefined,
      ),
    )
    expect(status).toBe(200)
    expect(performance.now() - begun).toBeGreaterThan(60)
    expect(client.stats().requests.refused).toBeGreaterThan(2)
    expect(client.stats().endpoints[0]).toMatchObject({ breaker: 'closed' })
  })

  test('does not count a wait in its own queue as the server`s failure', async () => {
    const held: ServerResponse[] = []
    const server = await startServer((_, response) => void held.push(response))
    const { client } = makeClient({ limits: { concurrency: 1 } })
    const asked = Array.from({ length: 8 }, (_, n) => client.fetch(server.url(`/a?${n}`), {}, { timeout: 300 }))
    const outcomes = Promise.allSettled(asked)
    // Each is answered well within its timeout, but the last ones wait for longer than that before their turn.
    let hasEnded = false
    void outcomes.then(() => {
      hasEnded = true
    })
    for (let n = 0; !hasEnded; n += 1) {
      await until(() => hasEnded || held.length > n)
      await wait(60)
      held[n]?.end('ok')
    }
    const late = (await outcomes).filter(({ status }) => status === 'rejected') as PromiseRejectedResult[]
    expect(late.length).toBeGreaterThan(2)
    for (const { reason } of late) expect(reason).toMatchObject({ code: 'timeout', retryable: true })
    expect(late.at(-1)!.reason.message).toMatch(/within 300 ms.* it waited for its turn/)
    expect(client.stats().requests.failed).toBe(0)
    expect(client.stats().endpoints[0]).toMatchObject({ breaker: 'closed', errorRate: 0 })
  })
})

describe('9: a registry that refuses the second hook', () => {
  test('leaves its list empty', async () => {
    const server = await startBoard(() => ['ann'])
    const registered = new Set<string>()
    const lists: string[][] = [[], []]
    const hook = async (index: number): Promise<void> => {
      const url = server.url('/api/users')
      if (registered.has(url)) return
      registered.add(url)
      lists[index] = await (await fetch(url)).json()
    }
    await Promise.all([hook(0), hook(1)])
    expect(lists).toEqual([['ann'], []])
  })

  test('shares on Millrace, and refuses only who asks for that, counted', async () => {
    const server = await startBoard(() => ['ann'])
    const { client, alerts } = makeClient()
    const channel = defineChannel<string[]>({ key: 'users', snapshot: server.url('/api/users'), interval: 60_000 })
    const lists: (string[] | undefined)[] = [undefined, undefined]
    for (const index of [0, 1]) {
      const state = ({ data }: ChannelState<string[]>): void => {
        lists[index] = data
      }
      client.subscribe(channel, { state })
    }
    await until(() => lists[0] && lists[1])
    expect(lists).toEqual([['ann'], ['ann']])
    // A third one, late, has it at once.
    expect(client.subscribe(channel, {}).state.data).toEqual(['ann'])
    expect(server.requests).toHaveLength(1)

    const refused = () => client.subscribe(channel, {}, { exclusive: true, label: 'Writer' })
    expect(refused).toThrow(expect.objectContaining({ code: 'rejected' }))
    expect(client.stats().subscriptions).toMatchObject({ active: 3, rejected: 1 })
    expect(alerts).toMatchObject([{ code: 'rejected', subscriber: 'Writer' }])
  })
})

describe('10: equal data in new objects', () => {
  let n = 0
  const users = () => ({
    users: [
      { id: 1, name: 'Ann' },
      { id: 2, name: 'Ben' },
    ],
    tick: Math.floor(n++ / 3),
  })

  test('renders at every poll', async () => {
    n = 0
    const server = await startBoard(() => ({ users: users().users }))
    const renders = new Set<unknown>()
    for (let poll = 0; poll < 5; poll += 1) renders.add(await (await fetch(server.url('/api/users'))).json())
    expect(renders.size).toBe(5)
  })

  test('keeps its reference on Millrace, and what has changed keeps the rest', async () => {
    n = 0
    const server = await startBoard(users)
    const { client } = makeClient()
    const states: ChannelState<{ users: { id: number }[]; tick: number }>[] = []
    const channel = defineChannel<{ users: { id: number }[]; tick: number }>({
      key: 'users',
      snapshot: server.url('/api/users'),
      interval: 200,
    })
    client.subscribe(channel, { state: (state) => void states.push(state) })
    await until(() => server.requests.length >= 6)
    const data = states.map((state) => state.data).filter((value) => value !== undefined)
    // Six polls, two different answers.
    expect(new Set(data).size).toBeLessThanOrEqual(3)
    expect(new Set(data.map((value) => value.tick)).size).toBe(new Set(data).size)
    expect(new Set(data.map((value) => value.users)).size).toBe(1)
  })
})

describe('11: limits that throw at once', () => {
  test('break the features of who asks a little more than usual', async () => {
    const server = await startBoard()
    let inFlight = 0
    const limited = async (url: string): Promise<unknown> => {
      if (inFlight >= 6) throw new Error('too many concurrent requests')
      inFlight += 1
      try {
        return await (await fetch(url)).json()
      } finally {
        inFlight -= 1
      }
    }
    const outcomes = await Promise.allSettled(Array.from({ length: 30 }, (_, n) => limited(server.url(`/a?${n}`))))
    expect(outcomes.filter(({ status }) => status === 'rejected')).toHaveLength(24)
  })

  test('are a queue on Millrace, and what is cached is served while the gate is closed', async () => {
    const server = await startBoard()
    const { client } = makeClient({ limits: { fetchesPer10s: 31 } })
    const known = await client.json(server.url('/a'), {}, { ttl: 60_000 })
    const outcomes = await Promise.allSettled(Array.from({ length: 30 }, (_, n) => client.json(server.url(`/a?${n}`))))
    expect(outcomes.filter(({ status }) => status === 'rejected')).toEqual([])
    expect(server.mostOpenStreams).toBeLessThanOrEqual(6)
    await expect(client.json(server.url('/a?one more'))).rejects.toMatchObject({ code: 'runaway' })
    // The gate stays closed for 10 s.
    expect(await within(5_000, client.json(server.url('/a'), {}, { ttl: 60_000 }), 'what is cached')).toBe(known)
    await expect(client.json(server.url('/a?one more'))).rejects.toMatchObject({ code: 'runaway' })
  })
})

describe('12: a runaway that nobody sees', () => {
  test('leaves no trace in a page that counts nothing', async () => {
    const server = await startBoard()
    for (let n = 0; n < 60; n += 1) await (await fetch(server.url('/api/sessions'))).text()
    expect(vi.mocked(console.warn)).not.toHaveBeenCalled()
    expect(server.requests).toHaveLength(60)
  })

  test('is in the alerts, the figures, the health and the console within the moment on Millrace', async () => {
    const server = await startBoard()
    const { client, alerts } = makeClient({ environment: 'development', limits: { fetchesPer10s: 50 } })
    const begun = performance.now()
    for (let n = 0; n < 60; n += 1)
      await client.fetch(server.url('/api/sessions'), {}, { label: 'useSessions' }).catch(() => {})
    expect(alerts).toMatchObject([{ code: 'runaway', subscriber: 'useSessions', value: 51, limit: 50 }])
    expect(performance.now() - begun).toBeLessThan(10_000)
    expect(client.stats().endpoints[0]).toMatchObject({
      endpoint: `GET ${server.url('/api/sessions')}`,
      lastMinute: 50,
    })
    expect(client.stats().requests).toMatchObject({ asked: 60, sent: 50, refused: 10 })
    expect(client.health()).toMatchObject({ status: 'unhealthy' })
    expect(vi.mocked(console.warn)).toHaveBeenCalledTimes(1)
    expect(vi.mocked(console.warn).mock.calls[0]!.join(' ')).toContain('useSessions')
  })
})
