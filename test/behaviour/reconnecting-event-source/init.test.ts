import { afterEach, describe, expect, test, vi } from 'vitest'
import { closeServers, startServer, startStream, utf8Header } from '../../support/http-server'
import { until, untilEvent } from '../../support/until'
import { closeSources, type ErrorEventLike, fast, type Init, record } from './recorder'

afterEach(closeSources)
afterEach(closeServers)

/** Ends its first streams, so that there are `connections` in all. */
function reconnecting(connections: number) {
  let asked = 0
  return startServer((_, response) => {
    asked += 1
    startStream(response)
    if (asked < connections) response.end('data: before\n\nid: 1\ndata: a\n\n')
  })
}

/** Reconnects often enough that a source which was not closed would have by then. */
async function manyReconnects(): Promise<void> {
  const server = await startServer((_, response) => startStream(response).end('data: a\n\n'))
  const other = record(server.url())
  await until(() => other.errors.length >= 10)
}

describe('method and body', () => {
  test('are sent at every attempt', async () => {
    const server = await reconnecting(3)
    record(server.url(), { method: 'POST', body: '{"prompt":"ü"}', headers: { 'content-type': 'application/json' } })
    await until(() => server.requests.length === 3)
    for (const request of server.requests) {
      expect(request).toMatchObject({ method: 'POST', body: '{"prompt":"ü"}' })
      expect(request.headers['content-type']).toBe('application/json')
    }
  })

  test('that is a function is asked for anew at every attempt', async () => {
    const server = await reconnecting(3)
    let page = 0
    record(server.url(), {
      method: 'POST',
      body: async () => {
        page += 1
        return `page ${page}`
      },
    })
    await until(() => server.requests.length === 3)
    expect(server.requests.map(({ body }) => body)).toEqual(['page 1', 'page 2', 'page 3'])
  })
})

describe('headers', () => {
  const kinds: [name: string, headers: NonNullable<Init['headers']>][] = [
    ['an object', { authorization: 'Bearer a' }],
    ['a list', [['authorization', 'Bearer a']]],
    ['Headers', new Headers({ authorization: 'Bearer a' })],
    ['a function', () => ({ authorization: 'Bearer a' })],
    ['an async function', async () => ({ authorization: 'Bearer a' })],
  ]
  test.each(kinds)('may be %s', async (_, headers) => {
    const server = await reconnecting(2)
    record(server.url(), { headers })
    await until(() => server.requests.length === 2)
    for (const request of server.requests) {
      expect(request.headers).toMatchObject({ authorization: 'Bearer a', accept: 'text/event-stream' })
    }
    expect(server.requests[1]!.headers['last-event-id']).toBe('1')
  })

  test('are asked for anew at every attempt when they are a function', async () => {
    const server = await reconnecting(3)
    let token = 0
    record(server.url(), {
      headers: () => {
        token += 1
        return { authorization: `Bearer ${token}` }
      },
    })
    await until(() => server.requests.length === 3)
    expect(server.requests.map(({ headers }) => headers.authorization)).toEqual(['Bearer 1', 'Bearer 2', 'Bearer 3'])
  })

  test.each([
    ['rejects', () => Promise.reject(new Error('no token'))],
    [
      'throws',
      () => {
        throw new Error('no token')
      },
    ],
  ])('of a function that %s are an error with a name, not silence', async (_, headers) => {
    const server = await reconnecting(1)
    const recording = record(server.url(), { headers })
    const { error, retryAt } = await untilEvent<ErrorEventLike>(recording.source, 'error')
    expect(error).toMatchObject({ name: 'MillraceError', cause: expect.objectContaining({ message: 'no token' }) })
    const isClosed = recording.source.readyState === recording.source.CLOSED
    expect(typeof retryAt).toBe(isClosed ? 'undefined' : 'number')
  })

  test('that are still being made when it closes send no request', async () => {
    const server = await startServer((_, response) => startStream(response))
    let give = (_: HeadersInit) => {}
    const recording = record(server.url(), {
      headers: () =>
        new Promise<HeadersInit>((resolve) => {
          give = resolve
        }),
    })
    await manyReconnects()
    recording.source.close()
    give({ authorization: 'late' })
    await manyReconnects()
    expect(server.requests).toEqual([])
    expect(recording.errors).toEqual([])
  })
})

describe('signal', () => {
  test('closes it for good', async () => {
    const server = await startServer((_, response) => startStream(response).write('data: a\n\n'))
    const controller = new AbortController()
    const recording = record(server.url(), { signal: controller.signal })
    await until(() => recording.messages.length > 0)
    controller.abort()
    expect(recording.source.readyState).toBe(recording.source.CLOSED)
    await until(() => server.openStreams, { accept: (open) => open === 0, what: 'no open stream' })
    expect(recording.errors.filter(({ retryAt }) => retryAt !== undefined)).toEqual([])
  })

  test('closes it while it waits for the next attempt', async () => {
    const server = await startServer((_, response) => response.writeHead(503).end())
    const controller = new AbortController()
    const { source } = record(server.url('/aborted'), { signal: controller.signal })
    await untilEvent(source, 'error')
    controller.abort()
    const other = record(server.url('/other'))
    await until(() => other.errors.length >= 10)
    expect(server.requests.filter(({ url }) => url === '/aborted')).toHaveLength(1)
  })

  test('that is aborted already lets no request out', async () => {
    const server = await startServer((_, response) => startStream(response))
    const fetched = vi.fn(fetch)
    const { source } = record(server.url('/aborted'), { signal: AbortSignal.abort(), fetch: fetched })
    await untilEvent(record(server.url('/other')).source, 'open')
    expect(source.readyState).toBe(source.CLOSED)
    expect(fetched).not.toHaveBeenCalled()
    expect(server.requests.map(({ url }) => url)).toEqual(['/other'])
  })

  test('is listened to no more once it is closed', async () => {
    const server = await startServer((_, response) => startStream(response))
    const { signal } = new AbortController()
    const listening = { now: 0 }
    const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)]
    signal.addEventListener = (...args: Parameters<AbortSignal['addEventListener']>) => {
      listening.now += 1
      add(...args)
    }
    signal.removeEventListener = (...args: Parameters<AbortSignal['removeEventListener']>) => {
      listening.now -= 1
      remove(...args)
    }
    const { source } = record(server.url(), { signal })
    await untilEvent(source, 'open')
    expect(listening.now).toBe(1)
    source.close()
    expect(listening.now).toBe(0)
  })
})

describe('withCredentials', () => {
  test('sends credentials to other origins only when asked', async () => {
    const asked: (RequestInit | undefined)[] = []
    const spy: typeof fetch = (input, init) => {
      asked.push(init)
      return fetch(input, init)
    }
    const server = await startServer((_, response) => startStream(response))
    expect(record(server.url(), { fetch: spy }).source.withCredentials).toBe(false)
    expect(record(server.url(), { fetch: spy, withCredentials: true }).source.withCredentials).toBe(true)
    await until(() => asked.length === 2)
    expect(asked.map((init) => init?.credentials)).toEqual(['same-origin', 'include'])
  })
})

describe('lastEventId', () => {
  const resumed = async (lastEventId: string) => {
    const server = await reconnecting(2)
    const recording = record(server.url(), { lastEventId })
    await until(() => server.requests.length === 2)
    return { recording, ids: server.requests.map(({ headers }) => utf8Header(headers['last-event-id'])) }
  }

  test('is the id that it begins with', async () => {
    const { recording, ids } = await resumed('42 €')
    expect(ids).toEqual(['42 €', '1'])
    expect(recording.messages.map(({ data, id }) => [data, id])).toEqual([
      ['before', '42 €'],
      ['a', '1'],
    ])
  })

  test('sends no header when it is empty', async () => {
    expect((await resumed('')).ids).toEqual([undefined, '1'])
  })
})

describe('fetch', () => {
  test('is the one that is called, with a signal of its own', async () => {
    const server = await reconnecting(2)
    const calls: [string, RequestInit | undefined][] = []
    const { source } = record(server.url('/events'), {
      fetch: (input, init) => {
        calls.push([String(input), init])
        return fetch(input, init)
      },
    })
    await until(() => server.requests.length === 2)
    expect(calls.map(([url]) => url)).toEqual([server.url('/events'), server.url('/events')])
    expect(calls.every(([, init]) => init?.signal instanceof AbortSignal)).toBe(true)
    source.close()
    expect(calls[1]![1]!.signal!.aborted).toBe(true)
  })

  test('is looked up when it is needed, so that one put in place later is used', async () => {
    const server = await reconnecting(2)
    const spy = vi.spyOn(globalThis, 'fetch')
    try {
      record(server.url())
      await until(() => server.requests.length === 2)
      expect(spy).toHaveBeenCalledTimes(2)
    } finally {
      spy.mockRestore()
    }
  })

  test('that throws at once is a failed attempt', async () => {
    const server = await reconnecting(1)
    let attempts = 0
    const recording = record(server.url(), {
      fetch: (input, init) => {
        attempts += 1
        if (attempts === 1) throw new TypeError('no network')
        return fetch(input, init)
      },
    })
    await until(() => recording.opens === 1)
    expect(recording.errors).toHaveLength(1)
    expect(recording.errors[0]).toMatchObject({ code: 'network', retryable: true })
  })

  test('that takes no signal is let go by close() all the same', async () => {
    const server = await startServer((_, response) => startStream(response).write('data: a\n\n'))
    const recording = record(server.url(), { fetch: (input) => fetch(input) })
    await until(() => recording.messages.length === 1)
    recording.source.close()
    await until(() => server.openStreams, { accept: (open) => open === 0, what: 'no open stream' })
  })

  test('that answers after close() is let go', async () => {
    const server = await startServer((_, response) => startStream(response).write('data: a\n\n'))
    let answer = () => {}
    let isAnswered = false
    const recording = record(server.url(), {
      // A fetch that takes no signal: the answer comes, wanted or not.
      fetch: async (input) => {
        const response = await fetch(input)
        await new Promise<void>((resolve) => {
          answer = resolve
          isAnswered = true
        })
        return response
      },
    })
    await until(() => isAnswered)
    recording.source.close()
    answer()
    await until(() => server.openStreams, { accept: (open) => open === 0, what: 'no open stream' })
    expect(recording).toMatchObject({ opens: 0, messages: [], errors: [] })
  })
})

describe('an option that makes no sense', () => {
  const server = 'http://127.0.0.1:9/'
  const mistakes: [name: string, init: Init][] = [
    ['backoff.base', { backoff: { base: -1 } }],
    ['backoff.base', { backoff: { base: Number.NaN } }],
    ['backoff.factor', { backoff: { factor: 0 } }],
    ['backoff.cap', { backoff: { cap: 0 } }],
    ['idleTimeout', { idleTimeout: -5 }],
    ['maxEventBytes', { maxEventBytes: 0 }],
  ]
  test.each(mistakes)('is refused at once: %s', (name, init) => {
    expect(() => record(server, { ...init, fetch: () => new Promise(() => {}) })).toThrow(
      expect.objectContaining({ code: 'config', message: expect.stringContaining(name) }),
    )
  })

  test('does not stand in the way of one that does', async () => {
    const open = await startServer((_, response) => startStream(response))
    const { source } = record(open.url(), { backoff: fast, idleTimeout: 1_000, maxEventBytes: 1 })
    await untilEvent(source, 'open')
  })
})
