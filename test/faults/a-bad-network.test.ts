import fc from 'fast-check'
import { defineChannel } from 'millrace'
import { afterEach, describe, expect, test } from 'vitest'
import { closeClients, startStill, watch } from '../behaviour/channels/watch'
import { closeSources, record } from '../behaviour/reconnecting-event-source/recorder'
import { type Conduct, closeProxies, startFaultProxy } from '../support/fault-proxy'
import { closeServers, startServer, startStream } from '../support/http-server'
import { type Journal, startJournal } from '../support/journal-server'
import { until } from '../support/until'
import { readerNames, readers } from './readers'

afterEach(closeClients)
afterEach(closeSources)
afterEach(closeProxies)
afterEach(closeServers)

const HEARTBEAT = 25
/** Many heartbeats: a loaded machine may stall for some of them, and is not dead. */
const IDLE = 1_000
/** The head of an answer is shorter than this, and with the first events longer. */
const HEAD = 240

/** Events of many sizes, in characters of one to four bytes, until the test is over. */
function feed(journal: Journal): () => void {
  const timer = setInterval(() => {
    journal.append({ text: 'ä€😀x'.repeat(journal.events.length % 9), n: journal.events.length + 1 })
  }, 5)
  return () => clearInterval(timer)
}

/** Sends a journal through all of that, one connection after another, and fails unless all of it arrives. */
async function survive(name: keyof typeof readers, conducts: readonly Conduct[], seed = 1): Promise<void> {
  const journal = await startJournal({ heartbeat: HEARTBEAT })
  const proxy = await startFaultProxy(journal.server.origin, conducts, { seed })
  const stop = feed(journal)
  const reader = readers[name](proxy.url('/stream'), { idleTimeout: IDLE })
  const faults = conducts.filter(({ breaks }) => breaks).length
  try {
    await until(() => reader.losses.length >= faults && reader.isOpen, {
      what: `${faults} faults to be noticed: ${JSON.stringify(conducts)}`,
    })
    stop()
    const last = journal.append().id
    await until(() => reader.ids.at(-1) === last, { what: `event ${last}: ${JSON.stringify(conducts)}` })
  } finally {
    stop()
  }
  journal.assertDelivered(reader.ids, 1)
  expect(reader.deadEnds).toEqual([])
  // One attempt for each fault, and the one that goes well.
  expect(reader.losses.map(({ code }) => code)).toHaveLength(faults)
  expect(proxy.connections).toBe(faults + 1)
  await journal.close()
}

describe.each(readerNames)('%s hears every event once and in order, with one attempt for each fault', (name) => {
  const faults: Record<string, Conduct[]> = {
    'a reset before the answer': [{ breaks: { after: 0, by: 'reset' } }],
    'a reset within the head': [{ breaks: { after: 40, by: 'reset' } }],
    'a reset within an event': [{ breaks: { after: HEAD + 200, by: 'reset' } }],
    'an end before the answer': [{ breaks: { after: 0, by: 'end' } }],
    'an end within an event': [{ breaks: { after: HEAD + 333, by: 'end' } }],
    'a connection that stalls within an event': [{ breaks: { after: HEAD + 333, by: 'stall' } }],
    'all of them, in a row, on a slow line': [
      { breaks: { after: 0, by: 'reset' }, latency: 5 },
      { breaks: { after: 333, by: 'end' }, pieces: [3, 50] },
      { breaks: { after: 777, by: 'stall' }, jitter: 10 },
      { breaks: { after: 400, by: 'reset' }, bandwidth: 40_000 },
    ],
    'latency and jitter': [{ latency: 30, jitter: 60 }],
    'little bandwidth': [{ bandwidth: 60_000, pieces: [100] }],
    'a head that comes byte by byte': [{ slowHead: 1 }],
    'everything byte by byte': [{ pieces: [1] }],
  }
  test.each(Object.keys(faults))('over %s', (fault) => survive(name, faults[fault]!))

  const pace = fc.record(
    {
      latency: fc.nat(10),
      jitter: fc.nat(10),
      pieces: fc.array(fc.integer({ min: 50, max: 400 }), { minLength: 1, maxLength: 4 }),
    },
    { requiredKeys: [] },
  )
  const break_ = fc.oneof(
    fc.record({ after: fc.nat(1_500), by: fc.constantFrom('reset' as const, 'end' as const) }),
    // What stalls before its head is waited for as long as any answer: another test, with another clock.
    fc.record({ after: fc.integer({ min: HEAD, max: 1_500 }), by: fc.constant('stall' as const) }),
  )
  const conducts = fc.array(
    fc.record({ pace, breaks: break_ }).map(({ pace, breaks }): Conduct => ({ ...pace, breaks })),
    { minLength: 1, maxLength: 5 },
  )
  test('over any row of faults', { timeout: 60_000 }, async () => {
    const survives = fc.asyncProperty(conducts, fc.nat(), (row, seed) => survive(name, row, seed))
    await fc.assert(survives, { numRuns: 5, seed: 1847, endOnFailure: true })
  })
})

describe.each(readerNames)('%s', (name) => {
  test('notices within `idleTimeout` that a connection is dead, though its socket is open', async () => {
    const journal = await startJournal({ heartbeat: HEARTBEAT })
    const proxy = await startFaultProxy(journal.server.origin)
    const reader = readers[name](proxy.url('/stream'), { idleTimeout: IDLE })
    await until(() => reader.isOpen)
    journal.append()
    await until(() => reader.ids.length === 1)
    const stalled = performance.now()
    proxy.breakAll('stall')
    journal.append()
    // Counted, not timed: while the machine stalls, a tick does not come either.
    let ticks = 0
    const ticking = setInterval(() => (ticks += 1), 10)
    await until(() => reader.losses.length === 1)
    clearInterval(ticking)
    const noticed = reader.losses[0]!
    expect(noticed.code).toBe('idle')
    expect(noticed.at - stalled).toBeGreaterThanOrEqual(IDLE - HEARTBEAT - 10)
    expect(ticks).toBeLessThan((IDLE + 150) / 10)
    await until(() => reader.ids.length === 2)
    // The dead one is not left behind.
    await until(() => proxy.open === 1 && journal.open === 1)
  })

  test('makes few attempts at a server that never gets well', async () => {
    const journal = await startJournal()
    for (let n = 0; n < 20; n += 1) journal.append()
    const rows = ['reset', 'end'] as const
    const proxies = await Promise.all(
      rows.map((by) => startFaultProxy(journal.server.origin, [], { rest: { breaks: { after: HEAD + 20, by } } })),
    )
    const backoff = { base: 100, cap: 400, jitter: 'none' as const }
    const following = proxies.map((proxy) => readers[name](proxy.url('/stream'), { backoff }))
    const begun = performance.now()
    await until(() => performance.now() - begun > 1_500, 'the window that is measured')
    for (const [at, { losses, deadEnds }] of following.entries()) {
      expect(deadEnds).toEqual([])
      // At once, and after 200, 300, 500 and 500 ms: the base delay and the growing one.
      expect(proxies[at]!.connections).toBeLessThanOrEqual(5)
      await until(() => losses.length >= 2)
    }
  })
})

test('a channel waits for an answer that never begins for as long as it is told, and asks again', async () => {
  const journal = await startJournal()
  const swallow: Conduct = { breaks: { after: 0, by: 'swallow' } }
  const proxy = await startFaultProxy(journal.server.origin, [swallow, { breaks: { after: 30, by: 'stall' } }])
  const { client, clock } = startStill()
  const channel = defineChannel({ key: 'a', stream: proxy.url('/stream'), connectTimeout: 15_000 })
  const watched = watch(client, channel)
  for (const attempt of [1, 2]) {
    await until(async () => {
      await clock.advance(1)
      return proxy.connections === attempt
    })
    if (attempt === 2) await until(() => proxy.bytes > 30)
    await clock.advance(14_900)
    expect(watched.state.attempt).toBe(attempt - 1)
    await clock.advance(200)
    expect(watched.state).toMatchObject({ status: 'reconnecting', attempt, error: { code: 'timeout' } })
    await clock.advance(watched.state.retryAt! - clock.now())
  }
  await until(() => journal.open === 1)
  journal.append()
  await until(() => watched.events.length === 1)
  await until(() => proxy.open === 1, 'what never answered to be closed')
})

test('ReconnectingEventSource takes an answer that never begins for silence', async () => {
  const journal = await startJournal({ heartbeat: HEARTBEAT })
  const swallow: Conduct = { breaks: { after: 0, by: 'swallow' } }
  const proxy = await startFaultProxy(journal.server.origin, [swallow, { breaks: { after: 30, by: 'stall' } }])
  const reader = readers.ReconnectingEventSource(proxy.url('/stream'), { idleTimeout: IDLE })
  await until(() => reader.isOpen)
  expect(reader.losses.map(({ code }) => code)).toEqual(['idle', 'idle'])
  expect(reader.deadEnds).toEqual([])
  await until(() => proxy.open === 1, 'what never answered to be closed')
})

describe('a border between two chunks', () => {
  // A byte order mark, all three line ends, comments, ids, types, several lines of data, and characters of 2 to 4 bytes.
  const text =
    '\uFEFF: hello\r\nid: 1\r\nevent: añb\r\ndata: é€😀\r\n\r\ndata: a\rdata: b\rid: 2\r\rretry: 50\ndata:c\n\n:\n\nid: 3\ndata\n\n'
  const expected = [
    { type: 'añb', data: 'é€😀', id: '1' },
    { type: 'message', data: 'a\nb', id: '2' },
    { type: 'message', data: 'c', id: '2' },
    { type: 'message', data: '', id: '3' },
  ]

  test('may be after every single byte of the answer', { timeout: 60_000 }, async () => {
    const server = await startServer((_, response) => startStream(response).write(text))
    const whole = await startFaultProxy(server.origin)
    record(whole.url(), {})
    await until(() => whole.bytes > Buffer.byteLength(text) + 100)
    const length = whole.bytes
    closeSources()

    const positions = Array.from({ length: length - 1 }, (_, at) => at + 1)
    const proxy = await startFaultProxy(
      server.origin,
      positions.map((at) => ({ pieces: [at, Infinity] })),
    )
    for (let from = 0; from < positions.length; from += 40) {
      const some = positions.slice(from, from + 40).map(() => record(proxy.url(), {}, ['añb']))
      await until(() => some.every(({ messages }) => messages.length === expected.length))
      for (const { messages } of some) expect(messages).toEqual(expected)
      closeSources()
    }
    expect(proxy.connections).toBe(length - 1)
  })

  test('may be anywhere, and there may be any number of them', async () => {
    const server = await startServer((_, response) => startStream(response).write(text))
    const pieces = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 8 })
    const reads = fc.asyncProperty(pieces, async (sizes) => {
      const proxy = await startFaultProxy(server.origin, [{ pieces: sizes }])
      const { messages } = record(proxy.url(), {}, ['añb'])
      await until(() => messages.length === expected.length, { what: `all of it in pieces of ${sizes}` })
      expect(messages).toEqual(expected)
      closeSources()
      await proxy.close()
    })
    await fc.assert(reads, { numRuns: 30, seed: 1847 })
  })
})
