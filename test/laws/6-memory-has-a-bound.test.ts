import type { ServerResponse } from 'node:http'
import { type Alert, type Client, type ClientOptions, createClient, defineChannel, type StreamEvent } from 'millrace'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { settledHeap } from '../support/heap'
import { closeServers, startServer, startStream } from '../support/http-server'
import { createTestClock, type TestClock } from '../support/test-clock'
import { until } from '../support/until'

const BASE = 'http://mill.test'
const clients: Client[] = []
let clock: TestClock

function makeClient(options: ClientOptions = {}): { client: Client; alerts: Alert[] } {
  const client = createClient({ environment: 'production', clock, baseUrl: BASE, ...options })
  const alerts: Alert[] = []
  client.on('alert', (alert) => alerts.push(alert))
  clients.push(client)
  return { client, alerts }
}

const unlimited = {
  backgroundPerMinute: Infinity,
  burst: Infinity,
  fetchesPer10s: Infinity,
  concurrency: Infinity,
  queue: Infinity,
  streams: Infinity,
}

/** A server in memory that answers at once, with its URL as JSON. */
const echo = async (input: RequestInfo | URL): Promise<Response> => Response.json(String(input))

/** A stream in memory, for `fetch`: what is written arrives in one chunk. */
function createTap() {
  const encoder = new TextEncoder()
  let controller: ReadableStreamDefaultController<Uint8Array> | undefined
  const tap = {
    isOpen: () => controller !== undefined,
    write(text: string) {
      controller!.enqueue(encoder.encode(text))
    },
    events(from: number, to: number, extra = '') {
      let text = ''
      for (let n = from; n <= to; n += 1) text += `id: ${n}\ndata: {"n":${n}${extra}}\n\n`
      tap.write(text)
    },
    answer: () =>
      new Response(
        new ReadableStream<Uint8Array>({
          start(own) {
            controller = own
          },
        }),
        { headers: { 'content-type': 'text/event-stream' } },
      ),
  }
  return tap
}

const settle = async (turns = 20): Promise<void> => {
  for (let turn = 0; turn < turns; turn += 1) await clock.advance(0)
}

beforeEach(() => {
  clock = createTestClock()
  vi.spyOn(console, 'warn').mockImplementation(() => {})
})

afterEach(async () => {
  for (const client of clients.splice(0)) client.close()
  vi.restoreAllMocks()
  await closeServers()
})

describe('the endpoints that are remembered', () => {
  test('are 500, and the least recently used go first', async () => {
    const { client } = makeClient({ fetch: echo })
    for (let n = 0; n < 600; n += 1) {
      await client.fetch(`/item/${n}`)
      if (n % 100 === 0) await client.fetch('/often')
    }
    const names = client.stats().endpoints.map(({ endpoint }) => endpoint)
    expect(names).toHaveLength(500)
    expect(names).toContain(`GET ${BASE}/item/599`)
    expect(names).toContain(`GET ${BASE}/often`)
    expect(names).not.toContain(`GET ${BASE}/item/1`)
  })

  test('are more while they are in use, and 500 again afterwards', async () => {
    const waits: (() => void)[] = []
    const { client } = makeClient({ fetch: () => new Promise((resolve) => waits.push(() => resolve(new Response()))) })
    const asked = Array.from({ length: 600 }, (_, n) => client.fetch(`/item/${n}`).catch(() => {}))
    await settle()
    expect(client.stats().endpoints).toHaveLength(600)
    for (const answer of waits) answer()
    await Promise.all(asked)
    const last = client.fetch('/last')
    await settle()
    waits.at(-1)!()
    await last
    expect(client.stats().endpoints.length).toBeLessThanOrEqual(500)
  })
})

describe('the cache', () => {
  test('is bounded by its entries, for `fetch` and `json` alike', async () => {
    const { client } = makeClient({ fetch: echo, limits: unlimited, cache: { entries: 50 } })
    for (let n = 0; n < 120; n += 1) {
      await client.json(`/a?${n}`)
      await client.fetch(`/a?${n}`, {}, { ttl: 60_000 })
    }
    const { entries } = client.stats().cache
    // One cache for both, or one for each.
    expect(entries).toBeGreaterThanOrEqual(50)
    expect(entries).toBeLessThanOrEqual(100)
    const { sent } = client.stats().requests
    expect(await client.json('/a?119')).toBe(`${BASE}/a?119`)
    expect(client.stats().requests.sent).toBe(sent)
    await client.json('/a?0')
    expect(client.stats().requests.sent).toBe(sent + 1)
  })

  test('is bounded by its bytes, which are in `memory`, and given back', async () => {
    const { client } = makeClient({
      fetch: async () => new Response(JSON.stringify('x'.repeat(998))),
      limits: unlimited,
      cache: { bytes: 10_000 },
    })
    for (let n = 0; n < 100; n += 1) await client.json(`/a?${n}`)
    expect(client.stats().cache).toEqual({ entries: 10, bytes: 10_000 })
    expect(client.stats().memory).toBe(10_000)
    client.setIdentity('ann')
    expect(client.stats().cache).toEqual({ entries: 0, bytes: 0 })
    expect(client.stats().memory).toBe(0)
  })

  test('gives back the bytes of what it replaces, forgets and lets expire', async () => {
    let size = 100
    const { client } = makeClient({
      fetch: async () => new Response(JSON.stringify('x'.repeat(size - 2))),
      limits: unlimited,
      cache: { staleIfError: 0 },
    })
    await client.json('/a', {}, { ttl: 10 })
    expect(client.stats().memory).toBe(100)
    await clock.advance(20)
    size = 300
    await client.json('/a', {}, { ttl: 10 })
    expect(client.stats()).toMatchObject({ memory: 300, cache: { entries: 1, bytes: 300 } })
    client.invalidate('/a')
    expect(client.stats()).toMatchObject({ memory: 0, cache: { entries: 0, bytes: 0 } })
  })

  test('does not remember the URL of every request', async () => {
    const { client } = makeClient({ fetch: echo, limits: unlimited, cache: { entries: 10 } })
    const long = 'x'.repeat(20_000)
    for (let n = 0; n < 50; n += 1) await client.json(`/a?${n}${long}`)
    const before = await settledHeap()
    for (let n = 0; n < 300; n += 1) await client.json(`/a?more${n}${long}`)
    await clock.advance(60_000)
    // Six MB of URLs would be there if each was kept.
    expect((await settledHeap()) - before).toBeLessThan(2_000_000)
    expect(client.stats().cache.entries).toBeLessThanOrEqual(10)
  })
})

describe('the queue of an endpoint', () => {
  test('is bounded, and each refusal is counted', async () => {
    const { client } = makeClient({ fetch: () => new Promise(() => {}), limits: { fetchesPer10s: Infinity } })
    const codes: string[] = []
    for (let n = 0; n < 1_000; n += 1) client.fetch(`/a?${n}`).catch(({ code }) => codes.push(code))
    await settle()
    expect(client.stats().endpoints[0]).toMatchObject({ inFlight: 6, queued: 100 })
    expect(codes).toEqual(Array(894).fill('queue-full'))
    expect(client.stats().requests.refused).toBe(894)
  })
})

describe('what waits for a frame', () => {
  test('is 10,000 events per subscriber; the oldest go, counted and told', async () => {
    const tap = createTap()
    const { client, alerts } = makeClient({ fetch: async () => tap.answer() })
    const channel = defineChannel<unknown, StreamEvent>({ key: 'fast', stream: '/stream' })
    const batches: number[][] = []
    const batch = (events: readonly StreamEvent[]) => void batches.push(events.map(({ data }) => data.n))
    client.subscribe(channel, { batch }, { delivery: 'frame', label: 'Chart' })
    await settle()
    tap.events(1, 10_050)
    await settle()
    expect(batches).toEqual([])
    await clock.advance(16)
    expect(batches).toHaveLength(1)
    expect(batches[0]).toHaveLength(10_000)
    expect([batches[0]![0], batches[0]!.at(-1)]).toEqual([51, 10_050])
    expect(client.stats().channels[0]).toMatchObject({ events: 10_050, overflowed: 50 })
    expect(alerts).toEqual([expect.objectContaining({ code: 'overflow', channel: 'fast', subscriber: 'Chart' })])
  })

  test('is one event for who wants the latest; the rest is counted, and nobody is alarmed', async () => {
    const tap = createTap()
    const { client, alerts } = makeClient({ fetch: async () => tap.answer() })
    const channel = defineChannel<unknown, StreamEvent>({ key: 'fast', stream: '/stream' })
    const seen: number[] = []
    client.subscribe(channel, { next: ({ data }) => seen.push(data.n) }, { delivery: 'latest' })
    await settle()
    tap.events(1, 500)
    await settle()
    await clock.advance(16)
    expect(seen).toEqual([500])
    expect(client.stats().channels[0]).toMatchObject({ events: 500, overflowed: 499 })
    expect(alerts).toEqual([])
  })
})

describe('the buffer of an iterator', () => {
  /** Subscribes, lets 2,000 events come while nobody takes any, then takes what is there. */
  async function overrun(options: Parameters<Client['events']>[1]) {
    const tap = createTap()
    const { client, alerts } = makeClient({ fetch: async () => tap.answer() })
    const channel = defineChannel<unknown, StreamEvent>({ key: 'fast', stream: '/stream' })
    const iterator = client.events(channel, options as never) as AsyncIterableIterator<StreamEvent>
    const first = iterator.next()
    await settle()
    tap.events(0, 0)
    await first
    tap.events(1, 2_000)
    await settle()
    const taken: number[] = []
    let error: unknown
    for (let n = 0; n < 2_001 && taken.at(-1) !== 2_000; n += 1) {
      const next = iterator.next().then(
        ({ value, done }) => (done ? undefined : (value.data.n as number)),
        (reason) => {
          error = reason
          return undefined
        },
      )
      const value = await Promise.race([next, settle(2).then(() => undefined)])
      if (value === undefined) break
      taken.push(value)
    }
    await iterator.return?.()
    return { taken, error, alerts, overflowed: client.stats().channels[0]?.overflowed }
  }

  test('is 1,024 events by default; the oldest go, counted and told', async () => {
    const { taken, alerts, overflowed } = await overrun({})
    expect(taken).toHaveLength(1_024)
    expect([taken[0], taken.at(-1)]).toEqual([977, 2_000])
    expect(overflowed).toBe(976)
    expect(alerts).toEqual([expect.objectContaining({ code: 'overflow', channel: 'fast' })])
  })

  test('drops the newest where that was asked for', async () => {
    const { taken, overflowed } = await overrun({ buffer: 10, overflow: 'drop-newest' })
    expect(taken).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    expect(overflowed).toBe(1_990)
  })

  test('ends with `overflow` where that was asked for, after what it holds', async () => {
    const { taken, error } = await overrun({ buffer: 3, overflow: 'error' })
    expect(taken).toEqual([1, 2, 3])
    expect(error).toMatchObject({ code: 'overflow' })
  })

  test('is made smaller by a function, and never larger', async () => {
    const { taken } = await overrun({ buffer: 4, overflow: (events: unknown[]) => events.slice(-2) })
    expect(taken.length).toBeLessThanOrEqual(4)
    expect(taken.at(-1)).toBe(2_000)
    const { taken: all } = await overrun({ buffer: 4, overflow: (events: unknown[]) => [...events, ...events] })
    expect(all).toHaveLength(4)
  })
})

describe('events that are held for a snapshot', () => {
  async function hold() {
    const tap = createTap()
    let answer: ((response: Response) => void) | undefined
    const { client, alerts } = makeClient({
      fetch: (input) =>
        String(input).includes('stream')
          ? Promise.resolve(tap.answer())
          : new Promise((resolve) => {
              answer = resolve
            }),
    })
    const channel = defineChannel<number, StreamEvent>({
      key: 'held',
      stream: '/stream',
      snapshot: '/snapshot',
      fromSnapshot: () => 0,
      reduce: (count) => count + 1,
    })
    const seen: number[] = []
    const subscription = client.subscribe(channel, { next: ({ data }) => seen.push(data.n) })
    await settle()
    expect(answer).toBeDefined()
    return { tap, client, alerts, channel, seen, subscription, answer: () => answer!(Response.json({})) }
  }

  test('are 10,000; the oldest go, counted and told', async () => {
    const { tap, client, alerts, channel, seen, answer } = await hold()
    tap.events(1, 10_050)
    await settle()
    expect(seen).toEqual([])
    answer()
    await settle()
    expect(seen).toHaveLength(10_000)
    expect([seen[0], seen.at(-1)]).toEqual([51, 10_050])
    expect(client.getState(channel).data).toBe(10_000)
    expect(client.stats().channels[0]).toMatchObject({ overflowed: 50 })
    expect(alerts).toContainEqual(expect.objectContaining({ code: 'overflow', channel: 'held' }))
  })

  test('are 16 MB, in `memory`, and given back', async () => {
    const { tap, client, alerts, seen, answer } = await hold()
    for (let n = 1; n <= 40; n += 1) tap.events(n, n, `,"text":"${'x'.repeat(500_000)}"`)
    await settle()
    // Beside the ring of recent events, which is 8 MB.
    const { memory } = client.stats()
    expect(memory).toBeGreaterThan(20e6)
    expect(memory).toBeLessThan(2 * 12 * 2 ** 20)
    answer()
    await settle()
    expect([seen.length, seen[0], seen.at(-1)]).toEqual([16, 25, 40])
    expect(client.stats().channels[0]).toMatchObject({ overflowed: 24 })
    expect(alerts).toContainEqual(expect.objectContaining({ code: 'overflow', channel: 'held' }))
    expect(client.stats().memory).toBeLessThan(2 * 4 * 2 ** 20)
  })

  test('are given back with the last subscriber, though the snapshot never came', async () => {
    const { tap, client, subscription } = await hold()
    tap.events(1, 1, `,"text":"${'x'.repeat(500_000)}"`)
    await settle()
    expect(client.stats().memory).toBeGreaterThan(2e6 - 1)
    subscription.unsubscribe()
    await clock.advance(1_000)
    expect(client.stats().memory).toBe(0)
  })
})

describe('the ring of recent events', () => {
  test('is bounded, in `memory`, and given back with its last subscriber', async () => {
    const tap = createTap()
    const { client } = makeClient({ fetch: async () => tap.answer() })
    const subscription = client.subscribe(`${BASE}/stream`, () => {})
    await settle()
    const text = `,"text":"${'x'.repeat(1_000)}"`
    tap.events(1, 2_000, text)
    await settle()
    const { memory } = client.stats()
    expect(memory).toBeGreaterThan(1_024 * 1_000)
    expect(memory).toBeLessThan(1_200 * 2_100)
    tap.events(2_001, 6_000, text)
    await settle()
    expect(client.stats().memory).toBeLessThan(1_200 * 2_100)
    subscription.unsubscribe()
    await clock.advance(1_000)
    // The last event's data, for who comes back.
    expect(client.stats().memory).toBeLessThan(3_000)
    await clock.advance(300_000)
    expect(client.stats().memory).toBe(0)
  })
})

describe('what waits for its turn in a sequence', () => {
  test('is a hundred events; then the gap is told, and they go on without what is missing', async () => {
    const tap = createTap()
    const { client, alerts } = makeClient({ fetch: async () => tap.answer() })
    const channel = defineChannel<unknown, StreamEvent>({
      key: 'ordered',
      stream: '/stream',
      sequence: ({ data }) => data.n,
    })
    const seen: number[] = []
    client.subscribe(channel, { next: ({ data }) => seen.push(data.n) })
    await settle()
    tap.events(1, 1)
    tap.events(3, 101)
    await settle()
    expect(seen).toEqual([1])
    tap.events(102, 150)
    await settle()
    expect(seen).toEqual([1, ...Array.from({ length: 148 }, (_, n) => n + 3)])
    expect(alerts).toContainEqual(expect.objectContaining({ code: 'gap', channel: 'ordered' }))
  })
})

describe('states that outlive their last subscriber', () => {
  test('are 500, the oldest go first, and one timer waits for their end', async () => {
    const { client } = makeClient({ fetch: echo })
    const channels = Array.from({ length: 530 }, (_, n) =>
      defineChannel({ key: ['item', n], snapshot: `/item/${n}`, grace: 0, interval: 3_600_000 }),
    )
    for (const channel of channels) {
      const { unsubscribe } = client.subscribe(channel, {})
      await settle(2)
      unsubscribe()
      await clock.advance(0)
    }
    const kept = channels.filter((channel) => client.getState(channel).data !== undefined)
    expect(kept).toHaveLength(500)
    expect(kept[0]).toBe(channels[30])
    expect(client.stats()).toMatchObject({ channels: [], timers: [{ label: 'keep' }] })
    const { memory, cache } = client.stats()
    expect(memory - cache.bytes).toBeGreaterThan(500 * 2 * `${BASE}/item/1`.length)
    await clock.advance(300_001)
    expect(channels.filter((channel) => client.getState(channel).data !== undefined)).toEqual([])
    expect(client.stats()).toMatchObject({ timers: [], memory: client.stats().cache.bytes })
  })

  test('are 16 MB, the oldest go first, and what is larger is not kept', async () => {
    const fetch = async () => Response.json('x'.repeat(1_500_000))
    const { client } = makeClient({ fetch, cache: { ttl: 0 }, limits: unlimited })
    const channels = Array.from({ length: 10 }, (_, n) =>
      defineChannel({ key: ['large', n], snapshot: `/item/${n}`, grace: 0, interval: 3_600_000 }),
    )
    for (const channel of channels) {
      const { unsubscribe } = client.subscribe(channel, {})
      await until(async () => {
        await clock.advance(0)
        return client.getState(channel).data !== undefined
      })
      unsubscribe()
      await clock.advance(0)
    }
    expect(channels.map((channel) => client.getState(channel).data !== undefined)).toEqual(
      channels.map((_, n) => n >= 5),
    )
  })
})

describe('alerts', () => {
  test('are remembered for 500 endpoints, not for each there ever was', async () => {
    const { client, alerts } = makeClient({ fetch: echo, limits: { fetchesPer10s: 1 } })
    const long = 'x'.repeat(5_000)
    let told = 0
    const runAway = async (from: number, to: number): Promise<void> => {
      for (let n = from; n < to; n += 1) {
        await client.fetch(`/${n}/${long}`)
        await client.fetch(`/${n}/${long}`).catch(() => {})
        told += alerts.splice(0).length
      }
    }
    await runAway(0, 600)
    const before = await settledHeap()
    await runAway(600, 1_200)
    expect(told).toBe(1_200)
    // Another six hundred names of 5 kB would be three MB, in one map alone.
    expect((await settledHeap()) - before).toBeLessThan(1_500_000)
  })

  test('tell of the caches and queues when they grow beyond their threshold', async () => {
    const { client, alerts } = makeClient({
      fetch: async () => new Response(JSON.stringify('x'.repeat(998))),
      limits: unlimited,
      thresholds: { memory: 5_000 },
    })
    for (let n = 0; n < 5; n += 1) await client.json(`/a?${n}`)
    expect(alerts).toEqual([])
    await client.json('/a?6')
    expect(alerts).toEqual([expect.objectContaining({ code: 'memory', value: 6_000, limit: 5_000 })])
  })
})

describe('an event that is too large', () => {
  test('is refused with `too-large` before it is held, and the stream has a way out', async () => {
    let connections = 0
    const server = await startServer((_, response) => {
      connections += 1
      const stream = startStream(response)
      if (connections > 1) return void stream.write('data: {"n":1}\n\n')
      const chunk = `${'x'.repeat(2 ** 16)}`
      stream.write('data: ')
      const write = (): void => {
        while (!stream.destroyed && stream.write(chunk));
        if (!stream.destroyed) stream.once('drain', write)
      }
      write()
    })
    const { client } = makeClient({ clock: undefined as never, backoff: { base: 1, cap: 1 } })
    const seen: unknown[] = []
    const errors: unknown[] = []
    client.subscribe(server.url('/stream'), {
      next: ({ data }) => seen.push(data),
      state: ({ error }) => error && errors.push(error.code),
    })
    await until(() => seen.length === 1)
    expect(seen).toEqual([{ n: 1 }])
    expect(errors).toContain('too-large')
  })
})

describe('a client that worked for a long time', () => {
  test('is as small as one that just began', async () => {
    const bulky = async (input: RequestInfo | URL) => Response.json(String(input).padEnd(2_000))
    const { client } = makeClient({ fetch: bulky, limits: unlimited, cache: { entries: 20 } })
    const work = async (from: number, to: number): Promise<void> => {
      for (let n = from; n < to; n += 1) {
        const channel = defineChannel({ key: ['item', n % 40], snapshot: `/item/${n % 40}`, grace: 10 })
        const { unsubscribe } = client.subscribe(channel, { state() {} }, { label: `item ${n}` })
        const controller = new AbortController()
        await client.fetch(`/a?${n}`, { signal: controller.signal }, { ttl: 1_000 })
        await client.json(`/b?${n}`)
        controller.abort()
        unsubscribe()
        await clock.advance(20)
      }
    }
    await work(0, 150)
    const before = await settledHeap()
    await work(150, 450)
    expect(client.stats()).toMatchObject({
      channels: [],
      timers: [{ label: 'keep' }],
      subscriptions: { active: 0, total: 450 },
    })
    // What each round answers with: 2 kB, three times. Left behind, they would be almost two megabytes. On a busy machine
    // the platform takes its time to let go of its own.
    await until(async () => (await settledHeap()) - before, {
      accept: (grown) => grown < 700_000,
      what: 'a heap that is as small as before',
      within: 20_000,
    })
  })

  test('keeps nothing of answers whose bodies nobody reads', async () => {
    const held: ServerResponse[] = []
    const server = await startServer((_, response) => void held.push(response))
    const { client } = makeClient({ limits: unlimited })
    const controllers = Array.from({ length: 50 }, () => new AbortController())
    const asked = controllers.map(({ signal }, n) => client.fetch(server.url(`/a?${n}`), { signal }))
    await until(() => held.length === 50)
    for (const response of held) response.write('begin')
    await Promise.all(asked)
    for (const controller of controllers) controller.abort()
    await until(() => server.openStreams === 0)
    expect(client.stats()).toMatchObject({ timers: [], memory: 0 })
  })
})
