import { type ChannelState, defineChannel, type StreamEvent } from 'millrace'
import { afterEach, describe, expect, test } from 'vitest'
import { block, closeClients, fast, json, startClient, startFeed, startStill, watch } from '../behaviour/channels/watch'
import { closeServers, type Handler, startServer, startStream } from '../support/http-server'
import { until, within } from '../support/until'

afterEach(closeClients)
afterEach(closeServers)

const answering =
  (code: number, headers: Record<string, string> = {}, body = 'hello'): Handler =>
  (_, response) =>
    response.writeHead(code, headers).end(body)
const html = { 'content-type': 'text/html' }
const stream = { 'content-type': 'text/event-stream' }

/** Every way to misbehave, and what must come of it for a stream and for a snapshot. */
type Fate = 'retries' | 'fails' | 'completes' | 'goes on'
const rows: { does: string; answer: Handler; stream: Fate; snapshot: Fate }[] = [
  ...[400, 403, 404, 405, 406, 410, 422, 451].map((code) => ({
    does: `answers ${code}`,
    answer: answering(code),
    stream: 'fails' as const,
    snapshot: 'fails' as const,
  })),
  ...[408, 425, 429, 500, 502, 503, 504].map((code) => ({
    does: `answers ${code}`,
    answer: answering(code),
    stream: 'retries' as const,
    snapshot: 'retries' as const,
  })),
  { does: 'answers 401', answer: answering(401), stream: 'fails', snapshot: 'fails' },
  { does: 'answers 201', answer: answering(201, stream), stream: 'fails', snapshot: 'retries' },
  { does: 'answers 204', answer: answering(204, {}, ''), stream: 'completes', snapshot: 'goes on' },
  { does: 'answers with a page', answer: answering(200, html), stream: 'fails', snapshot: 'retries' },
  { does: 'answers with no content type', answer: answering(200), stream: 'fails', snapshot: 'retries' },
  { does: 'answers with nothing', answer: answering(200, stream, ''), stream: 'retries', snapshot: 'retries' },
  {
    does: 'breaks off within a body',
    answer: (_, response) => {
      response.writeHead(200, stream)
      response.write('{"n":', () => response.socket?.resetAndDestroy())
    },
    stream: 'retries',
    snapshot: 'retries',
  },
  {
    does: 'hangs up',
    answer: (_, response) => response.socket?.resetAndDestroy(),
    stream: 'retries',
    snapshot: 'retries',
  },
  {
    does: 'speaks no HTTP',
    answer: (_, response) => response.socket?.end('220 smtp ready\r\n'),
    stream: 'retries',
    snapshot: 'retries',
  },
  { does: 'redirects to itself', answer: answering(302, { location: '/' }), stream: 'retries', snapshot: 'retries' },
  {
    does: 'sends an event beyond all bounds',
    answer: (_, response) => startStream(response).write(`data: ${'x'.repeat(5_000)}`),
    stream: 'retries',
    snapshot: 'retries',
  },
]

/** A status that is no dead end: it says what is the matter, and what comes next. */
function wayOut({ status, error, retryAt, pausedBy, attempt }: ChannelState<unknown>): string {
  if (error) {
    // A sentence that names the endpoint, says what happened and, after the colon or the stop, what to do.
    expect(error.message).toMatch(/^(GET|POST) http:\/\/127\.0\.0\.1:\d+\/\S* .+[:.] .+\.$/)
    expect(error.message).not.toMatch(/undefined|\[object|hello/)
  }
  switch (status) {
    case 'live':
    case 'complete':
      return 'fine'
    case 'failed':
      expect(error).toBeDefined()
      expect(retryAt).toBeUndefined()
      return 'fails'
    case 'paused':
      expect(pausedBy).toBeDefined()
      return 'paused'
    case 'reconnecting':
      expect(error).toBeDefined()
      expect(retryAt).toBeTypeOf('number')
      expect(attempt).toBeGreaterThan(0)
      return 'retries'
    case 'polling':
      return 'polls'
    default:
      return 'on its way'
  }
}

describe.each(rows)('a server that $does', (row) => {
  test('leaves a stream with a name and a way out', async () => {
    const server = await startServer(row.answer)
    const { client } = startClient()
    const channel = defineChannel({ key: 's', stream: server.url(), maxEventBytes: 1_000, idleTimeout: 100 })
    const watched = watch(client, channel)
    const expected = row.stream === 'completes' ? 'complete' : row.stream === 'fails' ? 'failed' : 'reconnecting'
    await until(() => watched.statuses.includes(expected), expected)
    const fates = watched.states.map(wayOut)
    if (row.stream === 'fails') expect(watched.errors).toHaveLength(1)
    else expect(fates).not.toContain('fails')
    if (row.stream === 'retries') await until(() => server.requests.length >= 2, 'another attempt')
  })

  test('leaves a snapshot with a name and a way out', async () => {
    const server = await startServer(row.answer)
    const { client } = startClient()
    const channel = defineChannel({ key: 's', snapshot: server.url(), interval: 200 })
    const watched = watch(client, channel)
    // What never finishes its body is given up by a timeout, which is told of elsewhere.
    if (row.does.includes('beyond all bounds')) return expect(wayOut(watched.state)).toBe('on its way')
    // Nothing new is no error, however often the server says so.
    if (row.snapshot === 'goes on') {
      await until(() => server.requests.length >= 2, 'another poll')
      return expect(watched.state.error).toBeUndefined()
    }
    await until(() => watched.state.error !== undefined, 'an error')
    const fates = watched.states.map(wayOut)
    expect(fates.at(-1)).toBe(row.snapshot === 'fails' ? 'fails' : 'retries')
    if (row.snapshot === 'retries' && !row.does.includes('redirects'))
      await until(() => server.requests.length >= 2, 'another attempt')
  })
})

describe('a server that says nothing', () => {
  test('is given up after 15 s by snapshots; streams wait as an EventSource would, and say so', async () => {
    const server = await startServer(() => {})
    const { client, clock } = startStill()
    const watched = [
      watch(client, server.url('/stream')),
      watch(client, defineChannel({ key: 'snapshot', snapshot: server.url('/snapshot') })),
    ]
    await clock.advance(0)
    await until(() => server.requests.length === 2)
    await clock.advance(14_999)
    expect(watched.map(({ state }) => state.status)).toEqual(['connecting', 'connecting'])
    await clock.advance(1)
    await until(() => watched[1]!.state.status === 'reconnecting')
    expect(wayOut(watched[1]!.state)).toBe('retries')
    expect(watched[0]!.state.status).toBe('connecting')
    for (const { state } of watched) expect(state.error).toMatchObject({ code: 'timeout', retryable: true })
  })

  test('is given up by a stream too, after the `connectTimeout` that its channel names', async () => {
    const server = await startServer(() => {})
    const { client, clock } = startStill()
    const watched = watch(client, defineChannel({ key: 'impatient', stream: server.url(), connectTimeout: 20_000 }))
    await clock.advance(0)
    await until(() => server.requests.length === 1)
    await clock.advance(20_000)
    await until(() => watched.state.status === 'reconnecting')
    expect(watched.state.error).toMatchObject({ code: 'timeout', message: expect.stringContaining('within 20000 ms') })
    expect(wayOut(watched.state)).toBe('retries')
  })

  test('after its headers is given up too: a body that never ends has a timeout', async () => {
    const server = await startServer((_, response) => {
      response.writeHead(200, { 'content-type': 'application/json' })
      response.write('{"n":')
    })
    const { client, clock } = startStill()
    const watched = watch(client, defineChannel({ key: 'snapshot', snapshot: server.url() }))
    await clock.advance(0)
    await until(() => server.requests.length === 1)
    await clock.advance(15_000)
    await until(() => watched.state.status === 'reconnecting')
    expect(watched.state.error).toMatchObject({ code: 'timeout' })
  })
})

describe('no promise is left pending', () => {
  const hanging = () => startServer(() => {})
  const halting: Handler = (_, response) => {
    response.writeHead(200, { 'content-type': 'application/json' })
    response.write('{"n":')
  }

  test.each(['close', 'disable'] as const)('by %s(), whatever was asked', async (how) => {
    const server = await startServer(({ url }, response, raw) => {
      if (url.startsWith('/halts')) return halting(undefined as never, response, raw)
      if (url.startsWith('/fails')) return response.writeHead(503).end()
    })
    const { client } = startStill({ limits: { concurrency: 2 } })
    const snapshot = defineChannel({ key: 'snapshot', snapshot: server.url('/snapshot') })
    const streamed = defineChannel<unknown, StreamEvent>({ key: 'stream', stream: server.url('/stream') })
    watch(client, snapshot)
    const iterator = client.events(streamed)
    const asked: Record<string, Promise<unknown>> = {
      fetch: client.fetch(server.url('/fetch')),
      'fetch that is shared': client.fetch(server.url('/fetch')),
      'fetch of a body': client.fetch(server.url('/halts')).then((response) => response.text()),
      'fetch that waits for a slot': client.fetch(server.url('/fetch'), { method: 'POST' }),
      'and another one': client.fetch(server.url('/fetch'), { method: 'POST' }),
      json: client.json(server.url('/json')),
      'json of a body': client.json(server.url('/halts?json')),
      'json that is tried again': client.json(server.url('/fails'), {}, { retry: 5 }),
      refresh: client.refresh(snapshot),
    }
    if (how === 'close') asked.next = iterator.next()
    await until(() => server.requests.length >= 7)
    await until(() => client.stats().timers.some(({ label }) => label.startsWith('retry ')))

    client[how]()
    const code = how === 'close' ? 'closed' : 'disabled'
    for (const [name, promise] of Object.entries(asked)) {
      const outcome = await within(
        3_000,
        promise.then(
          (value) => ({ value }),
          (error: unknown) => ({ error }),
        ),
        name,
      )
      if (name === 'refresh') continue
      expect({ name, outcome }).toEqual({ name, outcome: { error: expect.objectContaining({ code }) } })
    }
    // And whoever asks from now on is told at once.
    await expect(within(1_000, client.json(server.url('/json')), 'json')).rejects.toMatchObject({ code })
    await expect(within(1_000, client.fetch(server.url('/json')), 'fetch')).rejects.toMatchObject({ code })
    await expect(within(1_000, client.refresh(snapshot), 'refresh')).rejects.toMatchObject({ code })
  })

  test('by a refresh whose subscriber leaves', async () => {
    const server = await hanging()
    const { client, clock } = startStill()
    const channel = defineChannel({ key: 'left', snapshot: server.url() })
    const watched = watch(client, channel)
    await clock.advance(0)
    await until(() => server.requests.length === 1)
    const refreshed = client.refresh(channel)
    watched.unsubscribe()
    await clock.advance(1_000)
    await within(3_000, refreshed, 'the refresh')
  })

  test('by another identity', async () => {
    const server = await hanging()
    const { client } = startStill({ identity: 'anna' })
    const channel = defineChannel({ key: 'mine', snapshot: server.url('/snapshot') })
    watch(client, channel)
    const asked = [client.json(server.url('/json')), client.fetch(server.url('/fetch')), client.refresh(channel)]
    await until(() => server.requests.length >= 3)
    client.setIdentity('ben')
    await within(3_000, Promise.allSettled(asked), 'all of them')
    await expect(asked[0]).rejects.toMatchObject({ code: 'aborted' })
  })
})

describe('a target that fails before it is asked', () => {
  test.each([
    ['a header function that throws', (url: string) => ({ url, headers: () => Promise.reject(new Error('no token')) })],
    [
      'a body function that throws',
      (url: string) => ({ url, method: 'POST', body: () => Promise.reject(new Error('no body')) }),
    ],
    ['a target function that throws', () => () => Promise.reject(new Error('no URL'))],
    [
      'a target function that never ends',
      () =>
        function again(): never {
          return again as never
        },
    ],
    ['a header that is none', (url: string) => ({ url, headers: () => ({ 'bad header': 'x' }) })],
  ])('%s leaves a name and a way out', async (_, target) => {
    const server = await startServer(json({}))
    const { client } = startClient()
    for (const options of [{ stream: target(server.url()) }, { snapshot: target(server.url()) }]) {
      const watched = watch(client, defineChannel({ key: ['broken', Object.keys(options)], ...options } as never))
      await until(() => watched.state.error !== undefined)
      const { status, error, retryAt } = watched.state
      expect(['failed', 'reconnecting']).toContain(status)
      expect(error!.code).toMatch(/^(network|config|callback)$/)
      if (status === 'reconnecting') expect(retryAt).toBeTypeOf('number')
      expect(error!.cause ?? error).toBeInstanceOf(Error)
    }
    expect(server.requests).toEqual([])
  })

  test('`headers` of the client that throw do so too', async () => {
    const server = await startServer(json({}))
    const { client } = startClient({
      headers: () => {
        throw new Error('no token')
      },
    })
    const watched = watch(client, server.url())
    await until(() => watched.state.error !== undefined)
    expect(watched.state).toMatchObject({ status: 'reconnecting', error: { code: 'callback' } })
    await expect(within(2_000, client.json(server.url()), 'json')).rejects.toThrow()
  })
})

test('health says what is wrong, and that nothing is', async () => {
  const feed = await startFeed()
  const { client } = startClient({ backoff: { ...fast, base: 60_000, cap: 60_000 } })
  expect(client.health()).toEqual({ status: 'healthy', reasons: [] })
  const watched = watch(client, feed.streamUrl)
  await until(() => watched.state.status === 'live')
  expect(client.health().status).toBe('healthy')
  feed.write(block(1))
  feed.drop()
  await until(() => watched.state.status === 'reconnecting')
  expect(client.health()).toMatchObject({ status: 'degraded', reasons: [expect.stringContaining('reconnecting')] })
  const gone = watch(client, feed.server.url('/snapshot'))
  await until(() => gone.state.status === 'failed')
  expect(client.health()).toMatchObject({
    status: 'unhealthy',
    reasons: expect.arrayContaining([expect.stringContaining('404')]),
  })
  client.disable()
  expect(client.health().reasons).toContain('disabled')
})
