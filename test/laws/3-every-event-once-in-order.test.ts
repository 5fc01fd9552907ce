import fc from 'fast-check'
import { defineChannel, type StreamEvent } from 'millrace'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { block, closeClients, json, startClient, startFeed, status, watch } from '../behaviour/channels/watch'
import { closeServers, startStream } from '../support/http-server'
import { startJournal } from '../support/journal-server'
import { until } from '../support/until'
import { type Server, surviveChaos } from './chaos'

const patient = {
  limits: { backgroundPerMinute: Infinity },
  breaker: { cooldown: 50 },
  backoff: { base: 4, cap: 30, resetAfter: 100 },
}

describe.concurrent('every event arrives once and in order, whatever the server does', () => {
  // At the end of all: what runs side by side is not to be closed by the first that is done.
  afterAll(closeClients)
  afterAll(closeServers)

  const servers: Server[] = ['replays', 'replays, with a snapshot', 'has ids but replays nothing', 'has no ids']
  test.each(servers)('from a server that %s', { timeout: 4 * 60_000 }, async (server) => {
    const events = server.startsWith('replays') ? 3_000 : 1_000
    const survives = (seed: number) => surviveChaos(startClient(patient).client, { seed, server, events, faults: 16 })
    await fc.assert(fc.asyncProperty(fc.nat(), survives), { numRuns: 2, seed: 20, endOnFailure: true })
  })
})

describe('across reconnects', () => {
  afterEach(closeClients)
  afterEach(closeServers)

  test('what is replayed too much is dropped and counted', async () => {
    const journal = await startJournal({ replayExtra: 5 })
    const { client } = startClient()
    const watched = watch(client, journal.streamUrl)
    await until(() => journal.open === 1)
    for (let n = 0; n < 8; n += 1) journal.append()
    await until(() => watched.events.length === 8)
    journal.drop()
    await until(() => journal.connections === 2 && journal.open === 1)
    journal.append()
    await until(() => watched.events.length >= 9)
    journal.assertDelivered(watched.events.map(({ id }) => Number(id)))
    expect(client.stats().channels[0]).toMatchObject({ events: 9, duplicates: 5, reconnects: 1, lastEventId: '9' })
  })

  test('equal data under new ids is news, and so is a repeated event on a connection that never broke', async () => {
    const feed = await startFeed()
    const { client } = startClient()
    const watched = watch(client, feed.streamUrl)
    await until(() => feed.open === 1)
    feed.write(block('tick', { id: 1 }) + block('tick', { id: 2 }) + block('tick', { id: 2 }))
    await until(() => watched.events.length === 3)
    expect(watched.events.map(({ id }) => id)).toEqual(['1', '2', '2'])
  })

  test('events without ids that come again after a reconnect are news: nothing tells them from new ones', async () => {
    const feed = await startFeed()
    const { client } = startClient()
    const watched = watch(client, feed.streamUrl)
    await until(() => feed.open === 1)
    feed.write(block('tick'))
    await until(() => watched.events.length === 1)
    feed.drop()
    await until(() => feed.streamRequests.length === 2 && feed.open === 1)
    feed.write(block('tick'))
    await until(() => watched.events.length === 2)
  })

  test('an id of a block without data moves the cursor', async () => {
    const feed = await startFeed()
    const { client } = startClient()
    const watched = watch(client, feed.streamUrl)
    await until(() => feed.open === 1)
    feed.write(`${block('a', { id: 1 })}id: 7\n\n`)
    await until(() => client.stats().channels[0]?.lastEventId === '7')
    feed.drop()
    await until(() => feed.streamRequests.length === 2)
    expect(feed.streamRequests[1]!.headers['last-event-id']).toBe('7')
    expect(watched.data).toEqual(['a'])
  })

  test('an event that was cut off is not delivered, and is asked for again', async () => {
    const feed = await startFeed()
    const { client } = startClient()
    const watched = watch(client, feed.streamUrl)
    await until(() => feed.open === 1)
    feed.write(`${block({ n: 1 }, { id: 1 })}id: 2\ndata: {"n":2}\n`)
    await until(() => watched.events.length === 1)
    feed.end()
    await until(() => feed.streamRequests.length === 2 && feed.open === 1)
    expect(feed.streamRequests[1]!.headers['last-event-id']).toBe('1')
    feed.write(block({ n: 2 }, { id: 2 }))
    await until(() => watched.events.length === 2)
    expect(watched.data).toEqual([{ n: 1 }, { n: 2 }])
  })
})

describe('a server that began anew', () => {
  afterEach(closeClients)
  afterEach(closeServers)

  test('is told as a gap, and the state is taken from the snapshot again', async () => {
    const feed = await startFeed(json({ of: 'old' }, { 'last-event-id': '3' }))
    const { client, alerts } = startClient()
    const channel = defineChannel<unknown, StreamEvent>({
      key: 'anew',
      stream: feed.streamUrl,
      snapshot: feed.snapshotUrl,
      reduce: (state, event) => ({ ...(state as object), last: event.data }),
    })
    const watched = watch(client, channel)
    await until(() => watched.state.status === 'live')
    feed.write(block('old 4', { id: 4 }) + block('old 5', { id: 5 }))
    await until(() => watched.events.length === 2)

    feed.snapshot(json({ of: 'new' }, { 'last-event-id': '4' }))
    feed.stream((_, response) => startStream(response).write(block('new 4', { id: 4 }) + block('new 5', { id: 5 })))
    feed.drop()
    await until(() => (watched.state.data as { last?: string }).last === 'new 5')
    expect(watched.state.data).toEqual({ of: 'new', last: 'new 5' })
    expect(alerts).toEqual([
      expect.objectContaining({ code: 'gap', channel: 'anew', message: expect.stringContaining('GET ') }),
    ])
    expect(watched.data.slice(0, 2)).toEqual(['old 4', 'old 5'])
    expect(watched.data.at(-1)).toBe('new 5')
    expect(feed.snapshotRequests).toHaveLength(2)
  })

  test('is told as a gap where there is no snapshot, and its events go on', async () => {
    const feed = await startFeed()
    const { client, alerts } = startClient()
    const watched = watch(client, feed.streamUrl)
    await until(() => feed.open === 1)
    feed.write(block('old', { id: 1 }))
    await until(() => watched.events.length === 1)
    feed.stream((_, response) => startStream(response).write(block('new', { id: 1 }) + block('next', { id: 2 })))
    feed.drop()
    await until(() => watched.events.length === 3)
    expect(watched.data).toEqual(['old', 'new', 'next'])
    expect(alerts).toEqual([expect.objectContaining({ code: 'gap' })])
  })
})

describe('across fallback to polling and back', () => {
  afterEach(closeClients)
  afterEach(closeServers)

  test('no event is lost or doubled and the state takes no step back', async () => {
    const journal = await startJournal({ snapshot: (events) => events.length })
    const { client } = startClient(patient)
    let isDown = false
    // In front of the journal: the stream can be had or not, the snapshot always.
    const front = await startFeed(async (_, response) => {
      const answer = await fetch(journal.snapshotUrl)
      const headers = { 'content-type': 'application/json', 'last-event-id': answer.headers.get('last-event-id')! }
      response.writeHead(200, headers).end(await answer.text())
    })
    front.stream((request, response) => {
      if (isDown) return status(503)(request, response, undefined as never)
      const after = Number(request.headers['last-event-id'] ?? 0)
      startStream(response)
      let sent = after
      const pump = setInterval(() => {
        if (isDown) return response.end()
        // One at a time, so that a state in between would show.
        const event = journal.events[sent]
        if (!event) return
        sent += 1
        response.write(block(event.id, { id: event.id }))
      }, 1)
      response.once('close', () => clearInterval(pump))
    })
    const channel = defineChannel<number, StreamEvent>({
      key: 'down and up',
      stream: front.streamUrl,
      snapshot: front.snapshotUrl,
      interval: 200,
      // Neither idempotent nor forgiving: a count that took the same event twice would be too high.
      reduce: (count) => count + 1,
    })
    const watched = watch(client, channel)
    await until(() => watched.state.status === 'live')
    for (let n = 0; n < 20; n += 1) journal.append()
    await until(() => watched.state.data === 20)

    isDown = true
    await until(() => watched.state.status === 'polling')
    for (let n = 0; n < 30; n += 1) journal.append()
    await until(() => watched.state.data === 50, 'a poll that has all')
    expect(watched.events).toHaveLength(20)
    isDown = false
    await until(() => watched.events.length === 50, 'what was missed, as events')
    journal.append()
    await until(() => watched.state.data === 51)

    journal.assertDelivered(watched.data as number[])
    const counts = watched.states.map(({ data }) => data).filter((data) => data !== undefined)
    expect(counts).toEqual([...counts].sort((a, b) => a - b))
    expect(Math.max(...counts)).toBe(51)
  })
})
