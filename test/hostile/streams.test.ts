import fc from 'fast-check'
import { defineChannel, type StreamEvent } from 'millrace'
import { describe, expect, test } from 'vitest'
import { block, startClient, startFeed, startStill, watch } from '../behaviour/channels/watch'
import { memoryFetch } from '../bench/clients'
import { until } from '../support/until'
import { deepJson, depthOf, nastyBytes, nastyLines } from './corpus'
import { expectNothingReported } from './nothing-reported'
import { endure } from './torrent'

expectNothingReported()

/** A client whose only stream says this, in chunks of 64 kB, and then stays open. */
function hearing(...parts: (string | Uint8Array)[]) {
  const encoder = new TextEncoder()
  const bytes = parts.map((part) => (typeof part === 'string' ? encoder.encode(part) : part))
  const started = startClient({
    fetch: async () => {
      const body = new ReadableStream<Uint8Array>({
        start(controller) {
          for (const part of bytes)
            for (let at = 0; at < part.length; at += 2 ** 16) controller.enqueue(part.subarray(at, at + 2 ** 16))
        },
      })
      return new Response(body, { headers: { 'content-type': 'text/event-stream' } })
    },
  })
  return { ...started, watched: watch(started.client, 'https://example.com/stream') }
}

describe('a stream without an end of', () => {
  test.each([
    ['a line', 'data: ', 'x', 64],
    ['a comment', ': ', 'x', 16],
    ['an id', 'id: ', '1', 16],
    ['an event type', 'event: ', 'x', 16],
    ['a delay', 'retry: ', '9', 16],
    ['lines of one block', '', 'data: 0123456789\n', 16],
  ])(
    '%s is cut off as too large, and asked for with backoff',
    async (_, head, body, megabytes) => {
      const { peak, connections, gaps, codes } = await endure(head, body, megabytes)
      expect([...codes]).toEqual(['too-large'])
      // What both ends of a few sockets buffer, and garbage that nobody had time to collect.
      expect(peak).toBeLessThan(100e6)
      expect(connections).toBeGreaterThan(1)
      // No less than the delays of the backoff: 4, 8, 16, 32 and then 64 ms.
      gaps.forEach((gap, index) => {
        expect(gap).toBeGreaterThan(Math.min(4 * 2 ** index, 64) - 2)
      })
    },
    60_000,
  )
})

const MILLION = 1_000_000
describe('a million', () => {
  test.each([
    ['empty blocks', '\n'.repeat(MILLION)],
    ['comments', ':\n'.repeat(MILLION)],
    ['unknown fields', 'x: y\n'.repeat(MILLION)],
    ['characters of an unknown field', 'x'.repeat(MILLION)],
    ['ids', 'id: 1\n'.repeat(MILLION)],
    ['event types', 'event: x\n'.repeat(MILLION)],
    ['delays', 'retry: 1\n'.repeat(MILLION)],
    ['ids of blocks without data', 'id: 1\n\n'.repeat(MILLION)],
  ])(
    '%s are read over',
    async (_, text) => {
      const { watched } = hearing(text, '\n\n', block('end', { event: 'end' }))
      await until(() => watched.events.length > 0, { what: 'what comes after them', within: 20_000 })
      expect(watched.events.map(({ type, data }) => [type, data])).toEqual([['end', 'end']])
      expect(watched.errors).toEqual([])
    },
    30_000,
  )

  test('empty data lines of one block are one event', async () => {
    const { watched } = hearing('data\n'.repeat(MILLION), '\n')
    await until(() => watched.events.length === 1, { what: 'the event', within: 20_000 })
    expect(watched.data).toEqual(['\n'.repeat(MILLION - 1)])
  })

  test('kinds of events leave no trace', async () => {
    let text = ''
    for (let n = 0; n < 100_000; n += 1) text += `event: ${n}-${'x'.repeat(20)}\ndata: 1\n\n`
    const { client, watched } = hearing(text, block('end'))
    await until(() => watched.data.at(-1) === 'end', { what: 'the last', within: 20_000 })
    expect(client.stats().channels[0]).toMatchObject({ events: 100_001, invalid: 0 })
    expect(client.stats().memory).toBe(0)
  })
})

test('a type of a megabyte counts for the memory that it takes', async () => {
  const { client, watched } = hearing(
    ...Array.from({ length: 8 }, (_, n) => `id: ${n}\nevent: ${'x'.repeat(1_000_000)}\ndata: 1\n\n`),
  )
  await until(() => watched.events.length === 8, { what: 'eight events', within: 20_000 })
  // Two bytes a character; the ring of recent events holds no more than eight megabytes of them.
  expect(client.stats().memory).toBeGreaterThan(2_000_000)
  expect(client.stats().memory).toBeLessThan(10_000_000)
})

test('an id of a megabyte is neither kept nor sent back', async () => {
  const feed = await startFeed()
  const { client } = startClient()
  const watched = watch(client, feed.streamUrl)
  await until(() => feed.open === 1)
  feed.write(block(1, { id: 'good' }))
  feed.write(block(2, { id: 'x'.repeat(1_000_000) }))
  await until(() => watched.events.length === 2)
  feed.drop()
  await until(() => feed.streamRequests.length === 2)
  expect(feed.streamRequests[1]!.headers['last-event-id']).toBe('good')
})

test('a delay beyond all numbers is five minutes, and what is no number none', async () => {
  const { client, clock } = startStill({
    fetch: memoryFetch((write) => {
      write(`retry: -1\nretry: x\nretry: 1e9\n\nretry: ${'9'.repeat(400)}\n\nid: ${'x'.repeat(2 ** 20)}`)
      write('x'.repeat(2 ** 20))
    }),
  })
  const watched = watch(client, 'https://example.com/stream')
  await clock.advance(10)
  expect(watched.state).toMatchObject({ status: 'reconnecting', error: { code: 'too-large' } })
  expect(watched.state.retryAt! - clock.now()).toBeGreaterThan(300_000)
  expect(watched.state.retryAt! - clock.now()).toBeLessThan(302_000)
})

test('data of 100,000 levels goes through, again and again', async () => {
  const levels = 100_000
  const feed = await startFeed((_, response) =>
    response.writeHead(200, { 'content-type': 'application/json' }).end(deepJson(levels, `${++answers}`)),
  )
  let answers = 0
  const { client } = startClient()
  const watched = watch(client, feed.streamUrl)
  await until(() => feed.open === 1)
  for (const core of [1, 2, 2]) feed.write(block(deepJson(levels, `${core}`)))
  await until(() => watched.events.length === 3)
  expect(watched.data.map(depthOf)).toEqual([1, 2, 2].map((core) => ({ levels, core })))

  const both = defineChannel<unknown, StreamEvent>({ key: 'both', stream: feed.streamUrl, snapshot: feed.snapshotUrl })
  const merged = watch(client, both)
  await until(() => depthOf(merged.state.data).core === 1)
  await client.refresh(both)
  await until(() => depthOf(merged.state.data).core === 2)
  const polled = watch(client, defineChannel({ key: 'polled', snapshot: feed.snapshotUrl, interval: 200 }))
  await until(() => depthOf(polled.state.data).core === 5, { what: 'a third poll' })
  expect(depthOf(await client.json(feed.snapshotUrl))).toMatchObject({ levels })
})

test('any bytes in any pieces end with an event that is still heard', async () => {
  const line = fc.oneof(fc.constantFrom(...nastyLines), fc.string({ unit: 'binary' }))
  const part = fc.oneof(
    fc
      .tuple(line, fc.constantFrom('\n', '\r', '\r\n', '\n\n', ''))
      .map(([text, end]) => new TextEncoder().encode(text + end)),
    fc.constantFrom(...nastyBytes).map((bytes) => Uint8Array.from(bytes)),
    fc.uint8Array({ maxLength: 40 }),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(part, { maxLength: 60 }), async (parts) => {
      const { client, watched } = hearing(...parts, '\n\n', block('end', { event: 'end' }))
      await until(() => watched.events.at(-1)?.type === 'end', 'the event after them')
      expect(watched.errors).toEqual([])
      expect(watched.state.status).toBe('live')
      for (const { data } of watched.events) expect(data).toBeDefined()
      expect(({} as { polluted?: boolean }).polluted).toBeUndefined()
      client.close()
    }),
    { numRuns: Number(process.env.RUNS ?? 150), seed: 20 },
  )
})
