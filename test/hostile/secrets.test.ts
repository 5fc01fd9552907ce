import type { ServerResponse } from 'node:http'
import type { StandardSchemaV1 } from '@standard-schema/spec'
import {
  type Client,
  type ClientOptions,
  defineChannel,
  type MillraceErrorCode,
  ReconnectingEventSource,
  type StreamEvent,
  type Target,
} from 'millrace'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { block, catchReported, closeClients, fast, json, startClient, startStill } from '../behaviour/channels/watch'
import { closeServers, type Handler, startServer, startStream } from '../support/http-server'
import { createModelledLocks } from '../support/modelled-locks'
import type { ModelledTab } from '../support/modelled-tabs'
import { until } from '../support/until'
import { overhear } from './overheard'

/** Every one of them is a ruby. */
const query = 'token=ruby-of-the-query'
const headers = {
  authorization: 'Bearer ruby-of-a-header',
  'x-api-key': 'ruby-of-a-key',
  'x-note': 'ruby-of-a-note',
  cookie: 'sid=ruby-of-a-cookie',
}
const body = '{"password":"ruby-of-a-body"}'
const answered = '{"ruby-of-an-answer":"ruby-of-an-answer"}'
const answeredHeaders = {
  'set-cookie': 'sid=ruby-of-a-set-cookie',
  'www-authenticate': 'Bearer realm="ruby-of-a-realm"',
  'x-trace': 'ruby-of-a-trace',
}

let heard: ReturnType<typeof overhear>
let sources: ReconnectingEventSource[]
beforeEach(() => {
  catchReported()
  heard = overhear()
  sources = []
})
afterEach(() => {
  for (const source of sources) source.close()
})
afterEach(closeClients)
afterEach(closeServers)

const options: ClientOptions = {
  backoff: { base: 20, cap: 40 },
  debug: 'verbose',
  headers: { authorization: headers.authorization },
  thresholds: { errorRate: 0, alertEvery: 0 },
}

/** Fits nothing, and says of what it does not fit. */
const picky: StandardSchemaV1 = {
  '~standard': {
    version: 1,
    vendor: 'test',
    validate: (value) => ({ issues: [{ message: `Expected a pearl, got ${JSON.stringify(value)}`, path: ['gem'] }] }),
  },
}

interface Asking {
  readonly client: Client
  readonly url: string
  /** For what waits longer than a test may: lets time pass. */
  readonly pass?: () => Promise<void>
}

/** Asks in every way that there is, with all the secrets, and resolves when each has been told how it went. */
async function askForAll(
  { client, url, pass = async () => {} }: Asking,
  silent: readonly string[] = [],
): Promise<void> {
  heard.listen(client)
  const target = { url: `${url}?${query}#ruby-of-a-hash`, headers }
  const post = { ...target, method: 'POST', body }
  const told = new Set<string>()
  const leave: (() => void)[] = []
  const settled = (name: string, outcome: Promise<unknown>) => {
    void outcome.catch((error: unknown) => heard.tell('rejection', error)).finally(() => told.add(name))
  }
  const asked: [string, () => Promise<unknown>][] = [
    ['fetch', () => client.fetch(target.url, { headers }, { timeout: 2_000, label: 'fetch' })],
    ['fetch post', () => client.fetch(target.url, post, { timeout: 2_000 })],
    ['kept fetch', () => client.fetch(target.url, { headers }, { timeout: 2_000, ttl: 1_000 })],
    ['retried', () => client.fetch(target.url, { headers }, { timeout: 2_000, retry: 1 })],
    ['json', () => client.json(target.url, { headers }, { timeout: 2_000 })],
    ['json post', () => client.json(target.url, post, { timeout: 2_000, schema: picky })],
    ['json with a schema', () => client.json(target.url, { headers }, { timeout: 2_000, schema: picky })],
  ]
  for (const [name, ask] of asked) settled(name, ask())

  const channels: [string, { stream?: Target; snapshot?: Target }][] = [
    ['stream', { stream: target }],
    ['stream post', { stream: post }],
    ['snapshot', { snapshot: target }],
    ['snapshot post', { snapshot: post }],
    ['both', { stream: target, snapshot: post }],
    ['of functions', { stream: () => post, snapshot: async () => ({ ...target, headers: async () => headers }) }],
  ]
  for (const [key, targets] of channels) {
    const channel = defineChannel<unknown, StreamEvent>({
      ...(targets as { stream: Target }),
      key,
      schema: picky,
      idleTimeout: 5_000,
      maxEventBytes: 10_000,
      fallback: 'none',
      interval: 500,
    })
    const { unsubscribe } = client.subscribe(
      channel,
      {
        error: (error) => heard.tell('error', error),
        complete: () => told.add(key),
        state(state) {
          heard.tell('state', state)
          if (state.error) told.add(key)
        },
      },
      { label: `label of ${key}` },
    )
    leave.push(unsubscribe)
  }
  for (const [name, init] of [
    ['source', {}],
    ['source post', { method: 'POST', body }],
  ] as const) {
    const source = new ReconnectingEventSource(target.url, {
      ...{ headers, backoff: fast, idleTimeout: 100, maxEventBytes: 10_000 },
      ...init,
    })
    sources.push(source)
    source.onerror = ({ error }) => {
      heard.tell(name, error)
      told.add(name)
    }
  }
  const all = [...asked, ...channels].map(([name]) => name).concat('source', 'source post')
  const names = all.filter((name) => !silent.includes(name))
  await until(
    async () => {
      await pass()
      return names.filter((name) => !told.has(name))
    },
    { accept: (left) => left.length === 0, what: 'everybody to be told', within: 20_000 },
  )
  heard.tell('stats', client.stats())
  heard.tell('health', client.health())
  for (const unsubscribe of leave) unsubscribe()
  client.disable('because')
  client.close()
}

/** Shows each where it lies. */
function noRuby(): void {
  const shown = heard.texts.map((text) => text.match(/^[^:]*: |.{0,80}ruby.{0,40}/gi)?.join(' ... ') ?? '')
  expect(shown.filter((text) => /ruby/i.test(text))).toEqual([])
}

test('what is no secret is heard wherever something is told', async () => {
  const server = await startServer(({ method }, response) => response.writeHead(method === 'POST' ? 404 : 503).end())
  const { client } = startClient(options)
  await askForAll({ client, url: server.url('/pearl') })
  const from = (place: string) => heard.texts.filter((text) => text.startsWith(`${place}: `)).join()
  for (const place of ['alert', 'console', 'error', 'health', 'rejection', 'request', 'state', 'stats', 'status'])
    expect(from(place)).toContain('/pearl')
  for (const place of ['source', 'source post']) expect(from(place)).toContain('/pearl')
  for (const place of ['request', 'stats', 'subscribe', 'unsubscribe']) expect(from(place)).toContain('label of stream')
  // What is not to be told was sent.
  const { requests } = server
  expect(requests.some(({ url }) => url.includes(query))).toBe(true)
  expect(requests.some((request) => request.body === body)).toBe(true)
  for (const [name, value] of Object.entries(headers))
    expect(requests.some((request) => request.headers[name] === value)).toBe(true)
  noRuby()
})

const status =
  (code: number): Handler =>
  (_, response) =>
    response.writeHead(code, { 'content-type': 'application/json', ...answeredHeaders }).end(answered)
const says =
  (type: string, text: string): Handler =>
  (_, response) =>
    response.writeHead(200, { 'content-type': type, ...answeredHeaders }).end(text)
const movedTo =
  (location: string): Handler =>
  (request, response, raw) =>
    request.url.startsWith('/gem') ? response.writeHead(302, { location }).end() : status(500)(request, response, raw)

const hearing =
  (text: string): Handler =>
  (_, response) =>
    startStream(response, answeredHeaders).write(text)
const half =
  (then: (response: ServerResponse) => void): Handler =>
  (_, response) => {
    response.writeHead(200, { 'content-type': 'application/json', ...answeredHeaders })
    response.write(answered.slice(0, -1), () => then(response))
  }

/** What a server does, and codes that are heard for it. */
type Way = [name: string, answer: Handler, ...codes: MillraceErrorCode[]]

const ways: Way[] = [
  ...[400, 403, 404, 410, 429, 500, 503].map((code): Way => [`answers ${code}`, status(code), 'http']),
  ['answers 401', status(401), 'unauthorized'],
  ['answers with half a JSON', says('application/json', answered.slice(0, -1)), 'invalid-body', 'content-type'],
  ['answers with a page of a login', says('text/html', `<title>${answered}</title>`), 'invalid-body', 'content-type'],
  ['answers with what does not fit', says('application/json', answered), 'invalid-body'],
  ['sends it elsewhere, which fails', movedTo('/away?token=ruby-of-a-redirect'), 'http'],
  ['sends it round in circles', movedTo('/gem?token=ruby-of-a-redirect'), 'network'],
  ['sends it to a user name', movedTo('http://ruby:ruby@127.0.0.1:1/gem'), 'network'],
  ['sends it to no address', movedTo('http://[ruby-of-a-redirect'), 'network'],
  ['sends it to another scheme', movedTo('data:text/plain,ruby-of-a-redirect'), 'network'],
  ['hangs up', (_, response) => response.socket?.destroy(), 'network'],
  ['breaks off its body', half(({ socket }) => socket?.resetAndDestroy()), 'network'],
  ['says no HTTP', (_, { socket }) => socket?.end('HTTP/1.1 ruby-of-a-status\r\n\r\n'), 'network'],
  ['ends its stream', (_, response) => startStream(response).end(block('pearl', { id: 'opal' })), 'network'],
]
test.each(ways)('a server that %s makes nobody tell a secret', async (_, answer, ...codes) => {
  const server = await startServer(answer)
  const { client } = startClient(options)
  await askForAll({ client, url: server.url('/gem') })
  for (const code of codes) expect([...heard.codes]).toContain(code)
  noRuby()
})

test('a server that answers 204 makes nobody tell a secret', async () => {
  const server = await startServer((_, response) => response.writeHead(204, answeredHeaders).end())
  const { client } = startClient(options)
  // A snapshot without news is none to tell of.
  await askForAll({ client, url: server.url('/gem') }, ['snapshot', 'snapshot post'])
  noRuby()
})

const slowWays: Way[] = [
  ['never answers', () => {}, 'timeout', 'idle'],
  ['never ends its body', half(() => {}), 'timeout'],
  ['sends too large an event', hearing(block('ruby'.repeat(5_000))), 'too-large'],
  ['sends a line without an end', hearing(`data: ${'ruby'.repeat(5_000)}`), 'too-large'],
  ['falls silent', hearing(block('pearl', { id: 'opal' })), 'idle'],
]
test.each(slowWays)('a server that %s makes nobody tell a secret', async (_, answer, ...codes) => {
  const server = await startServer(answer)
  const { client, clock } = startStill({ ...options, backoff: { base: 2_000, cap: 8_000 } })
  await askForAll({ client, url: server.url('/gem'), pass: () => clock.advance(500) })
  for (const code of codes) expect([...heard.codes]).toContain(code)
  noRuby()
})

test('a server that is not there makes nobody tell a secret', async () => {
  const server = await startServer(() => {})
  await server.close()
  const { client } = startClient(options)
  await askForAll({ client, url: server.url('/gem') })
  expect([...heard.codes]).toContain('network')
  noRuby()
})

test('a body of 32 MiB is too much, and nothing of it is told', async () => {
  const text = `"${'ruby'.repeat(2 ** 23)}"`
  const server = await startServer((_, response) => response.writeHead(200, answeredHeaders).end(text))
  const { client } = startClient(options)
  heard.listen(client)
  heard.tell('rejection', await client.json(server.url(`/gem?${query}`), { headers }).catch((error) => error))
  expect([...heard.codes]).toContain('too-large')
  noRuby()
})

const noBreaker = { breaker: false }
const TIGHT = { fetchesPer10s: 5, concurrency: 1, queue: 1, backgroundPerMinute: 1, burst: 1, streams: 1 }
test.each<[name: string, change: ClientOptions, ...codes: string[]]>([
  [
    'loops',
    { flags: noBreaker, limits: { ...TIGHT, concurrency: 6, queue: 100 } },
    'runaway',
    'request-rate',
    'stream-limit',
  ],
  ['asks too much at once', { flags: noBreaker, limits: { ...TIGHT, fetchesPer10s: 100 } }, 'queue-full'],
  ['asks what always fails', { breaker: { failures: 2, cooldown: 100 } }, 'breaker-open', 'error-rate'],
  ['keeps too much', { thresholds: { memory: 1, alertEvery: 0 } }, 'memory'],
])('a client that %s is held back without a word of what it asks', async (_, change, ...codes) => {
  const server = await startServer((request, response, raw) => {
    if (request.headers.accept === 'text/event-stream') startStream(response)
    else if ('memory' in (change.thresholds ?? {})) json('pearl')(request, response, raw)
    else status(request.method === 'GET' ? 500 : 503)(request, response, raw)
  })
  const { client } = startClient({ ...options, ...change })
  heard.listen(client)
  const url = server.url(`/gem?${query}`)
  client.subscribe(defineChannel({ key: 'polled', snapshot: { url, headers }, interval: 200 }), {})
  for (const n of ['1', '2']) client.subscribe(defineChannel({ key: n, stream: { url: url + n, headers } }), {})
  const label = 'a loop'
  for (let n = 0; n < 8; n += 1)
    for (const asked of [
      client.json(url, { headers }, { dedupe: false, label, ttl: 5_000, retry: 1 }),
      client.fetch(url, { method: 'POST', body, headers }, { label }),
    ])
      asked.catch((error) => heard.tell('rejection', error))
  await until(() => codes.filter((code) => !heard.codes.has(code)), { accept: (missing) => missing.length === 0 })
  heard.tell('stats', client.stats())
  heard.tell('health', client.health())
  noRuby()
})

test.each([
  ['a port that is none', `http://127.0.0.1:99999/gem?${query}`],
  ['a host that is none', `http://[ruby]/gem?${query}`],
  ['no base', `/gem?${query}`],
  ['no address at all', `http://?${query}`],
])('a URL with %s is refused without a word of it', async (_, url) => {
  const { client } = startClient(options)
  heard.listen(client)
  const attempt = async (ask: () => unknown) => {
    try {
      await ask()
      heard.tell('nothing', 'was thrown')
    } catch (error) {
      heard.tell('refusal', error)
    }
  }
  for (const key of ['stream', 'snapshot'])
    await attempt(() =>
      client.subscribe(defineChannel({ key, [key]: { url, headers, method: 'POST', body } } as never), {}),
    )
  await attempt(() => client.fetch(url, { headers }))
  await attempt(() => client.json(url, { headers }))
  await attempt(() => new ReconnectingEventSource(url, { headers }))
  await attempt(() => client.invalidate(url))
  expect(heard.texts.filter((text) => text.startsWith('refusal'))).toHaveLength(5)
  noRuby()
})

test('one key with two targets is refused without a word of either', async () => {
  const { client } = startClient({ ...options, fetch: () => new Promise(() => {}) })
  heard.listen(client)
  const to = (path: string) =>
    defineChannel({ key: 'one', snapshot: { url: `https://example.com/${path}?${query}`, headers, body } })
  client.subscribe(to('a'), {})
  expect(() => client.subscribe(to('b'), {})).toThrow(expect.toSatisfy((error) => heard.tell('thrown', error) ?? true))
  expect([...heard.codes]).toEqual(['config'])
  noRuby()
})

test('events that cannot be used are told of without a word of what they say', async () => {
  const gem = '{"ruby":"ruby"}'
  const server = await startServer(
    hearing(block(gem, { event: 'gem' }) + block(gem, { id: 1 }) + block(`${gem.slice(1)}`, { id: 3 })),
  )
  const { client } = startClient(options)
  heard.listen(client)
  const stream = { url: server.url(`/gem?${query}`), headers }
  const boom = (): never => {
    throw new Error('ruby')
  }
  const channels = [
    defineChannel({ key: 'picky', stream, events: { gem: picky } }),
    defineChannel({ key: 'boom', stream, events: { gem: { '~standard': { ...picky['~standard'], validate: boom } } } }),
    defineChannel({ key: 'normalize', stream, normalize: boom }),
    defineChannel({ key: 'no envelope', stream, normalize: ({ data }) => ({ type: [data] as never, data }) }),
    defineChannel({ key: 'sequence', stream, sequence: ({ id }) => Number(id ?? 0) }),
    defineChannel({ key: 'no sequence', stream, sequence: boom }),
  ]
  for (const channel of channels) client.subscribe(channel as (typeof channels)[2], {})
  await until(() => client.stats().channels.filter(({ invalid }) => invalid > 0).length >= 4)
  await until(() => heard.codes.has('gap'))
  heard.tell('stats', client.stats())
  noRuby()
})

test('who cannot sign in again is told so without a word of what was tried', async () => {
  const server = await startServer(status(401))
  for (const onUnauthorized of [
    () => false,
    async () => {
      throw new Error('ruby')
    },
  ]) {
    const { client } = startClient({ ...options, onUnauthorized })
    await askForAll({ client, url: server.url('/gem') })
  }
  expect([...heard.codes]).toContain('unauthorized')
  noRuby()
})

test('tabs name and tell each other no secret but the data itself', async () => {
  const names = new Set<string>()
  const said: string[] = []
  const locks = createModelledLocks()
  vi.stubGlobal('WorkerGlobalScope', class {})
  vi.stubGlobal('navigator', {
    userAgent: '',
    locks: locks.of({ post: (_, run) => void setImmediate(run) } as ModelledTab),
  })
  vi.stubGlobal(
    'BroadcastChannel',
    class extends BroadcastChannel {
      constructor(name: string) {
        super(name)
        names.add(name)
      }
      override postMessage(message: unknown): void {
        for (const lock of locks.names()) names.add(lock)
        said.push(`${this.name} ${JSON.stringify(message)}`)
        super.postMessage(message)
      }
    },
  )
  let refuses = false
  const server = await startServer((request, response, raw) => {
    if (refuses) return status(503)(request, response, raw)
    if (request.headers.accept === 'text/event-stream')
      return hearing(block('pearl', { id: 1 }))(request, response, raw)
    return json('pearl')(request, response, raw)
  })
  const target = { url: server.url(`/gem?${query}`), headers }
  const channels = [
    defineChannel<unknown, StreamEvent>({ key: 'stream', stream: target, grace: 0 }),
    defineChannel<unknown, StreamEvent>({
      key: 'post',
      stream: { ...target, method: 'POST', body },
      snapshot: { ...target, method: 'POST', body },
    }),
    defineChannel({ key: 'polled', snapshot: target, interval: 200 }),
  ]
  const tabs = [1, 2].map(() => {
    const { client } = startClient({ ...options, identity: 'ruby-who-signs-in' })
    heard.listen(client)
    for (const channel of channels) client.subscribe(channel, {})
    return client
  })
  const [first, second] = tabs as [Client, Client]
  const roles = () =>
    tabs.map((client) =>
      client
        .stats()
        .channels.map(({ role }) => role)
        .join(),
    )
  await until(() => roles().join(' ') === 'leader,leader,leader follower,follower,follower', 'one that leads')
  for (const client of tabs)
    for (const channel of channels) await until(() => client.getState(channel).data === 'pearl')
  await second.json(target.url, { headers })
  await second.fetch(target.url, { headers, method: 'PUT', body })
  second.subscribe(channels[2]!, {})
  await second.refresh(channels[2]!)
  refuses = true
  await second.json(target.url, { headers }, { ttl: 0 }).catch(() => {})
  await until(() => second.getState(channels[2]!).error, 'trouble in the other tab')
  first.disable()
  refuses = false
  await until(() => second.stats().tabs.leading === 4, 'the other to lead')
  await until(() => second.getState(channels[0]!).status === 'live', 'a stream')
  first.enable()
  await until(() => first.stats().tabs.following === 4, 'one that follows')
  first.setIdentity('ruby-who-comes')
  await until(() => second.identity === undefined, 'the other to be left')
  for (const client of tabs) client.close()

  // All that tabs tell each other has been told.
  const kinds = new Set(said.map((text) => /"type":"([^"]+)"/.exec(text)?.[1]))
  for (const kind of [
    'hello',
    'welcome',
    'batch',
    'status',
    'body',
    'trouble',
    'asking',
    'ask',
    'done',
    'leader',
    'bye',
    'left',
  ])
    expect([...kinds]).toContain(kind)
  expect(
    [...names].filter(
      (name) => !/^millrace2 (control|slot|snapshot|stream|identity) [0-9a-z]+( \(waiting\))?$/.test(name),
    ),
  ).toEqual([])
  // An answer and its head are what tabs share, and which URL was changed they must know.
  const known = said.filter((text) => !text.includes('"changed"'))
  expect(known.filter((text) => /ruby/i.test(text))).toEqual([])
  noRuby()
})
