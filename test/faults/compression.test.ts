import { afterEach, describe, expect, test } from 'vitest'
import { closeClients } from '../behaviour/channels/watch'
import { closeSources } from '../behaviour/reconnecting-event-source/recorder'
import { closeProxies, startFaultProxy } from '../support/fault-proxy'
import { startGzipServer } from '../support/gzip-server'
import { closeServers } from '../support/http-server'
import { startJournal } from '../support/journal-server'
import { until } from '../support/until'
import { readerNames, readers } from './readers'

afterEach(closeClients)
afterEach(closeSources)
afterEach(closeProxies)
afterEach(closeServers)

/** Many heartbeats: a loaded machine may stall for some of them, and is not dead. */
const IDLE = 1_000

describe.each(readerNames)('%s on a stream that is compressed', (name) => {
  test('hears each event when it is sent', async () => {
    const journal = await startJournal()
    const server = await startGzipServer(journal.server.origin)
    const reader = readers[name](server.url('/stream'))
    await until(() => reader.isOpen)
    for (let n = 1; n <= 20; n += 1) {
      journal.append()
      await until(() => reader.ids.length === n)
    }
    expect(server.requests[0]?.headers['accept-encoding']).toContain('gzip')
  })

  test('resumes where it was cut off, anywhere within a compressed block', async () => {
    const journal = await startJournal({ heartbeat: 25 })
    const server = await startGzipServer(journal.server.origin)
    const cuts = (['reset', 'end', 'stall'] as const).flatMap((by) =>
      [260, 261, 299, 352].map((after) => ({ breaks: { after, by }, pieces: [61] })),
    )
    const proxy = await startFaultProxy(server.origin, cuts)
    const reader = readers[name](proxy.url('/stream'), { idleTimeout: IDLE })
    const feed = setInterval(() => journal.append({ text: `${Math.sin(journal.events.length)} €😀` }), 5)
    await until(() => proxy.connections > cuts.length && reader.isOpen, { within: 30_000 })
    clearInterval(feed)
    const last = journal.append().id
    await until(() => reader.ids.at(-1) === last)
    journal.assertDelivered(reader.ids, 1)
    expect(reader.losses).toHaveLength(cuts.length)
    expect(reader.deadEnds).toEqual([])
  })

  test('hears nothing from a compressor that does not flush, takes the silence for death, and says so', async () => {
    const journal = await startJournal({ heartbeat: 25 })
    const server = await startGzipServer(journal.server.origin, { flush: false })
    const reader = readers[name](server.url('/stream'), { idleTimeout: IDLE })
    await until(() => reader.isOpen)
    journal.append()
    await until(() => reader.losses.length === 1)
    expect(reader.ids).toEqual([])
    expect(reader.losses[0]?.code).toBe('idle')
    expect(reader.deadEnds).toEqual([])
  })
})
