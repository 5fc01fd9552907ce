import { setTimeout as delay } from 'node:timers/promises'
import { type ChannelState, createClient, type MillraceError, ReconnectingEventSource } from 'millrace'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { closeServers, type Handler, startServer, startStream, type TestServer } from '../support/http-server'
import { until } from '../support/until'

/** How long each server is watched. One window for all rows, with the delays of production. */
const WINDOW = 10_000
const MOST = 8
/** A fetch follows twenty redirects before it gives up, and the server sees each. */
const HOPS = 21

interface Row {
  name: string
  answer: Handler
  /** The status of a client at the end; where it is not given, it tries again. */
  ends?: 'failed' | 'complete'
  code?: MillraceError['code']
  /** Attempts in the window. Default: 2 to 8, or exactly 1 where it ends. */
  attempts?: { least: number; most: number }
  hops?: number
  /** Whether a client that knows no backoff behaves. Default: it runs away. */
  isEasy?: boolean
}

const once = { least: 1, most: 1 }
const answering =
  (status: number, headers: Record<string, string> = {}): Handler =>
  (_, response) =>
    response.writeHead(status, headers).end('hello')
const saying =
  (text: string): Handler =>
  (_, response) =>
    startStream(response).end(text)

const rows: Row[] = [
  { name: '200, then closes at once', answer: saying(''), code: 'network' },
  { name: '200, then an event, then closes', answer: saying('data: a\n\n'), code: 'network' },
  { name: '503', answer: answering(503), code: 'http' },
  {
    name: '503 with Retry-After: 30',
    answer: answering(503, { 'retry-after': '30' }),
    code: 'http',
    attempts: once,
    isEasy: true,
  },
  { name: '503 with Retry-After: 0', answer: answering(503, { 'retry-after': '0' }), code: 'http' },
  {
    name: '429 with a Retry-After beyond 2^31 ms',
    answer: answering(429, { 'retry-after': '99999999' }),
    code: 'http',
    attempts: once,
  },
  { name: '204', answer: answering(204), ends: 'complete' },
  { name: '401', answer: answering(401), ends: 'failed', code: 'unauthorized' },
  { name: '404', answer: answering(404), ends: 'failed', code: 'http' },
  {
    name: '200 text/html',
    answer: answering(200, { 'content-type': 'text/html' }),
    ends: 'failed',
    code: 'content-type',
  },
  {
    name: 'retry: 99999999999, beyond 2^31',
    answer: saying('retry: 99999999999\n\n'),
    code: 'network',
    attempts: once,
  },
  { name: 'retry: 0', answer: saying('retry: 0\n\n'), code: 'network' },
  { name: 'resets before its headers', answer: (_, response) => response.socket?.resetAndDestroy(), code: 'network' },
  {
    name: 'resets after its headers',
    answer: (_, response) => startStream(response).write(':\n', () => response.socket?.resetAndDestroy()),
    code: 'network',
  },
  {
    name: 'garbage instead of HTTP',
    answer: (_, response) => response.socket?.end('\0\xff\x01garbage\r\n\r\n'),
    code: 'network',
  },
  {
    name: 'garbage instead of events',
    answer: (_, response) =>
      startStream(response).end(Buffer.from(Array.from({ length: 4_096 }, (_, n) => (n * 37) % 256))),
    code: 'network',
  },
  {
    name: 'redirects to itself',
    answer: (_, response) => response.writeHead(302, { location: '/' }).end(),
    code: 'network',
    hops: HOPS,
  },
]

interface Outcome {
  millrace: ReconnectingEventSource
  errors: { error: MillraceError | undefined; retryAt: number | undefined }[]
  state: () => ChannelState<unknown>
  requests: (of: 'source' | 'client' | 'naive') => number
}

const outcomes = new Map<string, Outcome>()
const closings: (() => void)[] = []
const controller = new AbortController()

beforeAll(async () => {
  await Promise.all(rows.map(watch))
  // Not a wait for something to happen: the window that is measured.
  await delay(WINDOW)
}, WINDOW + 20_000)

afterAll(async () => {
  controller.abort()
  for (const close of closings) close()
  await closeServers()
})

describe.each(rows)('a server that answers: $name', (row) => {
  const { least, most } = row.attempts ?? (row.ends ? once : { least: 2, most: MOST })
  const hops = row.hops ?? 1
  const outcome = () => outcomes.get(row.name)!

  test('is asked no more often than it can bear by ReconnectingEventSource', () => {
    expect(outcome().requests('source')).toBeGreaterThanOrEqual(least)
    expect(outcome().requests('source')).toBeLessThanOrEqual(most * hops)
  })

  test('is asked no more often than it can bear by a client', () => {
    expect(outcome().requests('client')).toBeGreaterThanOrEqual(least)
    expect(outcome().requests('client')).toBeLessThanOrEqual(most * hops)
  })

  test('leaves ReconnectingEventSource with an error and a way out', () => {
    const { millrace, errors } = outcome()
    const { error, retryAt } = errors.at(-1)!
    if (row.code)
      expect(error).toMatchObject({ code: row.code, message: expect.stringContaining('GET http://127.0.0.1') })
    if (millrace.readyState === millrace.CLOSED) expect(retryAt).toBeUndefined()
    else expect(retryAt).toBeTypeOf('number')
    if (row.ends) expect(millrace.readyState).toBe(millrace.CLOSED)
    else if (!row.hops) expect(millrace.readyState).not.toBe(millrace.CLOSED)
  })

  test('leaves a client with a status, an error and a way out', async () => {
    const isSettled = (state: ChannelState<unknown>) => ['failed', 'complete', 'reconnecting'].includes(state.status)
    const state = await until(outcome().state, { accept: isSettled, what: 'a status that is not a moment' })
    if (row.ends) expect(state.status).toBe(row.ends)
    else if (!row.hops) expect(state.status).toBe('reconnecting')
    if (row.code)
      expect(state.error).toMatchObject({ code: row.code, message: expect.stringContaining('GET http://127.0.0.1') })
    if (state.status === 'reconnecting') expect(state.retryAt).toBeTypeOf('number')
    else expect(state.retryAt).toBeUndefined()
  })

  if (!row.isEasy) {
    test('overruns itself with a client that knows no backoff', () => {
      expect(outcome().requests('naive')).toBeGreaterThan(most * hops)
    })
  }
})

async function watch(row: Row): Promise<void> {
  // One server each: a client counts by origin.
  const [forSource, forClient, forNaive] = await Promise.all([1, 2, 3].map(() => startServer(row.answer)))
  const errors: Outcome['errors'] = []
  const millrace = new ReconnectingEventSource(forSource!.url())
  millrace.addEventListener('error', ({ error, retryAt }) => errors.push({ error, retryAt }))
  const client = createClient({ environment: 'production' })
  const subscription = client.subscribe(forClient!.url(), () => {})
  reconnectNaively(forNaive!.url(), 2 * MOST)
  closings.push(
    () => millrace.close(),
    () => client.close(),
  )

  const servers: Record<'source' | 'client' | 'naive', TestServer> = {
    source: forSource!,
    client: forClient!,
    naive: forNaive!,
  }
  const end = performance.now() + WINDOW
  const requests: Outcome['requests'] = (of) => servers[of].requests.filter(({ time }) => time <= end).length
  outcomes.set(row.name, { millrace, errors, state: () => subscription.state, requests })
}

/** What everybody writes first: it keeps to what the server asks for, and knows nothing else. */
async function reconnectNaively(url: string, attempts: number): Promise<void> {
  let pause = 0
  for (let attempt = 0; attempt < attempts && !controller.signal.aborted; attempt += 1) {
    try {
      const response = await fetch(url, { signal: controller.signal })
      const body = await response.text()
      const retryAfter = response.headers.get('retry-after')
      const retry = /^retry: (\d+)$/m.exec(body)?.[1]
      pause = retryAfter ? Number(retryAfter) * 1_000 : Number(retry ?? 0)
    } catch {
      // and try again
    }
    // What Node's timers make of a delay beyond 2^31, without their warning.
    await delay(pause >= 2 ** 31 ? 1 : pause, undefined, { signal: controller.signal }).catch(() => {})
  }
}
