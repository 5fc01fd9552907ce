import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import {
  type Channel,
  type Client,
  configure,
  createClient,
  defineChannel,
  getClient,
  type StreamEvent,
} from 'millrace'
import { afterEach, describe, expect, test } from 'vitest'
import { closeClients, startClient, watch } from '../behaviour/channels/watch'
import { closeServers, startServer, startStream } from '../support/http-server'
import { startJournal } from '../support/journal-server'
import { createRandom } from '../support/random'
import { until } from '../support/until'

afterEach(closeClients)
afterEach(closeServers)
afterEach(() => {
  const place = Symbol.for('millrace')
  const page = globalThis as { [place]?: Client }
  page[place]?.close()
  delete page[place]
})

describe('at most one connection carries a source', () => {
  test.each([1, 2, 3])('300 subscribers that come and go in any order share one, seed %i', async (seed) => {
    const random = createRandom(seed)
    const journal = await startJournal()
    const { client } = startClient()
    const channel = defineChannel({ key: 'crowd', stream: journal.streamUrl, grace: 60 })
    const here: { unsubscribe(): void; heard: number }[] = []
    // Somebody is always there, so that no grace period ends in between.
    const first = watch(client, channel)

    for (let step = 0; step < 300; step += 1) {
      const subscriber = { heard: 0, unsubscribe: () => {} }
      subscriber.unsubscribe = client.subscribe(channel, () => {
        subscriber.heard += 1
      }).unsubscribe
      here.push(subscriber)
      while (here.length > 0 && random() < 0.45) here.splice(Math.floor(random() * here.length), 1)[0]!.unsubscribe()
      if (random() < 0.2) journal.append()
      if (random() < 0.2) await new Promise((resolve) => setImmediate(resolve))
    }
    await until(() => journal.open === 1)
    const last = here.map(({ heard }) => heard)
    journal.append()
    await until(() => first.events.length === journal.events.length, 'the last event')

    expect(here.map(({ heard }) => heard).every((heard, index) => heard > last[index]!)).toBe(true)
    expect(journal).toMatchObject({ connections: 1, mostOpen: 1 })
    expect(client.stats().subscriptions).toMatchObject({ active: here.length + 1, total: 301 })

    for (const { unsubscribe } of here) unsubscribe()
    first.unsubscribe()
    expect(journal.open).toBe(1)
    await until(() => journal.open === 0, 'the end of the grace period')
    expect(journal.connections).toBe(1)
  })

  test('channels with different keys and one stream share it, and each hears its own events', async () => {
    const journal = await startJournal()
    const { client } = startClient()
    const typed = (type: string) =>
      defineChannel<unknown, StreamEvent>({
        key: ['hub', type],
        stream: journal.streamUrl,
        normalize: ({ event, data }) => (event === type ? { type, data: JSON.parse(data) } : undefined),
      })
    const names = ['joined', 'left', 'typed', 'read', 'sent', 'seen']
    const watched = names.map((name) => watch(client, typed(name)))
    await until(() => journal.open === 1)
    for (const name of names) journal.append({ of: name }, name)
    await until(() => watched.every(({ events }) => events.length === 1))
    expect(watched.map(({ data }) => data)).toEqual(names.map((name) => [{ of: name }]))
    expect(journal).toMatchObject({ connections: 1, mostOpen: 1 })
    expect(client.stats().requests).toMatchObject({ asked: 6, sent: 1, shared: 5 })
  })

  test('a key that is described anew is the same channel', async () => {
    const journal = await startJournal()
    const { client } = startClient()
    const describeAgain = (key: readonly unknown[]) => defineChannel({ key, stream: journal.streamUrl })
    const watched = [
      watch(client, describeAgain(['user', { id: 7, of: 'a' }])),
      watch(client, describeAgain(['user', { of: 'a', id: 7 }])),
    ]
    await until(() => journal.open === 1)
    journal.append()
    await until(() => watched.every(({ events }) => events.length === 1))
    expect(client.stats().channels).toHaveLength(1)
    expect(watched[0]!.state).toBe(watched[1]!.state)
    expect(journal.connections).toBe(1)
  })

  test('keys that only look alike are different channels', () => {
    const keys = [
      ['1', '23'],
      ['12', '3'],
      '1,23',
      ['1,23'],
      [1, 23],
      [['1'], '23'],
      ['1', '23', undefined],
      ['1', '23', null],
    ]
    const hashed = keys.map((key) => defineChannel({ key, stream: 'http://127.0.0.1/' }).key)
    expect(new Set(hashed).size).toBe(keys.length)
  })

  test('one target written differently is one source', async () => {
    const journal = await startJournal()
    const { origin } = journal.server
    const { client } = startClient({ baseUrl: `${origin}/app/` })
    const targets = [
      journal.streamUrl,
      new URL(journal.streamUrl),
      { url: journal.streamUrl },
      { url: new URL('/stream', origin), method: 'get' },
      '/stream',
      '../stream',
      { url: '/stream', headers: {} },
    ]
    const watched = targets.map((stream, index) => watch(client, defineChannel({ key: ['as', index], stream })))
    await until(() => journal.open > 0)
    journal.append()
    await until(() => watched.every(({ events }) => events.length === 1))
    expect(journal).toMatchObject({ connections: 1, mostOpen: 1 })
  })

  test('what a function will answer is not known: each key has a source of its own', async () => {
    const journal = await startJournal()
    const { client } = startClient()
    const headers = () => ({ 'x-token': 'changes' })
    for (const key of ['a', 'b', 'a'])
      watch(client, defineChannel({ key, stream: { url: journal.streamUrl, headers } }))
    await until(() => journal.open === 2)
    expect(journal).toMatchObject({ connections: 2, mostOpen: 2 })
  })

  test('headers in another order or case are the same ones', async () => {
    const journal = await startJournal()
    const { client } = startClient()
    const headers = [
      { 'X-A': '1', 'x-b': '2' },
      { 'x-b': '2', 'x-a': '1' },
      [
        ['x-a', '1'],
        ['X-B', '2'],
      ] as [string, string][],
      new Headers({ 'x-a': '1', 'x-b': '2' }),
    ]
    const watched = headers.map((given, index) =>
      watch(client, defineChannel({ key: ['h', index], stream: { url: journal.streamUrl, headers: given } })),
    )
    await until(() => journal.open > 0)
    journal.append()
    await until(() => watched.every(({ events }) => events.length === 1))
    expect(journal.connections).toBe(1)
  })

  test('what makes another request is another source', async () => {
    const journal = await startJournal()
    const { client } = startClient({ limits: { streams: Infinity } })
    const url = journal.streamUrl
    const targets = [
      { url },
      { url: `${url}?page=2` },
      { url, headers: { authorization: 'Bearer a' } },
      { url, headers: { authorization: 'Bearer b' } },
      { url, method: 'POST' },
      { url, method: 'POST', body: '{"of":"a"}' },
      { url, method: 'POST', body: '{"of":"b"}' },
      { url, credentials: 'omit' as const },
      { url, credentials: 'include' as const },
    ]
    for (const [index, stream] of targets.entries()) watch(client, defineChannel({ key: ['t', index], stream }))
    await until(() => journal.open === targets.length, 'one stream for each')
    expect(journal.connections).toBe(targets.length)
  })

  test('body functions and target functions are told apart by the key of their channel', async () => {
    const journal = await startJournal()
    const { client } = startClient({ limits: { streams: Infinity } })
    const url = journal.streamUrl
    const byBody = (key: string) => defineChannel({ key, stream: { url, method: 'POST', body: () => key } })
    const byTarget = (key: string) => defineChannel({ key, stream: async () => url })
    for (const channel of [byBody('a'), byBody('a'), byBody('b'), byTarget('c'), byTarget('c'), byTarget('d')])
      watch(client, channel)
    await until(() => journal.open === 4)
    expect(journal.connections).toBe(4)
    expect(journal.server.requests.map(({ body }) => body).sort()).toEqual(['', '', 'a', 'b'])
  })

  test('another identity is another source, and the one before is closed', async () => {
    const journal = await startJournal()
    const { client } = startClient({ identity: 'anna' })
    watch(client, journal.streamUrl)
    await until(() => journal.open === 1)
    client.setIdentity('ben')
    await until(() => journal.connections === 2 && journal.open === 1)
    // The one before was never joined by the next: its stream ends, and the new one begins without its cursor.
    expect(journal.server.requests[1]!.headers['last-event-id']).toBeUndefined()
  })

  test('a snapshot that several channels name is asked for once', async () => {
    const server = await startServer(({ url }, response) =>
      url === '/stream'
        ? startStream(response)
        : response.writeHead(200, { 'content-type': 'application/json' }).end('{"n":1}'),
    )
    const { client } = startClient()
    const of = (key: string): Channel<unknown, StreamEvent> =>
      defineChannel({ key, stream: server.url('/stream'), snapshot: server.url('/snapshot'), reduce: (state) => state })
    const watched = ['a', 'b', 'c'].map((key) => watch(client, of(key)))
    await until(() => watched.every(({ state }) => state.status === 'live'))
    expect(watched.map(({ state }) => state.data)).toEqual([{ n: 1 }, { n: 1 }, { n: 1 }])
    expect(server.requests.map(({ url }) => url).sort()).toEqual(['/snapshot', '/stream'])
  })

  test('whoever comes within the grace period joins, after it there is a new connection', async () => {
    const journal = await startJournal()
    const { client } = startClient()
    const channel = defineChannel({ key: 'grace', stream: journal.streamUrl, grace: 80 })
    for (let round = 0; round < 5; round += 1) {
      const watched = watch(client, channel)
      if (round === 0) await until(() => watched.state.status === 'live')
      else expect(watched.state.status).toBe('live')
      watched.unsubscribe()
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(journal.connections).toBe(1)
    await until(() => journal.open === 0)
    watch(client, channel)
    await until(() => journal.open === 1)
    expect(journal.connections).toBe(2)
  })
})

describe('the singleton of the page', () => {
  test('is one over two copies of the bundle', async () => {
    const journal = await startJournal()
    // The copies that are published, beside the one that this file runs on.
    const cjs = createRequire(import.meta.url)('../../dist/index.cjs') as typeof import('millrace')
    const esm = (await import(
      /* @vite-ignore */ `${pathToFileURL(`${process.cwd()}/dist/index.js`).href}?copy`
    )) as typeof import('millrace')
    expect(new Set([cjs.createClient, esm.createClient, createClient]).size).toBe(3)

    const client = cjs.configure({ environment: 'test', identity: 'anna' })
    expect(esm.getClient()).toBe(client)
    expect(getClient()).toBe(client)

    const heard: string[] = []
    for (const [name, copy] of Object.entries({ cjs, esm, own: { defineChannel, getClient } })) {
      const channel = copy.defineChannel({ key: 'shared', stream: journal.streamUrl })
      copy.getClient().subscribe(channel as Channel<unknown, StreamEvent>, () => heard.push(name))
    }
    await until(() => journal.open === 1)
    journal.append()
    await until(() => heard.length === 3)
    expect(heard).toEqual(['cjs', 'esm', 'own'])
    expect(journal.connections).toBe(1)

    const refusal = await esm
      .getClient()
      .json(journal.server.url('/nowhere'))
      .catch((error: unknown) => error)
    expect(esm.isMillraceError(refusal)).toBe(true)
    expect(refusal).not.toBeInstanceOf(esm.MillraceError)
  })

  test('takes every option before its first use and only those of run time after it', () => {
    const client = configure({ environment: 'test', baseUrl: 'http://127.0.0.1/' })
    expect(configure({ interval: 500, flags: { streaming: false } })).toBe(client)
    expect(() => configure({ baseUrl: 'http://127.0.0.2/' })).toThrow(
      expect.objectContaining({ code: 'config', message: expect.stringContaining('`baseUrl`') }),
    )
    expect(() => configure({ identity: 'ben' })).toThrow(expect.objectContaining({ code: 'config' }))
    expect(getClient()).toBe(client)
  })
})
