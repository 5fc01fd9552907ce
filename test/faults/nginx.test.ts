import { afterEach, describe, expect, test } from 'vitest'
import { closeClients } from '../behaviour/channels/watch'
import { closeSources } from '../behaviour/reconnecting-event-source/recorder'
import { closeProxies, startFaultProxy } from '../support/fault-proxy'
import { closeServers, startServer, startStream } from '../support/http-server'
import { startJournal } from '../support/journal-server'
import { closeNginx, startNginx } from '../support/nginx'
import { until } from '../support/until'
import { readerNames, readers } from './readers'

afterEach(closeClients)
afterEach(closeSources)
afterEach(closeNginx)
afterEach(closeProxies)
afterEach(closeServers)

/** Long enough for what is on its way to arrive. */
const WINDOW = 600
const GZIP = 'gzip on; gzip_types text/event-stream; gzip_min_length 0;'

function passed(ms: number) {
  const begun = performance.now()
  return until(() => performance.now() - begun > ms, 'the window that is watched')
}

describe('events behind nginx arrive when they are sent', () => {
  test.each([
    'proxy_buffering off;',
    'proxy_buffering off; proxy_http_version 1.1;',
    `proxy_buffering off; ${GZIP}`,
    `proxy_http_version 1.1; proxy_buffering off; ${GZIP}`,
  ])('with %s', async (settings) => {
    const journal = await startJournal()
    const nginx = await startNginx(`location / { ${settings} proxy_pass ${journal.server.origin}; }`)
    const reader = readers['a channel'](nginx.url('/stream'))
    await until(() => reader.isOpen)
    for (let n = 1; n <= 10; n += 1) {
      journal.append()
      await until(() => reader.ids.length === n, `event ${n}`)
    }
    expect(reader.losses).toEqual([])
    const { headers } = await fetch(nginx.url('/snapshot'))
    expect(headers.get('server')).toContain('nginx')
  })

  test('with its defaults, if the server says X-Accel-Buffering: no', async () => {
    const server = await startServer((_, response) => {
      startStream(response, { 'x-accel-buffering': 'no' }).write('id: 1\ndata: 1\n\n')
    })
    const nginx = await startNginx(`location / { ${GZIP} proxy_pass ${server.origin}; }`)
    const reader = readers['a channel'](nginx.url())
    await until(() => reader.ids.length === 1)
  })
})

test.each(['', GZIP, `proxy_http_version 1.1; ${GZIP}`])(
  'nginx withholds events with its defaults and "%s", which is taken for silence',
  async (settings) => {
    const journal = await startJournal({ heartbeat: 50 })
    const nginx = await startNginx(`location / { ${settings} proxy_pass ${journal.server.origin}; }`)
    const reader = readers.ReconnectingEventSource(nginx.url('/stream'), { idleTimeout: WINDOW })
    await until(() => journal.open === 1)
    journal.append()
    await until(() => reader.losses.length > 0)
    expect(reader.losses[0]?.code).toBe('idle')
    expect(reader.ids).toEqual([])
    expect(reader.deadEnds).toEqual([])
  },
)

describe.each(readerNames)('%s behind nginx', (name) => {
  const start = async (heartbeat?: number) => {
    const journal = await startJournal(heartbeat === undefined ? {} : { heartbeat })
    // Under 300 ms apart nginx takes two timeouts for the same one: a heartbeat must be worth more than that.
    const settings = `proxy_buffering off; proxy_read_timeout ${heartbeat === undefined ? 200 : 800}ms;`
    const nginx = await startNginx(`location / { ${settings} proxy_pass ${journal.server.origin}; }`)
    const reader = readers[name](nginx.url('/stream'))
    await until(() => reader.isOpen)
    journal.append()
    await until(() => reader.ids.length === 1)
    return { journal, nginx, reader }
  }

  test('is cut off by a `proxy_read_timeout` that is shorter than the silence, and loses nothing', async () => {
    const { journal, reader } = await start()
    await until(() => reader.losses.length >= 3)
    for (let n = 0; n < 5; n += 1) journal.append()
    await until(() => reader.ids.length === 6)
    journal.assertDelivered(reader.ids)
    expect(reader.losses.map(({ code }) => code)).toEqual(reader.losses.map(() => 'network'))
    expect(reader.deadEnds).toEqual([])
  })

  test('stays connected over a longer silence if heartbeats come more often than that', async () => {
    const { journal, reader } = await start(60)
    await passed(2 * 800)
    expect(reader.losses).toEqual([])
    expect(journal.connections).toBe(1)
  })

  test('hears on while nginx reads its configuration again, and comes back after a restart', async () => {
    const { journal, nginx, reader } = await start(60)
    await nginx.reload()
    journal.append()
    await until(() => reader.ids.length === 2)
    expect(reader.losses).toEqual([])
    await nginx.stop()
    journal.append()
    await until(() => reader.losses.length > 2)
    await nginx.start()
    await until(() => reader.ids.length === 3)
    journal.append()
    await until(() => reader.ids.length === 4)
    journal.assertDelivered(reader.ids)
    expect(reader.deadEnds).toEqual([])
  })

  test('waits while nginx answers 502 for a server that is down', async () => {
    const journal = await startJournal()
    const down = { breaks: { after: 0, by: 'reset' as const } }
    const upstream = await startFaultProxy(journal.server.origin, [down, down, down])
    const nginx = await startNginx(`location / { proxy_buffering off; proxy_pass ${upstream.origin}; }`)
    const reader = readers[name](nginx.url('/stream'))
    await until(() => reader.isOpen)
    journal.append()
    await until(() => reader.ids.length === 1)
    expect(reader.losses.map(({ code }) => code)).toEqual(['http', 'http', 'http'])
    expect(reader.deadEnds).toEqual([])
  })
})
