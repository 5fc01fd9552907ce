import { createHash } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import { type Client, type ClientOptions, createClient } from 'millrace'
import { afterEach, describe, expect, test } from 'vitest'
import { closeServers, type Handler, startServer, startStream, type TestServer } from '../../support/http-server'
import { until, within } from '../../support/until'

const clients: Client[] = []

function makeClient(options: ClientOptions = {}): Client {
  const client = createClient({ environment: 'production', ...options })
  clients.push(client)
  return client
}

/** A server that answers when it is told to. */
async function startHeld(): Promise<{ server: TestServer; held: ServerResponse[]; answer(body?: string): void }> {
  const held: ServerResponse[] = []
  const server = await startServer((_, response) => void held.push(response))
  return {
    server,
    held,
    answer(body = 'ok') {
      for (const response of held) response.end(body)
    },
  }
}

const sends =
  (body: string | Buffer, headers: Record<string, string> = {}): Handler =>
  (_, response) =>
    response.writeHead(200, headers).end(body)

/** Reads one chunk, as text. */
async function readChunk(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<string> {
  return new TextDecoder().decode((await reader.read()).value)
}

afterEach(async () => {
  for (const client of clients.splice(0)) client.close()
  await closeServers()
})

describe('equal requests in flight', () => {
  test('are one request, and each caller reads an answer of its own', async () => {
    const { server, held, answer } = await startHeld()
    const client = makeClient()
    const callers = Array.from({ length: 50 }, () => client.fetch(server.url('/a')))
    await until(() => held.length, 'the request')
    answer('{"n":1}')
    const responses = await Promise.all(callers)
    expect(new Set(responses).size).toBe(50)
    const bodies = await Promise.all(responses.map((response) => response.text()))
    expect(bodies).toEqual(Array(50).fill('{"n":1}'))
    expect(server.requests).toHaveLength(1)
    expect(client.stats().requests).toMatchObject({ asked: 50, sent: 1, shared: 49, cached: 0 })
  })

  test('are as many requests as callers without Millrace', async () => {
    const server = await startServer(sends('ok'))
    await Promise.all(Array.from({ length: 5 }, () => fetch(server.url('/a')).then((response) => response.text())))
    expect(server.requests).toHaveLength(5)
  })

  test('are asked again once they were answered: nothing is cached unless that was asked for', async () => {
    const server = await startServer(sends('ok'))
    const client = makeClient()
    await (await client.fetch(server.url('/a'))).text()
    await (await client.fetch(server.url('/a'))).text()
    expect(server.requests).toHaveLength(2)
  })

  test('read the same body in ways of their own', async () => {
    const { server, held } = await startHeld()
    const client = makeClient()
    const [first, second, third, fourth] = Array.from({ length: 4 }, () => client.fetch(server.url('/a')))
    await until(() => held.length)
    held[0]!.writeHead(200, { 'content-type': 'application/json' }).end('{"n":[1,2]}')
    expect(await (await first)!.json()).toEqual({ n: [1, 2] })
    expect(await (await second)!.text()).toBe('{"n":[1,2]}')
    expect(Buffer.from(await (await third)!.arrayBuffer()).toString()).toBe('{"n":[1,2]}')
    let streamed = ''
    for await (const chunk of (await fourth)!.body!) streamed += new TextDecoder().decode(chunk)
    expect(streamed).toBe('{"n":[1,2]}')
  })

  test('keep status, headers and URL for every caller', async () => {
    const server = await startServer((request, response) => {
      if (request.url === '/old') response.writeHead(302, { location: '/new?x=1' }).end()
      else response.writeHead(203, 'Fine', { 'x-a': 'b' }).end('ok')
    })
    const client = makeClient()
    const signal = new AbortController().signal
    const callers = [{}, { signal }, {}].map((init) => client.fetch(server.url('/old'), init))
    for (const response of await Promise.all(callers)) {
      const { status, statusText, ok, redirected, type, url } = response
      expect([status, statusText, ok, redirected, type]).toEqual([203, 'Fine', true, true, 'basic'])
      expect(url).toBe(server.url('/new?x=1'))
      expect(response.headers.get('x-a')).toBe('b')
      expect(await response.text()).toBe('ok')
    }
    expect(server.requests).toHaveLength(2)
  })

  test('keep the URL in a copy that a caller makes', async () => {
    const server = await startServer(sends('ok'))
    const response = await makeClient().fetch(server.url('/a'))
    const copy = response.clone()
    expect(copy.url).toBe(server.url('/a'))
    expect(await copy.text()).toBe('ok')
    expect(await response.text()).toBe('ok')
  })

  test.each([204, 205, 304])('share a %s, which has no body', async (status) => {
    const server = await startServer((_, response) => response.writeHead(status, { 'x-a': 'b' }).end())
    const client = makeClient()
    const signal = new AbortController().signal
    for (const response of await Promise.all([{}, { signal }].map((init) => client.fetch(server.url('/a'), init)))) {
      expect(response.status).toBe(status)
      expect(response.headers.get('x-a')).toBe('b')
      expect(await response.text()).toBe('')
    }
    expect(server.requests).toHaveLength(1)
  })

  test('share a large body whole', async () => {
    const body = Buffer.alloc(8 * 2 ** 20, 'millrace')
    const digest = createHash('sha256').update(body).digest('hex')
    const server = await startServer(sends(body))
    const client = makeClient()
    const callers = Array.from({ length: 3 }, async () => {
      const response = await client.fetch(server.url('/large'))
      return createHash('sha256')
        .update(Buffer.from(await response.arrayBuffer()))
        .digest('hex')
    })
    expect(await Promise.all(callers)).toEqual([digest, digest, digest])
    expect(server.requests).toHaveLength(1)
  })

  test('share a failure too, each as its own answer', async () => {
    const { server, held } = await startHeld()
    const client = makeClient()
    const callers = [client.fetch(server.url('/a')), client.fetch(server.url('/a'))]
    await until(() => held.length)
    held[0]!.writeHead(500).end('broken')
    const bodies = await Promise.all(callers.map(async (caller) => (await caller).text()))
    expect(bodies).toEqual(['broken', 'broken'])
    expect(server.requests).toHaveLength(1)
  })

  test('reject together with `network` when the connection breaks', async () => {
    const { server, held } = await startHeld()
    const client = makeClient()
    const callers = [client.fetch(server.url('/a?secret')), client.fetch(server.url('/a?secret'))]
    await until(() => held.length)
    held[0]!.socket!.resetAndDestroy()
    for (const outcome of await Promise.allSettled(callers)) {
      expect(outcome).toMatchObject({
        status: 'rejected',
        reason: { code: 'network', retryable: true, endpoint: `GET ${server.origin}/a` },
      })
      expect((outcome as PromiseRejectedResult).reason.message).not.toContain('secret')
    }
    expect(server.requests).toHaveLength(1)
  })

  test('share a HEAD with a HEAD, and never with a GET', async () => {
    const { server, held, answer } = await startHeld()
    const client = makeClient()
    const callers = ['GET', 'HEAD', 'HEAD', 'get'].map((method) => client.fetch(server.url('/a'), { method }))
    await until(() => held.length === 2)
    answer()
    await Promise.all(callers)
    expect(server.requests.map(({ method }) => method).sort()).toEqual(['GET', 'HEAD'])
  })

  test.each(['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])('are never shared for %s', async (method) => {
    const server = await startServer(sends('ok'))
    const client = makeClient()
    await Promise.all([1, 2, 3].map(() => client.fetch(server.url('/a'), { method })))
    expect(server.requests.map((request) => request.method)).toEqual([method, method, method])
  })

  test('are not shared by a caller who says `dedupe: false`', async () => {
    const { server, held, answer } = await startHeld()
    const client = makeClient()
    const callers = [
      client.fetch(server.url('/a')),
      client.fetch(server.url('/a'), {}, { dedupe: false }),
      client.fetch(server.url('/a')),
    ]
    await until(() => held.length === 2)
    answer()
    await Promise.all(callers)
    expect(server.requests).toHaveLength(2)
  })

  test('take a Request, a URL and a string for the same thing', async () => {
    const { server, held, answer } = await startHeld()
    const client = makeClient({ baseUrl: server.origin })
    const url = server.url('/a?b=c')
    const callers = [client.fetch(new Request(url)), client.fetch(new URL(url)), client.fetch('/a?b=c')]
    callers.push(client.fetch(`${url}#part`))
    await until(() => held.length)
    answer()
    expect(await Promise.all(callers.map(async (caller) => (await caller).text()))).toEqual(Array(4).fill('ok'))
    expect(server.requests).toHaveLength(1)
  })
})

describe('an abort', () => {
  test('rejects its own caller, with its own reason, and nobody else', async () => {
    const { server, held, answer } = await startHeld()
    const client = makeClient()
    const [first, second] = [new AbortController(), new AbortController()]
    const callers = [
      client.fetch(server.url('/a'), { signal: first.signal }),
      client.fetch(server.url('/a'), { signal: second.signal }),
      client.fetch(server.url('/a')),
    ]
    await until(() => held.length)
    const reason = new Error('left the page')
    first.abort(reason)
    await expect(callers[0]).rejects.toBe(reason)
    answer()
    expect(await (await callers[1]!).text()).toBe('ok')
    expect(await (await callers[2]!).text()).toBe('ok')
    expect(server.requests).toHaveLength(1)
  })

  test('without a reason rejects as the platform does', async () => {
    const { server, held } = await startHeld()
    const controller = new AbortController()
    const caller = makeClient().fetch(server.url('/a'), { signal: controller.signal })
    await until(() => held.length)
    controller.abort()
    await expect(caller).rejects.toMatchObject({ name: 'AbortError' })
  })

  test('of the last caller closes the connection', async () => {
    const { server, held } = await startHeld()
    const client = makeClient()
    const controllers = [1, 2, 3].map(() => new AbortController())
    const callers = controllers.map(({ signal }) => client.fetch(server.url('/a'), { signal }))
    const settled = Promise.allSettled(callers)
    await until(() => held.length)
    controllers[0]!.abort('a')
    controllers[1]!.abort('b')
    await expect(callers[1]).rejects.toBe('b')
    expect(server.openStreams).toBe(1)
    controllers[2]!.abort('c')
    expect(await settled).toMatchObject([{ reason: 'a' }, { reason: 'b' }, { reason: 'c' }])
    await until(() => server.openStreams === 0, 'the server to see the close')
    expect(client.stats()).toMatchObject({ timers: [], requests: { failed: 0 } })
    expect(client.stats().endpoints[0]).toMatchObject({ inFlight: 0, queued: 0 })
  })

  test('of all callers lets the next one ask anew', async () => {
    const { server, held, answer } = await startHeld()
    const client = makeClient()
    const controller = new AbortController()
    const gone = client.fetch(server.url('/a'), { signal: controller.signal })
    await until(() => held.length)
    controller.abort('gone')
    const next = client.fetch(server.url('/a'))
    await expect(gone).rejects.toBe('gone')
    await until(() => held.length === 2)
    answer()
    expect(await (await next).text()).toBe('ok')
  })

  test('before the call asks nothing', async () => {
    const { server } = await startHeld()
    const client = makeClient()
    await expect(client.fetch(server.url('/a'), { signal: AbortSignal.abort('never') })).rejects.toBe('never')
    await expect(client.json(server.url('/a'), { signal: AbortSignal.abort('never') })).rejects.toBe('never')
    await expect(client.fetch(new Request(server.url('/a'), { signal: AbortSignal.abort('no') }))).rejects.toBe('no')
    expect(server.requests).toHaveLength(0)
    expect(client.stats().timers).toEqual([])
  })

  test('through a Request ends that caller too', async () => {
    const { server, held } = await startHeld()
    const controller = new AbortController()
    const caller = makeClient().fetch(new Request(server.url('/a'), { signal: controller.signal }))
    await until(() => held.length)
    controller.abort('gone')
    await expect(caller).rejects.toBe('gone')
    await until(() => server.openStreams === 0)
  })

  test('of a POST ends it at once', async () => {
    const { server, held } = await startHeld()
    const controller = new AbortController()
    const caller = makeClient().fetch(server.url('/a'), { method: 'POST', body: 'x', signal: controller.signal })
    await until(() => held.length)
    controller.abort('gone')
    await expect(caller).rejects.toBe('gone')
    await until(() => server.openStreams === 0)
  })

  test.each(['GET', 'POST'])('of a %s ends the wait for a header function', async (method) => {
    const { server } = await startHeld()
    const controller = new AbortController()
    const client = makeClient({ headers: () => new Promise<HeadersInit>(() => {}) })
    const caller = client.fetch(server.url('/a'), { method, signal: controller.signal })
    controller.abort('gone')
    await expect(within(1_000, caller, 'the abort to reject')).rejects.toBe('gone')
  })

  test('after the headers ends the body of that caller alone', async () => {
    const { server, held } = await startHeld()
    const client = makeClient()
    const controller = new AbortController()
    const callers = [client.fetch(server.url('/a'), { signal: controller.signal }), client.fetch(server.url('/a'))]
    await until(() => held.length)
    held[0]!.write('one')
    const [first, second] = await Promise.all(callers)
    const readers = [first!.body!.getReader(), second!.body!.getReader()] as const
    expect(await readChunk(readers[0])).toBe('one')
    expect(await readChunk(readers[1])).toBe('one')
    const pending = readers[0].read()
    controller.abort('enough')
    await expect(pending).rejects.toBe('enough')
    held[0]!.end('two')
    expect(await readChunk(readers[1])).toBe('two')
    expect((await readers[1].read()).done).toBe(true)
  })

  test('after the headers of the last caller closes the connection', async () => {
    const { server, held } = await startHeld()
    const client = makeClient()
    const controllers = [new AbortController(), new AbortController()]
    const callers = controllers.map(({ signal }) => client.fetch(server.url('/a'), { signal }))
    await until(() => held.length)
    held[0]!.write('one')
    const bodies = (await Promise.all(callers)).map((response) => response.text())
    const settled = Promise.allSettled(bodies)
    controllers[0]!.abort('a')
    await expect(bodies[0]).rejects.toBe('a')
    expect(server.openStreams).toBe(1)
    controllers[1]!.abort('b')
    expect(await settled).toMatchObject([{ reason: 'a' }, { reason: 'b' }])
    await until(() => server.openStreams === 0, 'the server to see the close')
  })

  test('after the headers of a single caller closes the connection, read or unread', async () => {
    const { server, held } = await startHeld()
    const client = makeClient()
    const controller = new AbortController()
    const caller = client.fetch(server.url('/a'), { signal: controller.signal })
    await until(() => held.length)
    held[0]!.write('one')
    const response = await caller
    controller.abort('unread')
    await until(() => server.openStreams === 0, 'the server to see the close')
    await expect(response.text()).rejects.toBe('unread')
  })

  test('after the end changes nothing', async () => {
    const server = await startServer(sends('ok'))
    const controller = new AbortController()
    const response = await makeClient().fetch(server.url('/a'), { signal: controller.signal })
    expect(await response.text()).toBe('ok')
    controller.abort()
    expect(response.ok).toBe(true)
  })

  test('of one of two callers of json leaves the other its value', async () => {
    const { server, held } = await startHeld()
    const client = makeClient()
    const controller = new AbortController()
    const gone = client.json(server.url('/a'), { signal: controller.signal })
    const stays = client.json(server.url('/a'))
    await until(() => held.length)
    controller.abort('gone')
    await expect(gone).rejects.toBe('gone')
    held[0]!.end('{"n":1}')
    expect(await stays).toEqual({ n: 1 })
    expect(server.requests).toHaveLength(1)
  })
})

describe('a body', () => {
  test('that a caller cancels closes the connection', async () => {
    const { server, held } = await startHeld()
    const caller = makeClient().fetch(server.url('/a'))
    await until(() => held.length)
    held[0]!.write('one')
    await (await caller).body!.cancel()
    await until(() => server.openStreams === 0, 'the server to see the close')
  })

  test('is streamed while it comes', async () => {
    const { server, held } = await startHeld()
    const caller = makeClient().fetch(server.url('/a'))
    await until(() => held.length)
    held[0]!.write('one')
    const reader = (await caller).body!.getReader()
    expect(await readChunk(reader)).toBe('one')
    held[0]!.write('two')
    expect(await readChunk(reader)).toBe('two')
  })

  test('that breaks off rejects who reads it', async () => {
    const { server, held } = await startHeld()
    const caller = makeClient().fetch(server.url('/a'))
    await until(() => held.length)
    held[0]!.writeHead(200, { 'content-length': '100' }).write('one')
    const response = await caller
    held[0]!.socket!.resetAndDestroy()
    await expect(response.text()).rejects.toThrow()
  })

  test('that is not read is not pulled in without end', async () => {
    let written = 0
    const server = await startServer((_, response) => {
      const chunk = Buffer.alloc(2 ** 16)
      const write = (): void => {
        while (written < 2 ** 28) {
          written += chunk.length
          if (!response.write(chunk)) return void response.once('drain', write)
        }
        response.end()
      }
      write()
    })
    const response = await makeClient().fetch(server.url('/large'))
    // The server stops by itself once the buffers between the two are full.
    let before = -1
    await until(() => {
      const still = written === before
      before = written
      return still
    })
    expect(written).toBeLessThan(2 ** 26)
    await response.body!.cancel()
  })
})

describe('an event stream', () => {
  test('is passed through as it comes, and is neither shared nor cached', async () => {
    const streams: ServerResponse[] = []
    const server = await startServer((_, response) => void streams.push(startStream(response)))
    const client = makeClient()
    const coordination = { ttl: 10_000 }
    const callers = [1, 2].map(() => client.fetch(server.url('/events'), {}, coordination))
    const readers = (await Promise.all(callers)).map((response) => response.body!.getReader())
    expect(streams).toHaveLength(2)
    for (const [index, stream] of streams.entries()) stream.write(`data: ${index}\n\n`)
    const read = await Promise.all(readers.map(readChunk))
    expect(read.sort()).toEqual(['data: 0\n\n', 'data: 1\n\n'])
    const third = await client.fetch(server.url('/events'), {}, coordination)
    expect(third.headers.get('content-type')).toBe('text/event-stream')
    expect(server.requests).toHaveLength(3)
    expect(client.stats().cache).toEqual({ entries: 0, bytes: 0 })
    for (const reader of readers) await reader.cancel()
    await third.body!.cancel()
    await until(() => server.openStreams === 0)
  })

  test('counts as a request of its own for each caller', async () => {
    const server = await startServer((_, response) => void startStream(response))
    const client = makeClient()
    const callers = [1, 2, 3].map(() => client.fetch(server.url('/events')))
    const responses = await Promise.all(callers)
    expect(client.stats().requests).toMatchObject({ asked: 3, sent: 3, shared: 0, saved: 0 })
    for (const response of responses) await response.body!.cancel()
  })

  test('ends with the abort of its caller alone', async () => {
    const server = await startServer((_, response) => void startStream(response).write('data: 1\n\n'))
    const client = makeClient()
    const controller = new AbortController()
    const gone = await client.fetch(server.url('/events'), { signal: controller.signal })
    const stays = await client.fetch(server.url('/events'))
    controller.abort('gone')
    await expect(gone.text()).rejects.toBe('gone')
    await until(() => server.openStreams === 1)
    const reader = stays.body!.getReader()
    expect(await readChunk(reader)).toBe('data: 1\n\n')
    await reader.cancel()
  })
})
