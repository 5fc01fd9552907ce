import type { ServerResponse } from 'node:http'
import { type Alert, type Client, type ClientOptions, createClient, defineChannel, type StreamEvent } from 'millrace'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { closeServers, startServer, startStream, type TestServer } from '../support/http-server'
import { startJournal } from '../support/journal-server'
import { createTestClock } from '../support/test-clock'
import { until } from '../support/until'

const cleanups: (() => void)[] = []

function makeClient(options: ClientOptions = {}): { client: Client; alerts: Alert[] } {
  const client = createClient({ environment: 'test', ...options })
  const alerts: Alert[] = []
  client.on('alert', (alert) => alerts.push(alert))
  cleanups.push(client.close)
  return { client, alerts }
}

interface Progress {
  done: number
  total: number
}

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** What every page of the crawler had: reads lines, hands out what follows `data:`. Rejects or resolves at the end. */
async function readNaively(url: string, onData: (data: string, event: string) => void): Promise<void> {
  const controller = new AbortController()
  cleanups.push(() => controller.abort())
  const response = await fetch(url, { signal: controller.signal })
  if (!response.ok) throw new Error(String(response.status))
  const decoder = new TextDecoder()
  let buffer = ''
  let event = ''
  for await (const chunk of response.body!) {
    buffer += decoder.decode(chunk, { stream: true })
    const lines = buffer.split('\n')
    buffer = lines.pop()!
    for (const line of lines) {
      if (line.startsWith('event: ')) event = line.slice(7)
      if (line.startsWith('data: ')) onData(line.slice(6), event)
      if (line === '') event = ''
    }
  }
}

/** A stream that says what it is told to. */
async function startCrawl(): Promise<{
  server: TestServer
  url: string
  streams: ServerResponse[]
  say(text: string): void
}> {
  const streams: ServerResponse[] = []
  const server = await startServer((_, response) => void streams.push(startStream(response)))
  const say = (text: string): void => {
    for (const stream of streams) stream.write(text)
  }
  return { server, url: server.url('/api/crawl/7/stream'), streams, say }
}

beforeEach(() => {
  vi.spyOn(console, 'warn').mockImplementation(() => {})
})

afterEach(async () => {
  for (const clean of cleanups.splice(0)) clean()
  vi.restoreAllMocks()
  await closeServers()
})

describe('13: the old URL', () => {
  const nobody = () => startServer((_, response) => response.writeHead(404).end())

  test('is asked again and again in silence, and the page shows nothing', async () => {
    const server = await nobody()
    const shown: string[] = []
    let isOver = false
    cleanups.push(() => {
      isOver = true
    })
    const connect = (): unknown =>
      readNaively(server.url('/api/stream/7'), (data) => shown.push(data)).catch(
        () => isOver || setTimeout(connect, 10),
      )
    connect()
    await until(() => server.requests.length > 10)
    expect(shown).toEqual([])
  })

  test('fails at once on Millrace, with the endpoint and what to check', async () => {
    const server = await nobody()
    const { client } = makeClient()
    const errors: string[] = []
    const subscription = client.subscribe(server.url('/api/stream/7?token=secret'), {
      error: ({ message }) => errors.push(message),
    })
    await until(() => errors.length === 1)
    expect(errors).toEqual([`GET ${server.origin}/api/stream/7 answered 404: no such URL.`])
    expect(subscription.state).toMatchObject({ status: 'failed', error: { code: 'http', status: 404 } })
    await wait(100)
    expect(server.requests).toHaveLength(1)
    expect(client.stats().timers).toEqual([])
  })
})

describe('14: completion announced by several workers', () => {
  const announce = `event: progress\ndata: {"done":2}\n\n${'event: done\ndata: {"done":2}\n\n'.repeat(3)}`

  test('is shown several times', async () => {
    const { url, say, streams } = await startCrawl()
    let completions = 0
    readNaively(url, (_, event) => {
      if (event === 'done') completions += 1
    }).catch(() => {})
    await until(() => streams.length === 1)
    say(announce)
    await until(() => completions === 3)
  })

  test('is shown once on Millrace, and the connection is left', async () => {
    const { url, say, streams, server } = await startCrawl()
    const { client } = makeClient()
    const seen: string[] = []
    const channel = defineChannel<unknown, StreamEvent>({
      key: 'crawl 7',
      stream: url,
      until: ({ type }) => type === 'done',
    })
    const observe = (name: string) =>
      client.subscribe(channel, {
        next: ({ type }) => seen.push(`${name} ${type}`),
        complete: () => seen.push(`${name} is complete`),
      })
    observe('a')
    await until(() => streams.length === 1)
    say(announce)
    await until(() => server.openStreams === 0)
    expect(seen).toEqual(['a progress', 'a done', 'a is complete'])
    // Whoever comes late hears that it is over, and opens nothing.
    observe('b')
    await until(() => seen.includes('b is complete'))
    expect(server.requests).toHaveLength(1)
  })
})

describe('15: a map of throttle timers', () => {
  test('keeps an entry for every crawl that was ever begun', () => {
    const throttles = new Map<string, number>()
    const progress = (crawl: string, now: number): boolean => {
      if (now - (throttles.get(crawl) ?? Number.NEGATIVE_INFINITY) < 500) return false
      throttles.set(crawl, now)
      return true
    }
    for (let crawl = 0; crawl < 1_000; crawl += 1) progress(String(crawl), crawl)
    expect(throttles.size).toBe(1_000)
  })

  test('is nothing on Millrace: no timer, socket or entry outlives its crawl', async () => {
    const { server } = await startCrawl()
    const { client } = makeClient()
    for (let crawl = 0; crawl < 40; crawl += 1) {
      const channel = defineChannel<unknown, StreamEvent>({
        key: ['crawl', crawl],
        stream: server.url(`/api/crawl/${crawl}/stream`),
        grace: 0,
      })
      const subscription = client.subscribe(channel, {}, { delivery: 'frame' })
      await until(() => subscription.state.status === 'live')
      subscription.unsubscribe()
    }
    await until(() => server.openStreams === 0)
    expect(client.stats()).toMatchObject({
      channels: [],
      timers: [],
      subscriptions: { active: 0, total: 40 },
      memory: 0,
    })
  })
})

describe('16: counts that go backwards', () => {
  const at = (n: number): string => `id: ${n}\ndata: {"n":${n},"done":${n}}\n\n`

  test('are what a page shows that takes events as they come', async () => {
    const { url, say, streams } = await startCrawl()
    const shown: number[] = []
    readNaively(url, (data) => shown.push(JSON.parse(data).done)).catch(() => {})
    await until(() => streams.length === 1)
    say(at(1) + at(3) + at(2) + at(4))
    await until(() => shown.length === 4)
    expect(shown).toEqual([1, 3, 2, 4])
  })

  test('never do on Millrace with `sequence`', async () => {
    const { url, say, streams } = await startCrawl()
    const { client } = makeClient()
    const shown: number[] = []
    const channel = defineChannel<{ done: number }, StreamEvent>({
      key: 'crawl 7',
      stream: url,
      sequence: ({ data }) => data.n,
    })
    client.subscribe(channel, { next: ({ data }) => shown.push(data.done) })
    await until(() => streams.length === 1)
    say(at(1) + at(3) + at(2) + at(2) + at(5) + at(4))
    await until(() => shown.length === 5)
    expect(shown).toEqual([1, 2, 3, 4, 5])
    expect(client.stats().channels[0]).toMatchObject({ outOfOrder: 2, duplicates: 1 })
  })

  test('do not when a snapshot comes late: older never overwrites newer', async () => {
    let held: ServerResponse | undefined
    let stream: ServerResponse | undefined
    const server = await startServer(({ url }, response) => {
      if (url === '/stream') stream = startStream(response)
      else held = response
    })
    const { client } = makeClient()
    const channel = defineChannel<{ done: number }, StreamEvent>({
      key: 'crawl 7',
      stream: server.url('/stream'),
      snapshot: server.url('/snapshot'),
    })
    const shown: number[] = []
    client.subscribe(channel, { state: ({ data }) => void (data && shown.push(data.done)) })
    await until(() => stream && held)
    stream!.write(at(4) + at(5))
    await wait(20)
    // The snapshot stands at 4: it knows nothing of 5.
    held!.writeHead(200, { 'content-type': 'application/json', 'last-event-id': '4' }).end('{"n":4,"done":4}')
    await until(() => client.getState(channel).data?.done === 5)
    expect(shown).toEqual([...shown].sort((a, b) => a - b))
    expect(shown.at(-1)).toBe(5)
  })
})

describe('17: events faster than the client takes them', () => {
  const burst = Array.from({ length: 5_000 }, (_, n) => `data: ${n}\n\n`).join('')

  test('are a render each', async () => {
    const { url, say, streams } = await startCrawl()
    let renders = 0
    readNaively(url, () => {
      renders += 1
    }).catch(() => {})
    await until(() => streams.length === 1)
    say(burst)
    await until(() => renders === 5_000)
  })

  test('are a few batches on Millrace, and all of them are in there', async () => {
    const { url, say, streams } = await startCrawl()
    const { client } = makeClient()
    const batches: number[][] = []
    client.subscribe(
      url,
      { batch: (events) => void batches.push(events.map(({ data }) => data as number)) },
      { delivery: 'frame' },
    )
    await until(() => streams.length === 1)
    say(burst)
    await until(() => batches.flat().length === 5_000)
    expect(batches.length).toBeLessThan(100)
    expect(batches.flat()).toEqual(Array.from({ length: 5_000 }, (_, n) => n))
  })

  test('fill a bounded buffer for a slow loop, and what is dropped is counted and told', async () => {
    const { url, say, streams } = await startCrawl()
    const { client, alerts } = makeClient()
    const channel = defineChannel<unknown, StreamEvent>({ key: 'crawl 7', stream: url })
    const taken: number[] = []
    const slow = (async () => {
      for await (const { data } of client.events(channel, { buffer: 100 })) {
        taken.push(data)
        if (taken.length === 1) await until(() => client.stats().channels[0]!.overflowed >= 4_899)
        if (data === 4_999) break
      }
    })()
    await until(() => streams.length === 1)
    say(burst)
    await slow
    expect(taken.length).toBeLessThanOrEqual(102)
    expect(taken.at(-1)).toBe(4_999)
    expect(alerts).toMatchObject([{ code: 'overflow', channel: 'crawl 7' }])
  })
})

describe('18: fallback before reconnection', () => {
  async function startFlaky() {
    const mill = { isDown: false, streams: 0, polls: 0, open: new Set<ServerResponse>() }
    const server = await startServer(({ url }, response) => {
      if (url === '/stream') {
        mill.streams += 1
        if (mill.isDown) return void response.socket?.resetAndDestroy()
        startStream(response).write(': hello\n\n')
        mill.open.add(response)
        response.once('close', () => mill.open.delete(response))
      } else {
        mill.polls += 1
        response.setHeader('content-type', 'application/json').end(`{"n":${mill.polls}}`)
      }
    })
    const drop = (): void => {
      for (const stream of mill.open) stream.socket?.resetAndDestroy()
    }
    return { server, mill, drop }
  }

  test('polls for ever after the first error, though the stream would be back', async () => {
    const { server, mill, drop } = await startFlaky()
    readNaively(server.url('/stream'), () => {}).catch(() => {
      const timer = setInterval(() => fetch(server.url('/snapshot')).catch(() => {}), 5)
      cleanups.push(() => clearInterval(timer))
    })
    await until(() => mill.open.size === 1)
    drop()
    await until(() => mill.polls > 50)
    expect(mill.streams).toBe(1)
  })

  test('reconnects first on Millrace, polls after three failures, and stops the moment the stream is back', async () => {
    const { server, mill, drop } = await startFlaky()
    const { client } = makeClient({ backoff: { base: 20, cap: 100, resetAfter: 0 } })
    const channel = defineChannel<{ n: number }, StreamEvent>({
      key: 'crawl 7',
      stream: server.url('/stream'),
      snapshot: server.url('/snapshot'),
      interval: 200,
    })
    const statuses: string[] = []
    const subscription = client.subscribe(channel, {
      state({ status }) {
        if (statuses.at(-1) !== status) statuses.push(status)
      },
    })
    await until(() => subscription.state.status === 'live' && subscription.state.data)
    drop()
    await until(() => mill.streams === 2 && subscription.state.status === 'live')
    expect(statuses).not.toContain('polling')

    mill.isDown = true
    drop()
    await until(() => subscription.state.status === 'polling')
    // The drop, and two attempts that failed: three in a row.
    expect(mill.streams).toBeGreaterThanOrEqual(4)
    await until(() => mill.polls >= 4)
    mill.isDown = false
    await until(() => subscription.state.status === 'live')
    const { polls } = mill
    await wait(500)
    // One more at most: the resync from the snapshot.
    expect(mill.polls - polls).toBeLessThanOrEqual(1)
    expect(client.stats().timers.some(({ label }) => label.startsWith('poll'))).toBe(false)
  })
})

describe('19: three formats for the same thing', () => {
  const formats = [
    'event: progress\ndata: {"done":1,"total":3}\n\n',
    'data: {"type":"progress","data":{"done":2,"total":3}}\n\n',
    'data: {"event":"progress","done":3,"total":3}\n\n',
    'data: {"progress":{"done":4,"total":3}}\n\n',
  ]

  test('are one for a page that knows one of them', async () => {
    const { url, say, streams } = await startCrawl()
    const shown: (number | undefined)[] = []
    readNaively(url, (data) => shown.push((JSON.parse(data) as { data?: Progress }).data?.done)).catch(() => {})
    await until(() => streams.length === 1)
    say(formats.join(''))
    await until(() => shown.length === 4)
    expect(shown).toEqual([undefined, 2, undefined, undefined])
  })

  test('are one typed event on Millrace, and what fits no schema is counted and told', async () => {
    const { url, say, streams } = await startCrawl()
    const { client, alerts } = makeClient()
    const channel = defineChannel({
      key: 'crawl 7',
      stream: url,
      events: { progress: z.object({ done: z.number(), total: z.number() }), failed: z.object({ reason: z.string() }) },
    })
    const shown: number[] = []
    client.subscribe(channel, (event) => {
      // A discriminated union: `done` is known to be a number here, and nowhere else.
      if (event.type === 'progress') shown.push(event.data.done)
    })
    await until(() => streams.length === 1)
    say(formats.join(''))
    say('event: progress\ndata: {"done":"many"}\n\nevent: unheard\ndata: {}\n\n')
    say('event: progress\ndata: {"done":5,"total":5}\n\n')
    await until(() => shown.length === 5)
    expect(shown).toEqual([1, 2, 3, 4, 5])
    expect(client.stats().channels[0]).toMatchObject({ invalid: 1, ignored: 1 })
    expect(alerts).toMatchObject([{ code: 'invalid-event', channel: 'crawl 7' }])
    expect(alerts[0]!.message).not.toContain('many')
  })
})

describe('20: a worker dies, and the page says "processing" for ever', () => {
  test('because nobody notices silence', async () => {
    const { url, say, streams } = await startCrawl()
    let status = 'connecting'
    readNaively(url, () => {
      status = 'processing'
    }).catch(() => {
      status = 'failed'
    })
    await until(() => streams.length === 1)
    say('data: {"done":1}\n\n')
    await until(() => status === 'processing')
    await wait(400)
    expect(status).toBe('processing')
  })

  test('has a status with a way out on Millrace: silence reconnects, and an error is a terminal event', async () => {
    const { url, say, streams } = await startCrawl()
    const { client } = makeClient({ backoff: { base: 10, cap: 10 } })
    const seen: string[] = []
    const channel = defineChannel<unknown, StreamEvent>({
      key: 'crawl 7',
      stream: url,
      idleTimeout: 150,
      until: ({ type }) => type === 'failed',
    })
    const codes = new Set<string>()
    const subscription = client.subscribe(channel, {
      next: ({ type }) => seen.push(type),
      state: ({ error }) => error && codes.add(error.code),
    })
    await until(() => streams.length === 1)
    say('id: 1\nevent: progress\ndata: {"done":1}\n\n')
    await until(() => streams.length === 2, 'a new connection after the silence')
    expect([...codes]).toEqual(['idle'])
    streams[1]!.write('id: 2\nevent: failed\ndata: {"reason":"out of memory"}\n\n')
    await until(() => subscription.state.status === 'complete')
    expect(seen).toEqual(['progress', 'failed'])
    expect(subscription.state.data).toEqual({ reason: 'out of memory' })
  })
})

describe('21: the whole progress at every step', () => {
  const PAGES = 300

  test('costs as many bytes as there are steps times pages', async () => {
    const { url, say, streams } = await startCrawl()
    let bytes = 0
    let steps = 0
    readNaively(url, (data) => {
      bytes += data.length
      steps += 1
    }).catch(() => {})
    await until(() => streams.length === 1)
    const pages: string[] = []
    for (let n = 0; n < PAGES; n += 1) {
      pages.push(`https://docs.test/page/${n}`)
      say(`data: ${JSON.stringify({ pages })}\n\n`)
    }
    await until(() => steps === PAGES)
    expect(bytes).toBeGreaterThan(1_000_000)
  })

  test('is a snapshot once on Millrace, and then what has changed', async () => {
    const journal = await startJournal({
      snapshot: (events) => ({ pages: events.map(({ data }) => (data as { page: string }).page) }),
      fresh: 'new',
    })
    const { client } = makeClient()
    for (let n = 0; n < PAGES / 2; n += 1) journal.append({ page: `https://docs.test/page/${n}` })
    const channel = defineChannel<readonly string[], StreamEvent>({
      key: 'crawl 7',
      stream: journal.streamUrl,
      snapshot: journal.snapshotUrl,
      fromSnapshot: (body) => (body as { pages: string[] }).pages,
      reduce: (pages, { data }) => [...pages, data.page],
    })
    const subscription = client.subscribe(channel, {})
    await until(() => subscription.state.status === 'live')
    let bytes = 0
    client.on('event', ({ event }) => {
      bytes += JSON.stringify(event.data).length
    })
    for (let n = PAGES / 2; n < PAGES; n += 1) journal.append({ page: `https://docs.test/page/${n}` })
    await until(() => subscription.state.data?.length === PAGES)
    expect(subscription.state.data).toEqual(Array.from({ length: PAGES }, (_, n) => `https://docs.test/page/${n}`))
    expect(bytes).toBeLessThan(10_000)
    expect(journal.server.requests.filter(({ url }) => url === '/snapshot')).toHaveLength(1)
  })
})

describe('24: a fixed throttle of 500 ms', () => {
  test('shows a small crawl late, and drops its last step', () => {
    const clock = { now: 0 }
    const shown: { done: number; at: number }[] = []
    let last = Number.NEGATIVE_INFINITY
    const throttled = (done: number): void => {
      if (clock.now - last < 500) return
      last = clock.now
      shown.push({ done, at: clock.now })
    }
    for (let done = 1; done <= 4; done += 1) {
      throttled(done)
      clock.now += 100
    }
    expect(shown).toEqual([{ done: 1, at: 0 }])
  })

  test('is nothing on Millrace: each event at once, or what came since the last frame', async () => {
    const clock = createTestClock()
    let controller: ReadableStreamDefaultController<Uint8Array> | undefined
    const body = () =>
      new ReadableStream<Uint8Array>({
        start(own) {
          controller = own
        },
      })
    const { client } = makeClient({
      clock,
      fetch: async () => new Response(body(), { headers: { 'content-type': 'text/event-stream' } }),
    })
    const each: { done: number; after: number }[] = []
    const frames: { done: number[]; after: number }[] = []
    let saidAt = 0
    client.subscribe('http://mill.test/stream', ({ data }) => {
      each.push({ done: (data as Progress).done, after: clock.now() - saidAt })
    })
    client.subscribe(
      'http://mill.test/stream',
      {
        batch: (events) =>
          void frames.push({ done: events.map(({ data }) => (data as Progress).done), after: clock.now() - saidAt }),
      },
      { delivery: 'frame' },
    )
    await clock.advance(0)
    for (let done = 1; done <= 4; done += 1) {
      saidAt = clock.now()
      controller!.enqueue(new TextEncoder().encode(`data: {"done":${done}}\n\n`))
      await clock.advance(100)
    }
    expect(each).toEqual([1, 2, 3, 4].map((done) => ({ done, after: 0 })))
    expect(frames.map(({ done }) => done)).toEqual([[1], [2], [3], [4]])
    for (const { after } of frames) expect(after).toBeLessThanOrEqual(16)
  })
})
