import { type Channel, defineChannel, type StreamEvent } from 'millrace'
import { afterEach, describe, expect, test } from 'vitest'
import { block, closeClients, startClient, startStill } from '../behaviour/channels/watch'
import { unlimitedClient } from '../bench/clients'
import { quantile } from '../bench/compare'
import { type BenchServer, monotonic, type Quote, startServer as startBenchServer } from '../bench/server'
import { figure } from '../support/figures'
import { leavesLess, settledHeap } from '../support/heap'
import { closeServers, startServer, startStream } from '../support/http-server'
import { openFiles } from '../support/open-files'
import { activeResources } from '../support/sockets'
import { until } from '../support/until'
import { createFaultyServer } from './faulty-server'

const SECTION = 'Load'
const STREAMS = Number(process.env.STREAMS ?? 10_000)
/** Streams that are opened side by side. */
const BATCH = 200
const PER_SECOND = 2_000
const PULSES = 3
const CRAWLS = 1_000
const PAGES = 100
const HOURS = Number(process.env.HOURS ?? 24)
const MOUNTS = 100_000
const SEED = Number(process.env.SEED ?? 1)

let bench: BenchServer | undefined
afterEach(() => {
  bench?.stop()
  bench = undefined
})
afterEach(closeClients)
afterEach(closeServers)

const kilobytes = (bytes: number): string => `${(bytes / 1_000).toFixed(1)} kB`
const sockets = (): number => activeResources().TCPSocketWrap ?? 0
const timers = (): number => activeResources().Timeout ?? 0
const thousands = (n: number): string => n.toLocaleString('en')

/** Opens all, a batch at a time, and tells what each holds of the heap. */
async function heapOfEach(open: (n: number) => Promise<unknown>): Promise<number> {
  const before = await settledHeap()
  for (let first = 0; first < STREAMS; first += BATCH)
    await Promise.all(Array.from({ length: Math.min(BATCH, STREAMS - first) }, (_, n) => open(first + n)))
  return ((await settledHeap()) - before) / STREAMS
}

describe(`${thousands(STREAMS)} connections in one process`, () => {
  test('hear every event once and in order, and leave nothing', async () => {
    const limit = openFiles() ?? Number.POSITIVE_INFINITY
    if (limit < STREAMS + 500)
      throw new Error(`Expected at least ${STREAMS + 500} open files, got ${limit}: raise \`ulimit -n\`.`)
    bench = await startBenchServer()
    const { origin } = bench
    const before = { sockets: sockets(), timers: timers() }

    const readers: ReadableStreamDefaultReader<Uint8Array>[] = []
    const bare = await heapOfEach(async (n) => {
      const { body } = await fetch(`${origin}/quiet?bare=${n}`)
      const reader = body!.getReader()
      readers.push(reader)
      void reader.read()
    })
    expect(sockets()).toBeGreaterThanOrEqual(before.sockets + STREAMS)
    for (const reader of readers.splice(0)) void reader.cancel()
    await until(() => sockets() <= before.sockets, { what: 'no socket of bare fetch', within: 60_000 })

    const client = await unlimitedClient()
    const heard = new Uint32Array(STREAMS)
    const lastAt = new Float64Array(STREAMS)
    const latencies: number[] = []
    const wrong: string[] = []
    const subscriptions: { unsubscribe(): void }[] = []
    const heap = await heapOfEach(
      (n) =>
        new Promise<void>((resolve) => {
          const stream = `${origin}/quiet?n=${n}`
          const subscription = client.subscribe(
            defineChannel<Quote, StreamEvent<string, Quote>>({ key: stream, stream, keep: 0, grace: 1 }),
            {
              next({ data: { at } }) {
                latencies.push(monotonic() - at)
                heard[n]! += 1
                if (at <= lastAt[n]!) wrong.push(`stream ${n}: ${at} after ${lastAt[n]}`)
                lastAt[n] = at
              },
              state: ({ status }) => status === 'live' && resolve(),
            },
          )
          subscriptions.push(subscription)
        }),
    )
    for (let pulse = 1; pulse <= PULSES; pulse += 1) {
      // Each of the streams gets one.
      await fetch(`${origin}/pulse?events=${STREAMS}&perSecond=${PER_SECOND}`).then((response) => response.text())
      await until(() => heard.every((count) => count >= pulse), { what: 'every event', within: 60_000 })
    }
    expect(wrong).toEqual([])
    expect(heard.every((count) => count === PULSES)).toBe(true)
    const { channels } = client.stats()
    expect(channels).toHaveLength(STREAMS)
    expect(
      channels.filter(({ status, reconnects, events }) => status !== 'live' || reconnects > 0 || events !== PULSES),
    ).toEqual([])

    for (const { unsubscribe } of subscriptions) unsubscribe()
    await until(() => client.stats().channels.length === 0, { what: 'no channel', within: 60_000 })
    await until(() => sockets() <= before.sockets, { what: 'no socket', within: 60_000 })
    await until(() => timers() <= before.timers + 1, { what: 'no timer', within: 60_000 })
    expect(client.stats()).toMatchObject({ channels: [], timers: [], memory: 0, subscriptions: { active: 0 } })
    client.close()

    const ms = (share: number) => `${(quantile(latencies, share) ?? Number.NaN).toFixed(1)} ms`
    const name = `${thousands(STREAMS)} channels on as many connections`
    figure(SECTION, `${name}: heap each`, `${kilobytes(heap)}, bare \`fetch\` ${kilobytes(bare)}`)
    figure(
      SECTION,
      `${name}, ${thousands(PER_SECOND)} events a second: from the server's write to the handler`,
      `p50 ${ms(0.5)}, p99 ${ms(0.99)} of ${thousands(latencies.length)} events, each once and in order`,
    )
  })
})

test(`${thousands(CRAWLS)} crawls of ${PAGES} pages at once each end by themselves, each page told once and in order`, async () => {
  let text = ''
  for (let n = 1; n <= PAGES; n += 1) text += block({ n }, { id: n, event: 'page' })
  text += block({ n: PAGES + 1 }, { id: PAGES + 1, event: 'finished' }) + block({ n: 0 }, { id: 0, event: 'page' })
  const server = await startServer((_, response) => startStream(response).write(text))
  const client = await unlimitedClient()
  const before = { sockets: sockets(), timers: timers() }
  const started = performance.now()
  let completed = 0
  const heard = Array.from({ length: CRAWLS }, (_, crawl) => {
    const numbers: number[] = []
    const channel = defineChannel<number, StreamEvent<string, { n: number }>>({
      key: ['crawl', crawl],
      stream: server.url(`/crawl?n=${crawl}`),
      initial: 0,
      reduce: (done, { data }) => Math.max(done, data.n),
      until: ({ type }) => type === 'finished',
      keep: 0,
      grace: 1,
    })
    const subscription = client.subscribe(channel, {
      next: ({ data }) => numbers.push(data.n),
      complete() {
        completed += 1
        subscription.unsubscribe()
      },
    })
    return numbers
  })
  await until(() => completed === CRAWLS, { what: 'all crawls', within: 60_000 })
  const took = performance.now() - started
  const whole = Array.from({ length: PAGES + 1 }, (_, n) => n + 1).join()
  expect(heard.filter((numbers) => numbers.join() !== whole)).toEqual([])
  expect(server.requests).toHaveLength(CRAWLS)
  await until(() => server.openStreams === 0 && client.stats().channels.length === 0, 'no stream and no channel')
  await until(() => server.openSockets === 0, { what: 'no socket', within: 20_000 })
  await until(() => sockets() <= before.sockets && timers() <= before.timers + 1, { what: 'nothing', within: 20_000 })
  expect(client.stats()).toMatchObject({ timers: [], memory: 0, subscriptions: { active: 0 } })
  client.close()
  figure(
    SECTION,
    `${thousands(CRAWLS)} crawls of ${PAGES} events at once each`,
    `all complete after ${(took / 1_000).toFixed(1)} s, each event once and in order`,
  )
})

test(`${HOURS} hours of a server that fails at random, seed ${SEED}, lose and double nothing, within the budget`, async () => {
  const { client, clock } = startStill({
    environment: 'production',
    fetch: (input, init) => server.fetch(input, init),
    backoff: { jitter: 'full' },
  })
  const names = ['a', 'b', 'c', 'both']
  const server = createFaultyServer(clock, SEED, names)
  const wrong: string[] = []
  const heard = new Map<string, number>()
  const subscriptions = names.map((name) => {
    const url = (kind: string) => `https://example.com/${kind}/${name}`
    const hasSnapshot = name === 'both'
    const channel = defineChannel<number, StreamEvent<string, { n: number }>>({
      key: name,
      stream: url('stream'),
      ...(hasSnapshot && { snapshot: url('snapshot'), fromSnapshot: (body) => (body as { n: number }).n }),
      initial: 0,
      reduce: (count, { data }) => {
        // What the snapshot has already is folded by nobody.
        if (data.n !== count + 1) wrong.push(`${name}: folded ${data.n} into ${count}`)
        return data.n
      },
    })
    let shown = 0
    return client.subscribe(channel, {
      next({ data: { n } }) {
        const before = heard.get(name) ?? 0
        if (hasSnapshot ? n <= before : n !== before + 1) wrong.push(`${name}: told ${n} after ${before}`)
        heard.set(name, n)
      },
      state({ data = 0, status }) {
        if (data < shown) wrong.push(`${name}: from ${shown} back to ${data}`)
        if (status === 'failed') wrong.push(`${name}: failed`)
        shown = data
      },
    })
  })
  for (const [name, interval] of [
    ['a', 10_000],
    ['b', 3_000],
  ] as const) {
    const channel = defineChannel<{ n: number }>({
      key: ['poll', name],
      snapshot: `https://example.com/poll/${name}`,
      interval,
    })
    let shown = 0
    subscriptions.push(
      client.subscribe(channel, {
        state({ data: { n } = { n: 0 } }) {
          if (n < shown) wrong.push(`poll ${name}: from ${shown} back to ${n}`)
          shown = n
        },
      }) as never,
    )
  }
  const QUARTER = 15 * 60_000
  let warm = 0
  let mostTimers = 0
  let mostPending = 0
  let mostMemory = 0
  for (let quarter = 1; quarter <= HOURS * 4; quarter += 1) {
    await clock.advance(QUARTER)
    const { timers, memory } = client.stats()
    mostTimers = Math.max(mostTimers, timers.length)
    mostPending = Math.max(mostPending, clock.pending().length)
    mostMemory = Math.max(mostMemory, memory)
    if (quarter === HOURS) warm = await settledHeap()
    expect(wrong).toEqual([])
  }
  const grown = (await settledHeap()) - warm
  server.calm()
  await clock.advance(QUARTER)
  await until(async () => {
    await clock.advance(1_000)
    return names.every((name) => client.stats().channels.find(({ key }) => key === name)?.status === 'live')
  }, 'all to be live again')
  for (const name of names.slice(0, 3)) expect([name, heard.get(name)]).toEqual([name, server.last(name)])
  expect(subscriptions[3]!.state.data).toBe(server.last('both'))
  expect(wrong).toEqual([])
  expect(server.faults.size).toBeGreaterThanOrEqual(6)
  // The budget of a minute is 20 or what the polls need, with a burst of 5 and a first request on top.
  for (const name of names) expect(server.busiestMinute(`/stream/${name}`)).toBeLessThanOrEqual(26)
  expect(server.busiestMinute('/snapshot/both')).toBeLessThanOrEqual(26)
  expect(server.busiestMinute('/poll/a')).toBeLessThanOrEqual(26)
  expect(server.busiestMinute('/poll/b')).toBeLessThanOrEqual(31)
  expect(mostTimers).toBeLessThanOrEqual(20)
  expect(mostMemory).toBeLessThan(1_000_000)
  expect(grown).toBeLessThan(1_000_000)

  for (const { unsubscribe } of subscriptions) unsubscribe()
  await clock.advance(2_000)
  const { cache } = client.stats()
  expect(client.stats()).toMatchObject({ channels: [], timers: [], memory: cache.bytes })
  expect(cache.entries).toBe(3)
  expect(server.open).toBe(0)
  const struck = [...server.faults.values()].reduce((sum, count) => sum + count, 0)
  const events = names.reduce((sum, name) => sum + server.last(name), 0)
  const busiest = Math.max(...names.map((name) => server.busiestMinute(`/stream/${name}`)))
  figure(
    SECTION,
    `${HOURS} hours of simulated time, 4 streams and 3 polls, seed ${SEED}`,
    `${thousands(struck)} faults, ${thousands(events)} events, each once and in order; at most ${busiest} connections of a stream in a minute, ${mostTimers} timers, ${kilobytes(mostMemory)}`,
  )
})

test(`${thousands(MOUNTS)} mounts and unmounts leave nothing`, async () => {
  const server = await startServer((_, response) => {
    ;(server.requests as unknown[]).length = 0
    startStream(response).write(block('x'.repeat(200), { id: 1 }))
  })
  const { client } = startClient({
    limits: { streams: Infinity, fetchesPer10s: Infinity, backgroundPerMinute: Infinity },
  })
  const channelOf = (n: number): Channel<unknown, StreamEvent> =>
    defineChannel<unknown, StreamEvent>({
      key: ['page', n % 10],
      stream: server.url(`/?n=${n % 10}`),
      grace: 2,
      keep: 0,
    })
  const rounds = 100
  const left = await leavesLess(20_000, rounds, async () => {
    for (let n = 0; n < MOUNTS / rounds; n += 1) {
      const { signal } = new AbortController()
      const options = { signal, label: `mount ${n}`, delivery: n % 2 ? 'frame' : 'each' } as const
      const { unsubscribe } = client.subscribe(channelOf(n), { next() {}, state() {} }, options)
      if (n % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 1))
      unsubscribe()
    }
  })
  await until(() => client.stats().channels.length === 0 && server.openStreams === 0)
  expect(client.stats()).toMatchObject({ timers: [], memory: 0, subscriptions: { active: 0, total: MOUNTS } })
  figure(
    SECTION,
    `${thousands(MOUNTS)} mounts and unmounts`,
    `${(left / (MOUNTS / rounds)).toFixed(0)} bytes left of each`,
  )
})
