import { defineChannel, ReconnectingEventSource } from 'millrace'
import { afterEach, describe, expect, test } from 'vitest'
import { block, closeClients, json, startClient, startFeed, startStill, watch } from '../behaviour/channels/watch'
import { closeServers, startServer, startStream } from '../support/http-server'
import { until } from '../support/until'

afterEach(closeClients)
afterEach(closeServers)

const question = (url: string, more = {}) =>
  defineChannel<string>({
    key: ['answer', url],
    stream: { url, method: 'POST', body: '{"prompt":"hello"}' },
    initial: '',
    reduce: (text, { data }) => text + data,
    ...more,
  })
const cut = (text: string) => startServer((_, response) => startStream(response).write(text, () => response.destroy()))

describe('a question whose answer breaks off', () => {
  test('is not asked again where the server names no ids, and says what came of it', async () => {
    const server = await cut('data: Hello\n\ndata:  world\n\n')
    const watched = watch(startClient().client, question(server.url()))
    await until(() => watched.state.status === 'failed')
    expect(watched.state).toMatchObject({ data: 'Hello world', error: { code: 'interrupted', retryable: false } })
    expect(watched.state.error!.message).toContain('after 2 events in 27 bytes')
    expect(watched.state.error!.message).not.toContain('Hello')
    expect(server.requests).toHaveLength(1)
  })

  test('is asked again from an id, if the server has named one', async () => {
    const server = await startServer((request, response) => {
      const from = Number(request.headers['last-event-id'] ?? 0)
      startStream(response).write(block(`${from + 1}`, { id: from + 1 }), () => from < 2 && response.destroy())
    })
    const watched = watch(startClient().client, question(server.url()))
    await until(() => watched.state.data === '123')
    expect(server.requests.map(({ headers }) => headers['last-event-id'])).toEqual([undefined, '1', '2'])
  })

  test('is not asked again because somebody else signs in', async () => {
    const server = await startServer((_, response) => startStream(response).write('data: a\n\n'))
    const { client } = startClient({ identity: 'ada' })
    const watched = watch(client, question(server.url()))
    await until(() => watched.state.data === 'a')
    client.setIdentity('bob')
    await until(() => watched.state.status === 'failed')
    expect(watched.state).toMatchObject({ data: '', error: { code: 'interrupted' } })
    expect(server.requests).toHaveLength(1)
  })

  test('is asked again when somebody asks for it, and by itself with `reconnect: "always"`', async () => {
    const server = await cut('data: a\n\n')
    const { client } = startClient()
    const channel = question(server.url())
    const watched = watch(client, channel)
    await until(() => watched.state.status === 'failed')
    void client.refresh(channel)
    await until(() => server.requests.length === 2)
    watch(client, question(server.url('/always'), { reconnect: 'always' }))
    await until(() => server.requests.filter(({ url }) => url === '/always').length >= 2)
  })

  test('is asked later where the server says "not now", and not where a function fails before it is sent', async () => {
    let calls = 0
    const server = await startServer((_, response) =>
      server.requests.length === 1 ? response.writeHead(503).end() : startStream(response).write('data: a\n\n'),
    )
    const headers = () => {
      calls++
      if (calls === 1) throw new Error('no token')
      return {}
    }
    const stream = { url: server.url(), method: 'POST', body: '{}', headers }
    const watched = watch(startClient().client, question('later', { stream }))
    await until(() => watched.state.data === 'a')
    expect(server.requests).toHaveLength(2)
  })

  test('is not asked again after the switch was off, and never at all with `never`', async () => {
    const server = await startServer((_, response) => startStream(response).write('data: a\n\n'))
    const { client } = startClient()
    const watched = watch(client, question(server.url()))
    await until(() => watched.state.data === 'a')
    client.disable()
    client.enable()
    await until(() => watched.state.status === 'failed')
    expect(watched.state.error!.code).toBe('interrupted')
    expect(server.requests).toHaveLength(1)

    const named = await startServer((_, response) =>
      startStream(response).write('id: 1\ndata: a\n\n', () => response.destroy()),
    )
    const once = watch(client, defineChannel({ key: 'once', stream: named.url(), reconnect: 'never' }))
    await until(() => once.state.status === 'failed')
    expect(named.requests).toHaveLength(1)
  })

  test('closes a ReconnectingEventSource', async () => {
    const server = await cut('data: a\n\n')
    const source = new ReconnectingEventSource(server.url(), { method: 'POST', body: '{}' })
    const error = await new Promise<{ code: string } | undefined>((told) => {
      source.onerror = (event) => told(event.error)
    })
    expect(error?.code).toBe('interrupted')
    expect(source.readyState).toBe(source.CLOSED)
  })
})

describe('a stream that is asked again', () => {
  test('says that something may be missing where its server names no ids', async () => {
    const feed = await startFeed(json('snapshot'))
    const { client, alerts } = startClient()
    const watched = watch(client, defineChannel({ key: 'a', stream: feed.streamUrl, snapshot: feed.snapshotUrl }))
    await until(() => watched.state.status === 'live')
    feed.write(block('one'))
    await until(() => watched.state.data === 'one')
    const asked = feed.snapshotRequests.length
    feed.drop()
    await until(() => alerts.some(({ code }) => code === 'gap'))
    await until(() => feed.snapshotRequests.length === asked + 1 && watched.state.status === 'live')
  })

  test('says so too where the answer stands at another id than was asked for', async () => {
    const server = await startServer((request, response) => {
      const asked = request.headers['last-event-id']
      response.writeHead(200, { 'content-type': 'text/event-stream', ...(asked && { 'last-event-id': 'earliest' }) })
      response.write(block('one', { id: 'urn:1' }), () => !asked && response.destroy())
    })
    const { alerts, client } = startClient()
    watch(client, server.url())
    await until(() => alerts.some(({ code, message }) => code === 'gap' && message.includes('no longer knows')))
  })

  test('is live all along where its server ends it in good order, and is back at once', async () => {
    const feed = await startFeed()
    const { client, clock } = startStill()
    const watched = watch(client, feed.streamUrl)
    for (let n = 1; n <= 3; n++) {
      await until(() => feed.open === 1)
      feed.write(block(n, { id: n }))
      await until(() => watched.state.data === n)
      await clock.advance(60_000)
      feed.end()
      await until(() => client.stats().timers.some(({ label }) => label.startsWith('reconnect ')))
      await clock.advance(250)
      await until(() => feed.streamRequests.length === n + 1)
    }
    expect(watched.statuses).toEqual(['connecting', 'live'])
    expect(watched.states.every(({ isStale, status }) => status !== 'live' || !isStale)).toBe(true)
  })

  test('is not called live for longer than 2 s where it does not come back', async () => {
    const feed = await startFeed()
    const { client, clock } = startStill()
    const watched = watch(client, feed.streamUrl)
    await until(() => feed.open === 1)
    feed.write(block(1, { id: 1 }))
    await until(() => watched.state.data === 1)
    await clock.advance(60_000)
    feed.stream((_, response) => void response.writeHead(503).end())
    feed.end()
    await until(() => client.stats().timers.some(({ label }) => label.startsWith('reconnect ')))
    expect(watched.state.status).toBe('live')
    await clock.advance(2_000)
    await until(() => watched.state.status === 'reconnecting')
  })
})
