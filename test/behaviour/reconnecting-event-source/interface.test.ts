import { isMillraceError, ReconnectingEventSource } from 'millrace'
import { afterEach, expect, test, vi } from 'vitest'
import { closeServers, startServer, startStream } from '../../support/http-server'
import { until, untilEvent } from '../../support/until'
import { closeSources, type ErrorEventLike, fast, record } from './recorder'

afterEach(closeSources)
afterEach(closeServers)

const streaming = (body: string) => startServer((_, response) => startStream(response).write(body))

test('has the constants of the platform on the class and on the instance', async () => {
  const { source } = record((await streaming('')).url())
  for (const { CONNECTING, OPEN, CLOSED } of [ReconnectingEventSource, source]) {
    expect([CONNECTING, OPEN, CLOSED]).toEqual([0, 1, 2])
  }
})

test('is an event target', async () => {
  const { source } = record((await streaming('')).url())
  expect(source).toBeInstanceOf(EventTarget)
})

test('is connecting, then open, then closed', async () => {
  const server = await streaming(':\n\n')
  const { source } = record(server.url())
  expect(source.readyState).toBe(source.CONNECTING)
  await untilEvent(source, 'open')
  expect(source.readyState).toBe(source.OPEN)
  source.close()
  expect(source.readyState).toBe(source.CLOSED)
})

test('is connecting again while it waits for the next attempt', async () => {
  const server = await startServer((_, response) => startStream(response).end())
  const { source } = record(server.url(), { backoff: { base: 60_000 } })
  await untilEvent(source, 'error')
  expect(source.readyState).toBe(source.CONNECTING)
})

test('opens once for each connection', async () => {
  const server = await startServer((_, response) => {
    startStream(response)
    if (server.requests.length < 3) response.end()
  })
  const recording = record(server.url())
  await until(() => recording.opens === 3)
  expect(recording.errors).toHaveLength(2)
  expect(recording.source.readyState).toBe(recording.source.OPEN)
})

test('resolves its url', async () => {
  const server = await streaming('')
  expect(record(`${server.origin}/a/../b c?d=ü`).source.url).toBe(`${server.origin}/b%20c?d=%C3%BC`)
  expect(record(new URL('/events', server.origin)).source.url).toBe(`${server.origin}/events`)
})

test('throws a SyntaxError for a url that is none', () => {
  expect(() => new ReconnectingEventSource('http://[')).toThrow(expect.objectContaining({ name: 'SyntaxError' }))
})

test('asks for an event stream', async () => {
  const server = await streaming('')
  record(server.url('/events?a=1'))
  await until(() => server.requests.length > 0)
  expect(server.requests[0]).toMatchObject({ method: 'GET', url: '/events?a=1' })
  expect(server.requests[0]!.headers.accept).toBe('text/event-stream')
})

test('sends credentials to other origins only when asked', async () => {
  const asked: (RequestInit | undefined)[] = []
  const spy: typeof fetch = (input, init) => {
    asked.push(init)
    return fetch(input, init)
  }
  const server = await streaming('')
  expect(record(server.url(), { fetch: spy }).source.withCredentials).toBe(false)
  expect(record(server.url(), { fetch: spy, withCredentials: true }).source.withCredentials).toBe(true)
  await until(() => asked.length === 2)
  expect(asked.map((init) => init?.credentials)).toEqual(['same-origin', 'include'])
})

test('calls the handlers onopen, onmessage and onerror with itself as this', async () => {
  const server = await startServer((_, response) => startStream(response).end('data: a\n\n'))
  const { source } = record(server.url(), { backoff: { base: 60_000 } })
  expect([source.onopen, source.onmessage, source.onerror]).toEqual([null, null, null])
  const seen: unknown[] = []
  function handle(this: unknown, event: Event): void {
    seen.push([event.type, this === source, event.target === source])
  }
  source.onopen = handle
  source.onmessage = handle
  source.onerror = handle
  expect(source.onmessage).toBe(handle)
  await untilEvent(source, 'error')
  expect(seen).toEqual([
    ['open', true, true],
    ['message', true, true],
    ['error', true, true],
  ])
})

test('calls a handler that was replaced no more, and none after null', async () => {
  const server = await startServer((_, response) => startStream(response).write('data: a\n\ndata: b\n\ndata: c\n\n'))
  const { source, data } = record(server.url())
  const [first, second] = [vi.fn(), vi.fn()]
  source.onmessage = first
  first.mockImplementation(() => {
    source.onmessage = second
  })
  second.mockImplementation(() => {
    source.onmessage = null
  })
  await untilEvent(source, 'message', { accept: (event) => (event as MessageEvent).data === 'c', state: () => data })
  expect(first).toHaveBeenCalledTimes(1)
  expect(second).toHaveBeenCalledTimes(1)
  expect(source.onmessage).toBeNull()
})

test('keeps the place of a handler among the listeners when it is replaced', async () => {
  const server = await streaming('data: a\n\n')
  const { source } = record(server.url())
  const order: string[] = []
  source.onmessage = () => order.push('replaced')
  source.addEventListener('message', () => order.push('listener'))
  source.onmessage = () => order.push('handler')
  await until(() => order.length > 1)
  expect(order).toEqual(['handler', 'listener'])
})

test('dispatches a named event to its listeners alone', async () => {
  const server = await streaming('event: price\ndata: 1\n\ndata: 2\n\nevent: message\ndata: 3\n\nevent:\ndata: 4\n\n')
  const recording = record(server.url(), {}, ['price'])
  const onmessage = vi.fn()
  recording.source.onmessage = onmessage
  await until(() => recording.messages.length === 4)
  expect(recording.messages.map(({ type, data }) => [type, data])).toEqual([
    ['price', '1'],
    ['message', '2'],
    ['message', '3'],
    ['message', '4'],
  ])
  expect(onmessage).toHaveBeenCalledTimes(3)
})

test('dispatches message events with data, lastEventId and origin', async () => {
  const server = await streaming('id: 7\nevent: price\ndata: {"last":\ndata: 5}\n\n')
  const { source } = record(server.url('/deep/path'))
  const event = await untilEvent<MessageEvent>(source, 'price')
  expect(event).toBeInstanceOf(MessageEvent)
  expect(event).toMatchObject({ type: 'price', data: '{"last":\n5}', lastEventId: '7', origin: server.origin })
  expect([event.bubbles, event.cancelable]).toEqual([false, false])
})

test('takes away a listener that is removed', async () => {
  const server = await streaming('data: a\n\ndata: b\n\n')
  const { source } = record(server.url())
  const seen: string[] = []
  const listener = (event: Event) => {
    seen.push((event as MessageEvent).data)
    source.removeEventListener('message', listener)
  }
  source.addEventListener('message', listener)
  await untilEvent<MessageEvent>(source, 'message', { accept: ({ data }) => data === 'b' })
  expect(seen).toEqual(['a'])
})

test('dispatches an event that the server names error as a message, and stays open', async () => {
  const server = await streaming('event: error\ndata: out of stock\n\ndata: after\n\n')
  const { source } = record(server.url())
  const [named] = await Promise.all([
    untilEvent<MessageEvent & ErrorEventLike>(source, 'error'),
    untilEvent(source, 'message'),
  ])
  expect(named.data).toBe('out of stock')
  expect([named.error, named.retryAt]).toEqual([undefined, undefined])
  expect(source.readyState).toBe(source.OPEN)
})

test('tells in its error events what went wrong and when it tries again', async () => {
  const server = await startServer((_, response) => response.writeHead(503).end())
  const before = Date.now()
  const { source } = record(server.url('/events?token=secret'), { backoff: { ...fast, base: 10_000, cap: 10_000 } })
  const { error, retryAt } = await untilEvent<ErrorEventLike>(source, 'error')
  expect(isMillraceError(error)).toBe(true)
  expect(error).toMatchObject({ code: 'http', status: 503, retryable: true })
  expect(error!.message).toContain(`GET ${server.origin}/events answered 503`)
  expect(error!.message).not.toContain('secret')
  expect(retryAt).toBeGreaterThan(before)
  expect(retryAt).toBeLessThanOrEqual(Date.now() + 10_000)
})

test('tells in its last error event that it does not try again', async () => {
  const server = await startServer((_, response) => response.writeHead(404).end())
  const { source } = record(server.url())
  const event = await untilEvent<ErrorEventLike>(source, 'error')
  expect(event.error).toMatchObject({ code: 'http', status: 404, retryable: false })
  expect(event.retryAt).toBeUndefined()
  expect(source.readyState).toBe(source.CLOSED)
})
