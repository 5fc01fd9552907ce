import { createRandom } from '../support/random'
import type { TestClock } from '../support/test-clock'

/**
 * A server without a network, on a test clock: streams at `/stream/...` that say `{"n":1}`, `{"n":2}` and so on and
 * replay by `Last-Event-ID`, and at any other path a JSON of where the stream of the same name stands. Until it is calm,
 * all that can go wrong does, at times drawn from the seed.
 */
export interface FaultyServer {
  readonly fetch: typeof fetch
  /** The number of the last event of a stream. */
  last(name: string): number
  /** Streams that are open now. */
  readonly open: number
  /** The most requests for a path within any minute. */
  busiestMinute(path: string): number
  /** How often each fault has struck. */
  readonly faults: ReadonlyMap<string, number>
  /** From now on nothing goes wrong. */
  calm(): void
}

type Stream = ReadableStreamDefaultController<Uint8Array>

const MINUTE = 60_000
const LATENCY = 5
const encoder = new TextEncoder()
const refusals = ['refuses', 'hangs', '500', '503 for a while', '429 for a while', '408'] as const
const endings = ['resets', 'ends', 'falls silent', 'cuts an event'] as const

export function createFaultyServer(clock: TestClock, seed: number, names: readonly string[]): FaultyServer {
  const random = createRandom(seed)
  const counts = new Map(names.map((name) => [name, 0]))
  const open = new Map<Stream, string>()
  const faults = new Map<string, number>()
  const asked = new Map<string, number[]>()
  const busiest = new Map<string, number>()
  let isCalm = false
  /** How it answers everybody, while it is down. */
  let outage: (typeof refusals)[number] | undefined

  for (const name of names) {
    repeat(
      () => 2_000 + random() * 16_000,
      () => {
        const n = last(name) + 1
        counts.set(name, n)
        for (const [stream, of] of open) if (of === name) stream.enqueue(encoder.encode(block(n)))
      },
    )
  }
  repeat(
    () => 15_000,
    () => {
      for (const stream of open.keys()) stream.enqueue(encoder.encode(':\n\n'))
    },
  )

  repeat(
    () => (outage ? 2 + random() * 8 : 20 + random() * 60) * MINUTE,
    () => {
      outage = outage || isCalm ? undefined : pick(refusals)
      if (outage) strike('an outage')
    },
  )

  return {
    last,
    faults,
    get open() {
      return open.size
    },
    busiestMinute: (path) => busiest.get(path) ?? 0,
    calm() {
      isCalm = true
    },
    async fetch(input, { signal, headers } = {}) {
      const { pathname } = new URL(String(input))
      count(pathname)
      const [, kind, name = ''] = pathname.split('/')
      const refusal = isCalm ? undefined : (outage ?? (random() < 0.2 ? strike(pick(refusals)) : undefined))
      if (refusal === 'hangs') await aborted(signal)
      await Promise.race([passed(LATENCY), aborted(signal)])
      if (refusal === 'refuses') throw new TypeError('fetch failed')
      if (refusal) return refused(refusal)
      if (kind === 'stream') return answerStream(name, Number(new Headers(headers).get('last-event-id') ?? 0), signal)
      return answerSnapshot(name)
    },
  }

  function last(name: string): number {
    return counts.get(name) ?? 0
  }

  function answerStream(name: string, known: number, signal: AbortSignal | null | undefined): Response {
    const body = new ReadableStream<Uint8Array>({
      start(stream) {
        const earlier = !isCalm && random() < 0.2 ? Math.ceil(random() * 10) : 0
        if (earlier > 0) strike('replays too much')
        let text = ':\n\n'
        for (let n = Math.max(0, known - earlier) + 1; n <= last(name); n += 1) text += block(n)
        stream.enqueue(encoder.encode(text))
        open.set(stream, name)
        signal?.addEventListener('abort', () => {
          if (open.delete(stream)) stream.error(signal.reason)
        })
        if (!isCalm) clock.after(random() * 20 * MINUTE, () => end(stream, name), 'the end of a connection')
      },
    })
    return new Response(body, { headers: { 'content-type': 'text/event-stream' } })
  }

  function end(stream: Stream, name: string): void {
    if (!open.has(stream)) return
    const how = strike(pick(endings))
    if (how === 'cuts an event') stream.enqueue(encoder.encode(block(last(name) + 1).slice(0, -3)))
    // A silent one stays open until its client gives it up, but hears nothing more.
    open.delete(stream)
    if (how === 'ends') stream.close()
    else if (how !== 'falls silent') stream.error(new TypeError('terminated'))
  }

  function answerSnapshot(name: string): Response {
    if (!isCalm && random() < 0.1) {
      strike('a page instead of JSON')
      return new Response('<title>Sorry</title>', { headers: { 'content-type': 'text/html' } })
    }
    return Response.json({ n: last(name) }, { headers: { 'last-event-id': `${last(name)}` } })
  }

  function refused(refusal: (typeof refusals)[number]): Response {
    const seconds = refusal.endsWith('while') ? { 'retry-after': `${Math.ceil(random() * 20)}` } : undefined
    return new Response('no', { status: Number.parseInt(refusal, 10), ...(seconds && { headers: seconds }) })
  }

  function count(path: string): void {
    const now = clock.now()
    const times = [...(asked.get(path) ?? []), now].filter((time) => now - time < MINUTE)
    asked.set(path, times)
    busiest.set(path, Math.max(busiest.get(path) ?? 0, times.length))
  }

  function pick<T extends string>(list: readonly T[]): T {
    return list[Math.floor(random() * list.length)]!
  }

  function strike<T extends string>(fault: T): T {
    faults.set(fault, (faults.get(fault) ?? 0) + 1)
    return fault
  }

  function repeat(every: () => number, run: () => void): void {
    clock.after(
      every(),
      () => {
        run()
        repeat(every, run)
      },
      'the server',
    )
  }

  function passed(ms: number): Promise<void> {
    return new Promise((resolve) => void clock.after(ms, resolve, 'latency'))
  }
}

function block(n: number): string {
  return `id: ${n}\ndata: {"n":${n}}\n\n`
}

function aborted(signal: AbortSignal | null | undefined): Promise<never> {
  return new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason)))
}
