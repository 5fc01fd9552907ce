import { defineChannel } from 'millrace'
import { afterEach, expect, test } from 'vitest'
import { block, closeClients, json, startClient, watch } from '../behaviour/channels/watch'
import { closeServers, startServer, startStream } from '../support/http-server'
import { until } from '../support/until'

afterEach(closeClients)
afterEach(closeServers)

const start = () =>
  startServer((request, response) => {
    if (request.url.startsWith('/broken')) return response.writeHead(503).end()
    if (request.url.startsWith('/state')) return json('polled')(request, response, undefined as never)
    startStream(response).write(block('streamed'))
  })

test('streams that wait for their next attempt take no slot', async () => {
  const server = await start()
  const { client } = startClient({ limits: { streams: 2 }, backoff: { base: 60_000, cap: 60_000 } })
  const broken = [1, 2, 3].map((n) => watch(client, server.url(`/broken/${n}`)))
  await until(() => broken.every(({ state }) => state.status === 'reconnecting'))
  const healthy = [1, 2].map((n) => watch(client, server.url(`/healthy/${n}`)))
  await until(() => healthy.every(({ state }) => state.status === 'live'))
})

test('a stream whose URL a function tells takes one, and one alert is told for an origin', async () => {
  const server = await start()
  const { client, alerts } = startClient({ limits: { streams: 1 } })
  const first = watch(client, defineChannel({ key: 'first', stream: () => server.url('/a') }))
  await until(() => first.state.status === 'live')
  const others = [1, 2, 3].map((n) =>
    watch(
      client,
      defineChannel({ key: ['other', n], stream: () => server.url(`/${n}`), snapshot: server.url('/state') }),
    ),
  )
  await until(() => others.every(({ state }) => state.status === 'polling'))
  expect(alerts.filter(({ code }) => code === 'stream-limit')).toHaveLength(1)
  first.unsubscribe()
  await until(() => others.some(({ state }) => state.status === 'live'))
})

test('there is no limit where no browser sets one', async () => {
  const server = await start()
  const { client } = startClient()
  const watched = Array.from({ length: 12 }, (_, n) => watch(client, server.url(`/${n}`)))
  await until(() => watched.every(({ state }) => state.status === 'live'))
})
