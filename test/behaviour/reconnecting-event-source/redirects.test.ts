import { afterEach, expect, test } from 'vitest'
import { closeServers, startServer, startStream, type TestServer } from '../../support/http-server'
import { until, untilEvent } from '../../support/until'
import { closeSources, type ErrorEventLike, record } from './recorder'

afterEach(closeSources)
afterEach(closeServers)

const redirectTo = (location: string, status = 302): Promise<TestServer> =>
  startServer((_, response) => response.writeHead(status, { location }).end())

test.each([301, 302, 303, 307, 308])('follows a %i', async (status) => {
  const target = await startServer((_, response) => startStream(response).write('data: a\n\n'))
  const moved = await redirectTo(target.url('/new'), status)
  const recording = record(moved.url('/old'))
  await until(() => recording.messages.length > 0)
  expect(recording).toMatchObject({ data: ['a'], errors: [] })
  expect(target.requests[0]).toMatchObject({ method: 'GET', url: '/new' })
  expect(target.requests[0]!.headers.accept).toBe('text/event-stream')
})

test('names the origin that the events came from, and keeps its url', async () => {
  const target = await startServer((_, response) => startStream(response).write('data: a\n\n'))
  const moved = await redirectTo(target.url())
  const { source } = record(moved.url('/old'))
  const event = await untilEvent<MessageEvent>(source, 'message')
  expect(event.origin).toBe(target.origin)
  expect(source.url).toBe(moved.url('/old'))
})

test('asks the first address again at every reconnect, with the last id', async () => {
  const target = await startServer((_, response) => {
    if (target.requests.length === 1) startStream(response).end('id: 1\ndata: a\n\n')
    else startStream(response)
  })
  const moved = await redirectTo(target.url())
  record(moved.url())
  await until(() => target.requests.length === 2)
  expect(moved.requests).toHaveLength(2)
  expect(target.requests[1]!.headers['last-event-id']).toBe('1')
})

test('classifies the answer at the end of the redirects', async () => {
  const gone = await startServer((_, response) => response.writeHead(410).end())
  const moved = await redirectTo(gone.url())
  const { error } = await untilEvent<ErrorEventLike>(record(moved.url()).source, 'error')
  expect(error).toMatchObject({ code: 'http', status: 410 })
})

test('tells a redirect to itself by name, and tries again with backoff: browsers cannot tell it from an outage', async () => {
  const loop = await startServer((_, response) => response.writeHead(302, { location: loop.url('/loop') }).end())
  const recording = record(loop.url('/loop'))
  const { error } = await untilEvent<ErrorEventLike>(recording.source, 'error')
  expect(error).toMatchObject({ code: 'network', retryable: true })
  expect(error!.message).toContain(`GET ${loop.origin}/loop`)
  expect(recording.source.readyState).toBe(recording.source.CONNECTING)
})
