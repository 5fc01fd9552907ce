/** What a component sees, whatever it is written with: one table, run against each framework and version. */
import {
  type Channel,
  type Client,
  defineChannel,
  type JsonOptions,
  type MaybeChannel,
  type Seen,
  type StreamEvent,
  type ViewOptions,
} from 'millrace'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { closeServers, type Handler, type RecordedRequest, startServer } from '../../support/http-server'
import { until } from '../../support/until'
import { block, closeClients, held, json, startClient, startFeed, status } from '../channels/watch'

/** A channel, or a URL for `useJson`, as a component wants it; which of the two stays while it is mounted. */
export interface Wants {
  readonly channel?: MaybeChannel<unknown, StreamEvent>
  readonly url?: string | URL | null | undefined | false | ''
  readonly options?: ViewOptions<unknown, StreamEvent, unknown> & JsonOptions<unknown>
  /** The fields that it renders. */
  readonly reads?: readonly (keyof Seen<unknown>)[]
}

export interface Component {
  /** What each of its renders has shown, of what it reads. */
  readonly renders: readonly Partial<Seen<unknown>>[]
  readonly now: Partial<Seen<unknown>>
  /** Wants something else from now on. */
  update(wants: Wants): Promise<void>
  refresh(): Promise<void>
  unmount(): void
  /** What was thrown while it rendered. */
  readonly thrown: readonly unknown[]
}

export interface Harness {
  mount(client: Client, wants: Wants): Component | Promise<Component>
  /** Ends what is left. */
  clear(): void
}

export const READS = ['status', 'data', 'error'] as const
const isJson = (wants: Wants) => !('channel' in wants)

export { isJson }

export function describeView(name: string, { mount, clear }: Harness): void {
  afterEach(clear)
  afterEach(closeClients)
  afterEach(closeServers)

  /** A list at every URL, which POST adds to. */
  async function startLists(answer?: Handler) {
    const list = ['milk']
    const server = await startServer(async (request, response, raw) => {
      if (request.method === 'POST' && request.url.endsWith('/add')) list.push('bread')
      const body = { list: [...list], path: request.url }
      await (answer ?? json(body))(request, response, raw)
    })
    const asked = (path = '') =>
      server.requests.filter(({ url, method }) => url.endsWith(path) && method === 'GET').length
    return { server, asked, list, add: (client: Client) => client.fetch(server.url('/x/add'), { method: 'POST' }) }
  }
  const listOf = (component: Component) => (component.now.data as { list: string[] } | undefined)?.list.join()
  const settled = (component: Component, shows: string) => until(() => component.now.status === shows)
  const quiet = () => new Promise((resolve) => setTimeout(resolve, 60))

  describe(`${name}: nothing yet`, () => {
    test.each([null, undefined, false, ''] as const)('%j is no question: idle, without data', async (url) => {
      const { client } = startClient()
      const one = await mount(client, { url })
      expect(one.now).toMatchObject({ status: 'idle', data: undefined, error: undefined })
      await one.refresh()
      expect(one.now.status).toBe('idle')
      expect(client.stats().requests.asked).toBe(0)
    })

    test.each([null, undefined, false, '', 0, 0n] as const)('%s is no channel', async (channel) => {
      const { client } = startClient()
      const one = await mount(client, { channel })
      expect(one.now.status).toBe('idle')
      await one.refresh()
      expect(client.stats()).toMatchObject({ channels: [], subscriptions: { total: 0 } })
    })

    test('`enabled: false` asks nothing, shows what is known, and begins when it is true', async () => {
      const { server, asked } = await startLists()
      const { client } = startClient()
      const url = server.url('/list')
      const off = await mount(client, { url, options: { enabled: false } })
      await quiet()
      expect(asked()).toBe(0)
      expect(off.now.status).toBe('idle')
      await off.refresh()
      await until(() => listOf(off) === 'milk')
      expect(off.now.status).toBe('idle')
      await off.update({ url, options: { enabled: true } })
      await settled(off, 'complete')
      expect(off.renders.filter(({ data }) => data).length).toBe(
        off.renders.length - off.renders.findIndex(({ data }) => data),
      )
    })
  })

  describe(`${name}: one question`, () => {
    test('is one request and one state, which anybody refreshes or invalidates for all', async () => {
      const { server, asked, add } = await startLists()
      const { client } = startClient()
      const url = server.url('/list')
      const both = [await mount(client, { url }), await mount(client, { url: new URL(url) })]
      expect(both.map(({ now }) => now.status)).toEqual(['connecting', 'connecting'])
      for (const one of both) await settled(one, 'complete')
      expect(asked('/list')).toBe(1)

      await add(client)
      await both[1]!.refresh()
      for (const one of both) await until(() => listOf(one) === 'milk,bread')
      await add(client)
      client.invalidate(url)
      for (const one of both) await until(() => listOf(one) === 'milk,bread,bread')
      expect(asked('/list')).toBe(3)
    })

    test('has one answer with `client.json`: what is cached is shown without a request, and what is fetched reaches it', async () => {
      const { server, asked, add } = await startLists()
      const { client } = startClient()
      const url = server.url('/list')
      await client.json(url)
      const one = await mount(client, { url, options: { ttl: 60_000 } })
      await until(() => listOf(one) === 'milk')
      expect(one.now.status).toBe('complete')
      expect(asked('/list')).toBe(1)
      await add(client)
      const body = await client.json(url, undefined, { ttl: 0 })
      await until(() => listOf(one) === 'milk,bread')
      expect(one.now.data).toEqual(body)
      expect(asked('/list')).toBe(2)
      // And the other way round.
      await one.refresh()
      await client.json(url, undefined, { ttl: 60_000 })
      expect(asked('/list')).toBe(3)
    })

    test('is asked anew by who comes with `ttl: 0`, and shows what it knows meanwhile', async () => {
      const { server, asked, add } = await startLists()
      const { client } = startClient()
      const url = server.url('/list')
      const one = await mount(client, { url, options: { ttl: 0 } })
      await settled(one, 'complete')
      await add(client)
      const other = await mount(client, { url, options: { ttl: 0 } })
      await until(() => listOf(other) === 'milk,bread')
      await until(() => listOf(one) === 'milk,bread')
      expect(asked('/list')).toBe(2)
      one.unmount()
      other.unmount()
      const late = await mount(client, { url, options: { ttl: 60_000 } })
      await settled(late, 'complete')
      expect(listOf(late)).toBe('milk,bread')
      expect(asked('/list')).toBe(2)
    })

    test('is another one by another method, other headers or another body', async () => {
      const { server } = await startLists(({ method, headers, body }, response) =>
        response.end(JSON.stringify(`${method} ${headers['x-kind'] ?? ''} ${body}`)),
      )
      const { client } = startClient()
      const url = server.url('/list')
      const options: Wants['options'][] = [
        {},
        { headers: { 'x-kind': 'a' } },
        { headers: { 'X-Kind': 'b' } },
        { method: 'POST', body: 'one' },
        { method: 'post', body: 'two' },
      ]
      const all: Component[] = []
      for (const how of options) all.push(await mount(client, { url, options: how! }))
      for (const one of all) await settled(one, 'complete')
      expect(all.map(({ now }) => now.data)).toEqual(['GET  ', 'GET a ', 'GET b ', 'POST  one', 'POST  two'])
      expect(server.requests).toHaveLength(5)
    })

    test('that is asked no more is aborted, and its answer never shown', async () => {
      const slow = held(json('slow'))
      const { server } = await startLists((request: RecordedRequest, ...rest) =>
        (request.url === '/slow' ? slow.handler : json('fast'))(request, ...rest),
      )
      const { client } = startClient()
      const one = await mount(client, { url: server.url('/slow') })
      await until(() => slow.waiting === 1)
      await one.update({ url: server.url('/fast') })
      await until(() => one.now.data === 'fast')
      await until(() => client.stats().endpoints.every(({ inFlight }) => inFlight === 0))
      await until(() => server.openStreams === 0)
      slow.release()
      await one.update({ url: null })
      expect(one.now).toMatchObject({ status: 'idle', data: undefined })
      expect(one.renders.map(({ data }) => data)).not.toContain('slow')
    })

    test('that is refreshed is never answered by what was sent before', async () => {
      const list = ['milk']
      const server = await startServer(async (_, response) => {
        const asItIs = [...list]
        await new Promise((resolve) => setTimeout(resolve, 150))
        response.end(JSON.stringify({ list: asItIs }))
      })
      const { client } = startClient()
      const one = await mount(client, { url: server.url('/list') })
      await until(() => server.requests.length === 1)
      list.push('bread')
      await one.refresh()
      await until(() => listOf(one) === 'milk,bread')
      expect(server.requests).toHaveLength(2)
    })

    test('that fails has `failed`, keeps what it knew, tells `onError` once, and begins again with `refresh`', async () => {
      let answer: Handler = status(503)
      const { server, asked } = await startLists((...args) => answer(...args))
      const { client } = startClient()
      const errors: string[] = []
      const options = { retry: 1, onError: ({ code }: { code: string }) => void errors.push(code) }
      const one = await mount(client, { url: server.url('/list'), options })
      await settled(one, 'failed')
      expect(one.now.error?.code).toBe('http')
      expect(asked()).toBe(2)
      answer = json({ list: ['tea'] })
      await one.refresh()
      await settled(one, 'complete')
      expect(one.now.error).toBeUndefined()
      answer = status(404)
      await one.refresh()
      await settled(one, 'failed')
      expect(listOf(one)).toBe('tea')
      expect(errors).toEqual(['http', 'http'])
    })

    test('is forgotten when somebody else signs in', async () => {
      let answer: Handler = json('for Ada')
      const { server } = await startLists((...args) => answer(...args))
      const { client } = startClient({ identity: 'ada' })
      const one = await mount(client, { url: server.url('/me') })
      await until(() => one.now.data === 'for Ada')
      const slow = held(json('for Bob'))
      answer = slow.handler
      client.setIdentity('bob')
      await until(() => one.now.data === undefined)
      expect(one.now.status).toBe('connecting')
      await until(() => slow.waiting === 1)
      slow.release()
      await until(() => one.now.data === 'for Bob')
    })
  })

  describe(`${name}: an interval`, () => {
    test.each([0, undefined])('of %s is none', async (interval) => {
      const { server, asked } = await startLists()
      const { client } = startClient()
      const one = await mount(client, { url: server.url('/list'), options: { interval } })
      await settled(one, 'complete')
      await new Promise((resolve) => setTimeout(resolve, 700))
      expect(asked()).toBe(1)
      expect(one.now.error).toBeUndefined()
    })

    test('may come and go: what is shown stays, and nothing is asked for that alone', async () => {
      const { server, asked } = await startLists()
      const { client } = startClient()
      const url = server.url('/list')
      const one = await mount(client, { url, options: { interval: 200 } })
      await settled(one, 'polling')
      await until(() => asked() >= 3)
      await one.update({ url, options: { interval: undefined } })
      await settled(one, 'complete')
      await until(() => client.stats().endpoints.every(({ inFlight }) => inFlight === 0))
      const before = asked()
      await new Promise((resolve) => setTimeout(resolve, 500))
      await one.update({ url, options: { interval: 0 } })
      expect(asked()).toBe(before)
      await one.update({ url, options: { interval: 200 } })
      await settled(one, 'polling')
      await until(() => asked() >= before + 2)
      const first = one.renders.findIndex(({ data }) => data)
      expect(one.renders.slice(first).every(({ data }) => data)).toBe(true)
    })

    test('that is no number is refused by its name, and asks nothing', async () => {
      vi.spyOn(console, 'error').mockImplementation(() => {})
      const { server, asked } = await startLists()
      const { client } = startClient()
      const reported: unknown[] = []
      vi.stubGlobal('reportError', (error: unknown) => reported.push(error))
      const one = await mount(client, { url: server.url('/list'), options: { interval: Number.NaN } })
      await settled(one, 'failed')
      expect(one.now.error).toMatchObject({ code: 'config', message: expect.stringContaining('interval') })
      expect(one.thrown).toEqual([])
      expect(asked()).toBe(0)
    })
  })

  describe(`${name}: what is rendered`, () => {
    const channelOf = (stream: string): Channel<unknown, StreamEvent> => defineChannel<unknown>({ key: 'k', stream })

    test('is what is selected, and only when that is another', async () => {
      const feed = await startFeed()
      const { client } = startClient()
      const select = (data: unknown) => (data as { n: number }).n
      const wants: Wants = { channel: channelOf(feed.streamUrl), options: { select }, reads: ['data'] }
      const one = await mount(client, wants)
      await until(() => feed.open === 1)
      for (const n of [1, 1, 1]) feed.write(block({ n, at: Math.random() }))
      await until(() => one.now.data === 1)
      const count = one.renders.length
      for (const n of [1, 1, 2]) feed.write(block({ n, at: Math.random() }))
      await until(() => one.now.data === 2)
      expect(one.renders.length).toBe(count + 1)
    })

    test('is nothing for a field that nobody reads', async () => {
      const feed = await startFeed()
      const { client } = startClient()
      const one = await mount(client, { channel: channelOf(feed.streamUrl), reads: ['status'] })
      await settled(one, 'live')
      const count = one.renders.length
      const heard = new Promise((resolve) => client.on('event', resolve))
      feed.write(block('one'))
      await heard
      await quiet()
      expect(one.renders.length).toBe(count)
    })

    test('tells by whom it holds the connection, and by what it is paused', async () => {
      const feed = await startFeed()
      const { client } = startClient()
      const one = await mount(client, {
        channel: channelOf(feed.streamUrl),
        reads: ['status', 'role', 'pausedBy', 'isLive'],
      })
      await settled(one, 'live')
      expect(one.now).toMatchObject({ role: 'solo', isLive: true, pausedBy: undefined })
      client.disable()
      await settled(one, 'paused')
      expect(one.now).toMatchObject({ pausedBy: 'disabled', isLive: false })
    })

    test('is `failed` where it cannot be had: nothing is thrown', async () => {
      vi.spyOn(console, 'error').mockImplementation(() => {})
      const { client } = startClient()
      vi.stubGlobal('reportError', () => {})
      client.close()
      const one = await mount(client, { channel: channelOf('https://example.com/never') })
      await settled(one, 'failed')
      expect(one.now.error?.code).toBe('closed')
      expect(one.thrown).toEqual([])
    })

    test('names who asks in the statistics', async () => {
      const { server } = await startLists()
      const { client } = startClient()
      await mount(client, { url: server.url('/list'), options: { label: 'Basket' } })
      await until(() => client.stats().channels[0]?.subscribers[0]?.label === 'Basket')
    })
  })
}
