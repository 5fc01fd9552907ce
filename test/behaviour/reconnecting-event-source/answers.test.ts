import type { ServerResponse } from 'node:http'
import { isMillraceError } from 'millrace'
import { afterEach, describe, expect, test } from 'vitest'
import { closeServers, startServer, startStream, type TestServer } from '../../support/http-server'
import { until, untilEvent } from '../../support/until'
import { closeSources, type ErrorEventLike, fast, type Recording, record } from './recorder'

afterEach(closeSources)
afterEach(closeServers)

type Answer = (response: ServerResponse) => unknown

const status =
  (code: number, headers: Record<string, string> = {}): Answer =>
  (response) =>
    response.writeHead(code, headers).end('no')

/** Answers the first request like this, and every later one with a stream. */
async function first(answer: Answer): Promise<{ server: TestServer; recording: Recording }> {
  const server = await startServer((_, response) => {
    if (server.requests.length === 1) return answer(response)
    startStream(response).write('data: back\n\n')
  })
  return { server, recording: record(server.url('/events')) }
}

describe('a final answer', () => {
  test.each([403, 404])('%i is named in its error', async (code) => {
    const { recording, server } = await first(status(code))
    await until(() => recording.errors.length > 0)
    expect(recording.errors[0]).toMatchObject({ code: 'http', status: code, retryable: false, retryAt: undefined })
    expect(recording.errors[0]!.message).toContain(`GET ${server.origin}/events answered ${code}`)
    expect(recording.errors[0]!.readyState).toBe(recording.source.CLOSED)
  })

  test('401 is named unauthorized', async () => {
    const { recording } = await first(status(401))
    await until(() => recording.errors.length > 0)
    expect(recording.errors[0]).toMatchObject({ code: 'unauthorized', status: 401, retryAt: undefined })
    expect(recording.source.readyState).toBe(recording.source.CLOSED)
  })

  test.each([202, 206])('%i, a success that is no stream, is named in its error', async (code) => {
    const answer: Answer = (response) => response.writeHead(code, { 'content-type': 'text/event-stream' }).end()
    const { recording } = await first(answer)
    await until(() => recording.errors.length > 0)
    expect(recording.errors[0]).toMatchObject({ code: 'http', status: code, retryAt: undefined })
    expect(recording.source.readyState).toBe(recording.source.CLOSED)
  })

  test('204 ends it, for the server is done', async () => {
    const { recording } = await first(status(204))
    await until(() => recording.source.readyState === recording.source.CLOSED)
    expect(recording.errors.map(({ retryAt }) => retryAt)).toEqual([undefined])
  })

  test.each(['text/html', ''])('200 with the content type %o is an error that says what was expected', async (type) => {
    const { recording } = await first((response) =>
      response.writeHead(200, type ? { 'content-type': type } : {}).end('hi'),
    )
    await until(() => recording.errors.length > 0)
    expect(recording.errors[0]).toMatchObject({ code: 'content-type', retryAt: undefined })
    expect(recording.errors[0]!.message).toContain('text/event-stream')
    expect(recording.source.readyState).toBe(recording.source.CLOSED)
    expect(recording.opens).toBe(0)
  })
})

describe('a failure that may pass', () => {
  test.each([408, 425, 429, 500, 502, 503, 504, 529])('%i is tried again', async (code) => {
    const { recording } = await first(status(code))
    await until(() => recording.messages.length > 0)
    expect(recording.data).toEqual(['back'])
    expect(recording.errors).toHaveLength(1)
    expect(recording.errors[0]).toMatchObject({ code: 'http', status: code, retryable: true })
    expect(recording.errors[0]!.readyState).toBe(recording.source.CONNECTING)
    expect(recording.errors[0]!.retryAt).toBeTypeOf('number')
  })

  const drops: [name: string, answer: Answer][] = [
    ['a reset before the headers', (response) => response.socket?.resetAndDestroy()],
    ['a connection closed before the headers', (response) => response.socket?.destroy()],
    ['an answer that is not HTTP', (response) => response.socket?.end('\0\x01garbage\r\n\r\n')],
    [
      'a reset after the headers',
      (response) => startStream(response).write(':\n', () => response.socket?.resetAndDestroy()),
    ],
    [
      'a stream cut within a chunk',
      (response) => startStream(response).write('data: half', () => response.socket?.destroy()),
    ],
  ]
  test.each(drops)('%s is tried again', async (_, answer) => {
    const { recording } = await first(answer)
    await until(() => recording.messages.length > 0)
    expect(recording.data).toEqual(['back'])
    expect(recording.errors).toHaveLength(1)
    expect(recording.errors[0]).toMatchObject({ code: 'network', retryable: true })
    expect(recording.errors[0]!.retryAt).toBeTypeOf('number')
  })

  test('is told with what went wrong, without secrets, and with the time of the next attempt', async () => {
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

  test('a redirect to itself is tried again: browsers cannot tell it from an outage', async () => {
    const loop = await startServer((_, response) => response.writeHead(302, { location: '/loop' }).end())
    const recording = record(loop.url('/loop'))
    await until(() => recording.errors.length > 0)
    expect(recording.errors[0]).toMatchObject({ code: 'network', retryable: true, readyState: 0 })
    expect(recording.errors[0]!.message).toContain(`GET ${loop.origin}/loop`)
  })

  test('a server that does not listen is tried again', async () => {
    const server = await startServer((_, response) => startStream(response))
    await server.close()
    const recording = record(server.url())
    await until(() => recording.errors.length >= 3)
    for (const error of recording.errors) expect(error).toMatchObject({ code: 'network', retryable: true })
  })
})

describe('the body of an answer that is not a stream', () => {
  const endless =
    (code: number, type: string): Answer =>
    (response) =>
      response.writeHead(code, { 'content-type': type }).write('more to come')
  test.each([
    [404, 'text/html'],
    [503, 'text/html'],
    [200, 'text/html'],
    [202, 'text/event-stream'],
  ])('%i %s is not read, and its connection is let go', async (code, type) => {
    const { recording, server } = await first(endless(code, type))
    await until(() => recording.errors.length > 0)
    recording.source.close()
    await until(() => server.openStreams, { accept: (open) => open === 0, what: 'no open stream' })
  })

  test('is let go before the next attempt', async () => {
    const { recording, server } = await first(endless(503, 'text/html'))
    await until(() => recording.messages.length > 0)
    await until(() => server.openStreams, { accept: (open) => open === 1, what: 'one open stream' })
  })
})

describe('the delay that the server asks for', () => {
  const MINUTE = 60_000
  /** The step on top: at most the base after a refusal, twice of it after a stream. */
  const SLACK = 2 * 1_000
  const delayAfter = async (answer: Answer): Promise<number> => {
    const server = await startServer((_, response) => answer(response))
    const recording = record(server.url(), { backoff: { base: 1_000 } })
    await until(() => recording.errors.length > 0)
    return recording.errors[0]!.delay!
  }
  const date = (ms: number): string => new Date(Date.now() + ms).toUTCString()

  test.each([429, 503, 500, 408])('in the Retry-After of %i is kept, in seconds', async (code) => {
    const delay = await delayAfter(status(code, { 'retry-after': '30' }))
    expect(delay).toBeGreaterThanOrEqual(30_000)
    expect(delay).toBeLessThanOrEqual(30_000 + SLACK)
  })

  test('in a Retry-After is kept as a date', async () => {
    const delay = await delayAfter(status(503, { 'retry-after': date(MINUTE) }))
    expect(delay).toBeGreaterThanOrEqual(MINUTE - 1_500) // a date knows no milliseconds
    expect(delay).toBeLessThanOrEqual(MINUTE + SLACK)
  })

  test.each(['300', '301', '3600', '99999999999', '9'.repeat(400), date(24 * 60 * MINUTE)])(
    'in a Retry-After of %s is kept up to five minutes',
    async (value) => {
      const delay = await delayAfter(status(503, { 'retry-after': value }))
      expect(delay).toBeGreaterThanOrEqual(5 * MINUTE - 100)
      expect(delay).toBeLessThanOrEqual(5 * MINUTE + SLACK)
    },
  )

  test.each(['0', 'soon', '-5', '', date(-MINUTE), 'NaN', 'Infinity'])(
    'in a Retry-After of %o is no more than the backoff, nor less',
    async (value) => {
      const delay = await delayAfter(status(503, { 'retry-after': value }))
      expect(delay).toBeGreaterThanOrEqual(90)
      expect(delay).toBeLessThanOrEqual(SLACK)
    },
  )

  test('in a retry field is kept', async () => {
    const delay = await delayAfter((response) => startStream(response).end('retry: 30000\n\n'))
    expect(delay).toBeGreaterThanOrEqual(30_000)
    expect(delay).toBeLessThanOrEqual(30_000 + SLACK)
  })

  test.each(['300001', '2147483648', '99999999999', '9'.repeat(400)])(
    'in a retry field of %s is kept up to five minutes',
    async (value) => {
      const delay = await delayAfter((response) => startStream(response).end(`retry: ${value}\n\n`))
      expect(delay).toBeGreaterThanOrEqual(5 * MINUTE - 100)
      expect(delay).toBeLessThanOrEqual(5 * MINUTE + SLACK)
    },
  )

  test('in a retry field of 0 is no less than the backoff', async () => {
    const delay = await delayAfter((response) => startStream(response).end('retry: 0\n\n'))
    expect(delay).toBeGreaterThanOrEqual(1_000)
  })

  test('in a retry field holds for the refusals that follow', async () => {
    const server = await startServer((_, response) => {
      if (server.requests.length === 1) startStream(response).end('retry: 200\n\n')
      else status(503)(response)
    })
    const recording = record(server.url(), { backoff: fast })
    await until(() => recording.errors.length === 3)
    for (const { delay } of recording.errors) expect(delay).toBeGreaterThan(100) // without it: at most 25
  })

  test('is waited for', async () => {
    const server = await startServer((_, response) => {
      if (server.requests.length === 1) status(503, { 'retry-after': '1' })(response)
      else startStream(response)
    })
    record(server.url())
    await until(() => server.requests.length === 2)
    expect(server.requests[1]!.time - server.requests[0]!.time).toBeGreaterThanOrEqual(995)
  })
})
