import {
  type Client,
  type ClientOptions,
  createClient,
  defineChannel,
  type MillraceError,
  type Policy,
  type PolicyRequest,
  type StreamEvent,
} from 'millrace'
import { afterEach, describe, expect, test } from 'vitest'
import { closeServers, startServer, startStream, type TestServer } from '../../support/http-server'
import { until } from '../../support/until'

const clients: Client[] = []

afterEach(async () => {
  for (const client of clients.splice(0)) client.close()
  await closeServers()
})

/** A server that answers JSON, and a stream of one event at `/stream`. */
async function start(options: ClientOptions = {}): Promise<{ server: TestServer; client: Client }> {
  const server = await startServer(({ url }, response) => {
    if (url.startsWith('/stream')) startStream(response).write('id: 1\ndata: {"n":1}\n\n')
    else response.end('{"from":"the server"}')
  })
  const client = createClient({ baseUrl: server.origin, backoff: { base: 10, jitter: 'none' }, ...options })
  clients.push(client)
  return { server, client }
}

const failureOf = (promise: Promise<unknown>): Promise<MillraceError> =>
  promise.then(
    () => Promise.reject(new Error('it resolved')),
    (error) => error,
  )

describe('a policy of the user', () => {
  test('that logs sees every request, who asks and why, and what became of it', async () => {
    const { client, server } = await start({ headers: { authorization: 'Bearer token' } })
    const log: unknown[] = []
    client.use(async (request, next) => {
      const { endpoint, kind, stream, label, channel, attempt, headers } = request
      const { status } = await next(request)
      log.push([endpoint, kind, stream ?? false, label, channel, attempt, headers.get('authorization'), status])
      return new Response()
    })
    await failureOf(client.json('/a', {}, { label: 'Table' }))
    const feed = defineChannel({ key: 'feed', stream: '/stream', snapshot: '/a' })
    client.subscribe(feed, () => {}, { label: 'Feed' })
    await until(() => log.length >= 2, 'a stream that was logged')
    expect(log[0]).toEqual([`GET ${server.url('/a')}`, 'foreground', false, 'Table', undefined, 0, 'Bearer token', 200])
    expect(log).toContainEqual([
      `GET ${server.url('/stream')}`,
      'foreground',
      true,
      'Feed',
      'feed',
      0,
      'Bearer token',
      200,
    ])
  })

  test('adds a header, to streams too, until it is ended', async () => {
    const { client, server } = await start()
    const traced: Policy = (request, next) => {
      request.headers.set('x-trace', request.label)
      return next(request)
    }
    const stop = client.use(traced)
    await client.json('/a', {}, { label: 'Table' })
    const events: StreamEvent[] = []
    const { unsubscribe } = client.subscribe<unknown, StreamEvent>(
      defineChannel({ key: 'feed', stream: '/stream' }),
      (event) => events.push(event),
      { label: 'Feed' },
    )
    await until(() => events.length === 1, 'an event')
    unsubscribe()
    stop()
    await client.json('/b', {}, { label: 'Table' })
    expect(server.requests.map(({ url, headers }) => [url, headers['x-trace']])).toEqual([
      ['/a', 'Table'],
      ['/stream', 'Feed'],
      ['/b', undefined],
    ])
  })

  test('may ask for something else, in another way', async () => {
    const { client, server } = await start()
    client.use((request, next) =>
      next({ ...request, input: server.url('/other'), init: { ...request.init, method: 'POST', body: 'x' } }),
    )
    await client.json('/a')
    expect(server.requests).toMatchObject([{ url: '/other', method: 'POST', body: 'x' }])
  })

  test('that answers by itself costs no request, and its answer is as good as any', async () => {
    const { client, server } = await start()
    client.use(async () => Response.json({ from: 'the mock' }))
    const answers = await Promise.all([client.json('/a'), client.json('/a')])
    expect(answers).toEqual([{ from: 'the mock' }, { from: 'the mock' }])
    expect(answers[0]).toBe(answers[1])
    expect(await (await client.fetch('/a')).json()).toEqual({ from: 'the mock' })
    expect(server.requests).toEqual([])
    const { client: other } = await start()
    const events: unknown[] = []
    other.use(async () => new Response('data: 7\n\n', { headers: { 'content-type': 'text/event-stream' } }))
    other.subscribe<unknown, StreamEvent>(defineChannel({ key: 'feed', stream: '/stream' }), ({ data }) =>
      events.push(data),
    )
    await until(() => events.length > 0, 'an event of the mock')
    expect(events[0]).toBe(7)
    expect(client.stats().requests.sent).toBe(0)
  })

  test('is called for what is shared once, and not for what is cached', async () => {
    const { client } = await start()
    let calls = 0
    client.use((request, next) => {
      calls += 1
      return next(request)
    })
    await Promise.all([client.json('/a'), client.json('/a'), client.json('/a')])
    await client.json('/a')
    expect(calls).toBe(1)
  })

  test('that sends again passes the guard each time', async () => {
    const { client, server } = await start({ limits: { fetchesPer10s: 3 } })
    client.use(async (request, next) => {
      for (;;) await (await next(request)).text()
    })
    expect(await failureOf(client.json('/a'))).toMatchObject({ code: 'runaway' })
    expect(server.requests).toHaveLength(3)
  })

  test('that throws is named, and the request may be tried again', async () => {
    const { client, server } = await start({ environment: 'production' })
    const cause = new Error('a slip')
    let calls = 0
    const stop = client.use(async (request, next) => {
      calls += 1
      if (calls < 3) throw cause
      return next(request)
    })
    const error = await failureOf(client.json('/a'))
    expect(error).toMatchObject({
      code: 'callback',
      retryable: true,
      cause,
      message: `\`policy\` of GET ${server.url('/a')} threw.`,
    })
    expect(client.stats().endpoints).toEqual([])
    await client.json('/a', {}, { retry: 1 })
    expect(calls).toBe(3)
    stop()
    const at = (): Promise<Response> => {
      throw cause
    }
    client.use(at)
    expect(await failureOf(client.fetch('/a'))).toMatchObject({ code: 'callback', cause })
  })

  test('that answers nothing of use is named', async () => {
    const { client, server } = await start()
    client.use(async () => undefined as never)
    expect(await failureOf(client.json('/a'))).toMatchObject({
      code: 'callback',
      message: `\`policy\` of GET ${server.url('/a')} has answered no \`Response\`.`,
    })
  })

  test('hands on what `next` rejects with as it is', async () => {
    const { client } = await start({ limits: { fetchesPer10s: 1 } })
    const seen: unknown[] = []
    client.use(async (request, next) => {
      try {
        return await next(request)
      } catch (error) {
        seen.push(error)
        throw error
      }
    })
    await client.json('/a')
    const error = await failureOf(client.json('/a?again'))
    expect(error).toMatchObject({ code: 'runaway' })
    expect(seen).toEqual([error])
  })

  test('is waited for as long as the request is, and no longer', async () => {
    const { client } = await start()
    const signals: AbortSignal[] = []
    client.use(({ signal }: PolicyRequest) => {
      signals.push(signal)
      return new Promise(() => {})
    })
    expect(await failureOf(client.json('/a', {}, { timeout: 20 }))).toMatchObject({ code: 'timeout' })
    expect(signals[0]!.aborted).toBe(true)
    const controller = new AbortController()
    const left = failureOf(client.json('/a', { signal: controller.signal }))
    controller.abort('gone')
    expect(await left).toBe('gone')
    const switchedOff = failureOf(client.json('/a'))
    await until(() => signals.length === 2, 'a request at the policy')
    client.disable()
    expect(await switchedOff).toMatchObject({ code: 'disabled' })
  })

  test('stands inside of `onUnauthorized`: a 401 of its own is refreshed', async () => {
    let refreshes = 0
    const { client } = await start({
      onUnauthorized: () => {
        refreshes += 1
        return true
      },
    })
    const attempts: number[] = []
    client.use(async ({ attempt }) => {
      attempts.push(attempt)
      return attempts.length === 1 ? new Response(null, { status: 401 }) : Response.json(1)
    })
    expect(await client.json('/a')).toBe(1)
    expect([refreshes, attempts]).toEqual([1, [0, 1]])
  })

  test('has to be a function', async () => {
    const { client } = await start()
    expect(() => client.use({} as never)).toThrow('Expected a policy that is a function, got object.')
  })
})
