/**
 * A snapshot may stand anywhere: behind what the stream began with, or ahead of what it has brought. Whatever the order in
 * which they come, the state is every event once, in order, never a step back; and what is told is told once.
 */
import fc from 'fast-check'
import { defineChannel, type StreamEvent } from 'millrace'
import { afterEach, describe, expect, test } from 'vitest'
import { closeClients, startStill, watch } from '../behaviour/channels/watch'

afterEach(closeClients)

type Numbers = readonly number[]
type Step =
  | { readonly append: number }
  | { readonly deliver: number }
  /** Answers the oldest request for a snapshot, with what was known so many events ago. */
  | { readonly answer: number }
  | { readonly drop: true }
  /** Then all arrives that is on its way: what is later than any patience is told as a gap. */
  | { readonly wait: number }

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ append: fc.integer({ min: 1, max: 3 }) }),
  fc.record({ deliver: fc.integer({ min: 1, max: 4 }) }),
  fc.record({ answer: fc.nat(6) }),
  fc.record({ drop: fc.constant(true as const) }),
  fc.record({ wait: fc.integer({ min: 1, max: 1_800 }) }),
)
const history = fc.record({
  before: fc.nat(5),
  /** Numbers say which comes next, other ids do not. */
  ids: fc.constantFrom(
    (n: number) => `${n}`,
    (n: number) => `e${n}x`,
  ),
  steps: fc.array(step, { minLength: 3, maxLength: 25 }),
})

/** A log behind a network that holds back what it carries until it is told to deliver. */
function createLog(before: number, idOf: (n: number) => string) {
  const numbers = Array.from({ length: before }, (_, n) => n + 1)
  const streams = new Set<{ waiting: number[]; controller: ReadableStreamDefaultController<Uint8Array> }>()
  const asked: ((length: number) => void)[] = []
  const fetch = async (input: RequestInfo | URL, init: RequestInit = {}): Promise<Response> => {
    if (String(input).endsWith('/snapshot'))
      return new Promise((resolve, reject) => {
        init.signal?.addEventListener('abort', () => reject(init.signal?.reason))
        asked.push((length) =>
          resolve(Response.json(numbers.slice(0, length), { headers: { 'last-event-id': idOf(length) } })),
        )
      })
    const after = new Headers(init.headers).get('last-event-id')
    const from = after === null ? numbers.length : Number(after.replace(/\D/g, ''))
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        const stream = { controller, waiting: numbers.slice(from) }
        streams.add(stream)
        init.signal?.addEventListener('abort', () => streams.delete(stream))
      },
    })
    return new Response(body, { headers: { 'content-type': 'text/event-stream' } })
  }
  return {
    fetch,
    numbers,
    get open() {
      return streams.size
    },
    append(count: number) {
      for (let n = 0; n < count; n += 1) {
        numbers.push(numbers.length + 1)
        for (const { waiting } of streams) waiting.push(numbers.length)
      }
    },
    deliver(count: number) {
      for (const { controller, waiting } of streams) {
        const text = waiting.splice(0, count).map((n) => `id: ${idOf(n)}\ndata: ${n}\n\n`)
        if (text.length > 0) controller.enqueue(new TextEncoder().encode(text.join('')))
      }
    },
    /** Never from before what it has told already, which no client could know by an id. */
    answer: (behind: number, told = 0) => asked.shift()?.(Math.max(told, numbers.length - behind)),
    /** While one is asked for what a snapshot lacks, both go on: else nobody could know that nothing is missing. */
    drop() {
      if (streams.size > 1) return
      for (const { controller } of streams) controller.error(new TypeError('terminated'))
      streams.clear()
    },
  }
}

async function live(
  { before, ids, steps }: { before: number; ids: (n: number) => string; steps: Step[] },
  end?: number,
) {
  const log = createLog(before, ids)
  const { client, clock } = startStill({
    fetch: log.fetch,
    limits: { backgroundPerMinute: Number.POSITIVE_INFINITY },
  })
  const channel = defineChannel<Numbers, StreamEvent>({
    key: 'log',
    stream: 'http://mill.test/stream',
    snapshot: 'http://mill.test/snapshot',
    reduce: (numbers, { data }) => [...numbers, data],
    ...(end !== undefined && { done: ({ length }) => length >= end }),
  })
  const watched = watch(client, channel)
  await clock.advance(10)
  for (const one of steps) {
    if ('append' in one) log.append(one.append)
    else if ('deliver' in one) log.deliver(one.deliver)
    else if ('answer' in one) log.answer(one.answer, watched.state.data?.length)
    else if ('drop' in one) log.drop()
    await clock.advance('wait' in one ? one.wait : 1)
    if ('wait' in one) {
      log.answer(0)
      log.deliver(Number.POSITIVE_INFINITY)
      await clock.advance(1)
    }
  }
  // All that is on its way arrives, and one event more: it shows what is missing before it.
  for (let round = 0; round < 40; round += 1) {
    log.answer(0)
    log.deliver(Number.POSITIVE_INFINITY)
    await clock.advance(1_000)
    if (round === 20) log.append(Math.max(1, (end ?? 0) - log.numbers.length))
  }
  client.close()
  return { log, watched }
}

const rising = (numbers: readonly unknown[]) =>
  numbers.every((n, at) => at === 0 || (n as number) > (numbers[at - 1] as number))

describe('whatever comes in which order', () => {
  test('the state is every event once, and none is told twice', async () => {
    const holds = fc.asyncProperty(history, async (of) => {
      const { log, watched } = await live(of)
      const sizes = watched.states.flatMap(({ data }) => (data === undefined ? [] : [data.length]))
      expect(watched.states.at(-1)?.data).toEqual(log.numbers)
      for (const { data } of watched.states) if (data) expect(data).toEqual(log.numbers.slice(0, data.length))
      expect(sizes).toEqual([...sizes].sort((a, b) => a - b))
      expect(rising(watched.data), `told ${watched.data}`).toBe(true)
    })
    await fc.assert(holds, { numRuns: 200, seed: 416 })
  })

  test('`done` ends it, once, with all that came until then, and nothing stays open', async () => {
    const holds = fc.asyncProperty(history, fc.integer({ min: 1, max: 12 }), async (of, end) => {
      const { log, watched } = await live(of, end)
      const { status, data = [] } = watched.states.at(-1)!
      expect(status).toBe('complete')
      expect(watched.completions).toBe(1)
      expect(data.length).toBeGreaterThanOrEqual(end)
      expect(data).toEqual(log.numbers.slice(0, data.length))
      expect(
        watched.data.every((n) => (n as number) <= data.length),
        `told ${watched.data}`,
      ).toBe(true)
      expect(log.open).toBe(0)
    })
    await fc.assert(holds, { numRuns: 100, seed: 416 })
  })
})
