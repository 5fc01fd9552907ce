import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { serve } from '@hono/node-server'
import { defineChannel, type StreamEvent } from 'millrace'
import { afterEach, describe, expect, test } from 'vitest'
import { createBetterSseServer } from '../../examples/recipes/servers/better-sse'
import { createEventLog, type EventLog } from '../../examples/recipes/servers/event-log'
import { createFastifyApp } from '../../examples/recipes/servers/fastify'
import { createHonoApp } from '../../examples/recipes/servers/hono'
import { createNodeServer } from '../../examples/recipes/servers/node-http'
import { closeClients, startClient, startStill, watch } from '../behaviour/channels/watch'
import { closeSources, record } from '../behaviour/reconnecting-event-source/recorder'
import { closeProxies, startFaultProxy } from '../support/fault-proxy'
import { until } from '../support/until'

const closings: (() => unknown)[] = []

afterEach(closeClients)
afterEach(closeSources)
afterEach(closeProxies)
afterEach(async () => {
  for (const close of closings.splice(0)) await close()
})

const servers: Record<string, (log: EventLog, heartbeat?: number) => Promise<Server>> = {
  'node:http': async (log, heartbeat) => listening(createNodeServer(log, heartbeat)),
  'better-sse': async (log, heartbeat) => listening(createBetterSseServer(log, heartbeat)),
  "Hono's streamSSE": async (log, heartbeat) =>
    new Promise((resolve) => {
      const { fetch } = createHonoApp(log, heartbeat)
      const server = serve({ fetch, port: 0, hostname: '127.0.0.1' }, () => resolve(server as Server)) as Server
    }),
  'Fastify with @fastify/sse': async (log, heartbeat) => {
    const app = await createFastifyApp(log, heartbeat)
    await app.listen({ port: 0, host: '127.0.0.1' })
    closings.push(() => app.close())
    return app.server
  },
}

function listening(server: Server): Promise<Server> {
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)))
}

/** The server, and a proxy before it that drops connections. */
async function start(name: string, heartbeat?: number, log = createEventLog({ epoch: 'e' })) {
  const server = await servers[name]!(log, heartbeat)
  closings.push(() => {
    server.closeAllConnections()
    server.close()
  })
  const proxy = await startFaultProxy(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  const { client } = startClient()
  return { log, proxy, client, url: proxy.url() }
}

const channel = (url: string) =>
  defineChannel<unknown, StreamEvent>({ key: url, stream: url, until: ({ type }) => type === 'closed' })

describe.each(Object.keys(servers))('%s', (name) => {
  test('connects while there is nothing to tell, and streams typed events with their ids', async () => {
    const { log, client, url } = await start(name)
    const watched = watch(client, channel(url))
    await until(() => watched.state.status === 'live')
    log.append('order', { id: 'a', text: 'Größe\n😀' })
    log.append('price', 7)
    await until(() => watched.events.length === 2)
    expect(watched.events.map(({ id, type, data }) => ({ id, type, data }))).toEqual([
      { id: 'e-1', type: 'order', data: { id: 'a', text: 'Größe\n😀' } },
      { id: 'e-2', type: 'price', data: 7 },
    ])
    const answer = await fetch(url)
    expect(answer.headers.get('x-accel-buffering')).toBe('no')
    await answer.body?.cancel()
  })

  test('is resumed after a drop, and nothing is lost or comes twice', async () => {
    const { log, proxy, client, url } = await start(name)
    const watched = watch(client, channel(url))
    const { messages } = record(url, {}, ['n'])
    const heard = () => Math.min(watched.events.length, messages.length)
    for (let round = 1; round <= 5; round += 1) {
      for (let n = 0; n < 20; n += 1) log.append('n', (round - 1) * 20 + n)
      // Half of the time in the middle of what is on its way.
      if (round % 2) await until(() => heard() === round * 20)
      proxy.breakAll('reset')
    }
    await until(() => heard() === 100)
    const all = Array.from({ length: 100 }, (_, n) => n)
    expect(watched.data).toEqual(all)
    expect(messages.map(({ data }) => Number(data))).toEqual(all)
  })

  test('answers an id from before its restart as such, with all that it has', async () => {
    const { log, url } = await start(name)
    log.append('n', 1)
    const answer = await fetch(url, { headers: { 'last-event-id': 'before-1' } })
    expect(answer.headers.get('last-event-id')).toBe('e-0')
    let text = ''
    for await (const chunk of answer.body!.pipeThrough(new TextDecoderStream())) {
      text += chunk
      if (text.includes('e-1')) break
    }
    const known = await fetch(url, { headers: { 'last-event-id': 'e-1' } })
    expect(known.headers.get('last-event-id')).toBe('e-1')
    await known.body?.cancel()
  })

  test('sends heartbeats, so that a connection that died is noticed', async () => {
    const { log, proxy, url } = await start(name, 40)
    const { client, clock } = startStill()
    const patient = defineChannel<unknown, StreamEvent>({ key: url, stream: url, idleTimeout: 300 })
    const watched = watch(client, patient)
    await until(() => watched.state.status === 'live')
    // A silence of more than `idleTimeout`, but for heartbeats.
    for (let ms = 0; ms < 1_000; ms += 50) {
      const before = proxy.bytes
      await until(() => proxy.bytes > before, 'a heartbeat')
      await clock.advance(50)
    }
    expect(watched.statuses).toEqual(['connecting', 'live'])
    expect(proxy.connections).toBe(1)
    proxy.breakAll('stall')
    log.append('n', 1)
    await until(async () => {
      await clock.advance(50)
      return watched.events.length === 1
    })
    expect(watched.states.map(({ error }) => error?.code)).toContain('idle')
  })

  test('ends: a channel is complete, and a source that asks once more is told so by 204', async () => {
    const { log, proxy, client, url } = await start(name)
    const watched = watch(client, channel(url))
    const { source, errors, messages } = record(url, {}, ['n', 'closed'])
    await until(() => watched.state.status === 'live' && source.readyState === source.OPEN)
    log.append('n', 1)
    log.close()
    await until(() => watched.state.status === 'complete')
    await until(() => source.readyState === source.CLOSED)
    expect(watched.events.map(({ type }) => type)).toEqual(['n', 'closed'])
    expect(messages.map(({ type }) => type)).toEqual(['n', 'closed'])
    expect(errors.at(-1)?.readyState).toBe(source.CLOSED)
    // The channel's one, and the source's two.
    expect(proxy.connections).toBeLessThanOrEqual(3)
  })
})
