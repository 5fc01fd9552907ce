import { defineChannel } from 'millrace'
import { expect, test } from 'vitest'
import { page, startClient, startFeed, startStill, watch } from '../behaviour/channels/watch'
import { type Handler, startServer, startStream } from '../support/http-server'
import { until } from '../support/until'
import { bomb } from './bomb'
import { expectNothingReported } from './nothing-reported'

const MEGABYTES = Number(process.env.MEGABYTES ?? 200)

expectNothingReported()

const memory = (): number => process.memoryUsage().heapUsed + process.memoryUsage().arrayBuffers

test('a snapshot that unpacks to hundreds of megabytes is refused at 32', async () => {
  let answered = 0
  const server = await startServer((_, response) => {
    answered += 1
    bomb(response.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' }), '"', MEGABYTES)
  })
  const { client } = startClient()
  const before = memory()
  const watched = watch(client, defineChannel({ key: 'bomb', snapshot: server.url('/bomb') }))
  await until(() => watched.errors.length > 0, { what: 'an error', within: 30_000 })
  expect(watched.errors).toMatchObject([
    { code: 'too-large', retryable: false, endpoint: `GET ${server.url('/bomb')}` },
  ])
  expect(watched.errors[0]!.message).toContain('over 32 MiB: ask for less at once')
  expect(watched.state.status).toBe('failed')
  expect(memory() - before).toBeLessThan(120e6)
  await until(() => server.openStreams === 0)
  await expect(client.json(server.url('/bomb'))).rejects.toMatchObject({ code: 'too-large' })
  expect(answered).toBe(2)
  expect(client.stats()).toMatchObject({ timers: [], memory: 0 })
}, 60_000)

test('a stream that unpacks to hundreds of megabytes is refused at one', async () => {
  const server = await startServer((_, response) =>
    bomb(startStream(response, { 'content-encoding': 'gzip' }), 'data: ', MEGABYTES),
  )
  const { client } = startClient({ backoff: { base: 30_000, cap: 30_000 } })
  const before = memory()
  const watched = watch(client, server.url())
  await until(() => watched.state.error, { what: 'an error', within: 30_000 })
  expect(watched.state).toMatchObject({ status: 'reconnecting', error: { code: 'too-large' } })
  expect(memory() - before).toBeLessThan(60e6)
  await until(() => server.openStreams === 0)
}, 60_000)

test('a snapshot that never ends is cut off, and asked for again with backoff', async () => {
  const drops: NodeJS.Timeout[] = []
  const server = await startServer((_, response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).write('[')
    drops.push(setInterval(() => response.write('1,'), 5))
  })
  const { client, clock } = startStill()
  const watched = watch(client, defineChannel({ key: 'endless', snapshot: server.url() }))
  await until(async () => {
    await clock.advance(0)
    return drops.length > 0
  })
  await clock.advance(15_000)
  await until(async () => {
    await clock.advance(0)
    return watched.state.error
  })
  expect(watched.state).toMatchObject({ status: 'reconnecting', error: { code: 'timeout' }, attempt: 1 })
  expect(watched.state.retryAt).toBeGreaterThan(clock.now())
  await until(() => server.openStreams === 0)
  for (const drop of drops) clearInterval(drop)
})

const kinds: [string, Handler, string, RegExp][] = [
  ['a page of a login', page, 'invalid-body', /is not JSON \(text\/html\): a login page/],
  ['half a body', (_, response) => response.writeHead(200).end('{"a":'), 'invalid-body', /is not JSON/],
  ['nothing', (_, response) => response.writeHead(200).end(), 'invalid-body', /is not JSON/],
  ['NUL bytes', (_, response) => response.writeHead(200).end('\0\0\0'), 'invalid-body', /is not JSON/],
  [
    'redirects without an end',
    ({ url }, response) => response.writeHead(302, { location: `/${Number(url.slice(1)) + 1}` }).end(),
    'network',
    /could not be reached/,
  ],
  [
    '10,000 headers',
    (_, response) => {
      for (let n = 0; n < 10_000; n += 1) response.setHeader(`x-${n}`, 'y')
      response.writeHead(200).end('{}')
    },
    'network',
    /could not be reached/,
  ],
]
test.each(kinds)('a snapshot that is answered with %s is an error with a way out', async (_, answer, code, message) => {
  const server = await startServer(answer)
  const { client } = startClient({ backoff: { base: 30_000, cap: 30_000 } })
  const watched = watch(client, defineChannel({ key: 'odd', snapshot: server.url('/1'), interval: 30_000 }))
  await until(() => watched.state.error)
  expect(watched.state).toMatchObject({
    status: 'reconnecting',
    error: { code, message: expect.stringMatching(message) },
  })
  expect(watched.state.retryAt).toBeGreaterThan(Date.now())
  await expect(client.json(server.url('/2'))).rejects.toMatchObject({ code })
  // A fetch follows twenty redirects.
  expect(server.requests.length).toBeLessThanOrEqual(2 * 21)
})

test('10,000 headers are no reason not to read the body', async () => {
  const headers = new Headers(Array.from({ length: 10_000 }, (_, n) => [`x-${n}`, 'y']))
  const { client } = startClient({ fetch: async () => new Response('{"a":1}', { headers }) })
  const watched = watch(client, defineChannel({ key: 'heads', snapshot: 'https://example.com/' }))
  await until(() => watched.state.data)
  expect(watched.state.data).toEqual({ a: 1 })
})

test('a refusal whose body never ends is let go of', async () => {
  const feed = await startFeed((_, response) => response.writeHead(403).write('x'))
  feed.stream((_, response) => response.writeHead(404).write('x'))
  const { client } = startClient()
  const stream = watch(client, feed.streamUrl)
  const snapshot = watch(client, defineChannel({ key: 'no', snapshot: feed.snapshotUrl }))
  await until(() => stream.errors.length + snapshot.errors.length === 2)
  await until(() => feed.server.openStreams === 0)
  expect(client.stats().timers).toEqual([])
})
