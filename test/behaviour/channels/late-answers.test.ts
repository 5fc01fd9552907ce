import { defineChannel, type StreamEvent } from 'millrace'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { closeServers, startStream } from '../../support/http-server'
import { until } from '../../support/until'
import { block, closeClients, type Feed, held, json, startFeed, startStill, watch } from './watch'

afterEach(closeClients)
afterEach(closeServers)

const FIREFOX = { userAgent: 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0' }
const SAFARI = {
  userAgent: 'Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15',
}

const list = ({ streamUrl: stream, snapshotUrl: snapshot }: Feed, idleTimeout?: number) =>
  defineChannel<readonly string[], StreamEvent<string, string>>({
    key: 'list',
    stream,
    snapshot,
    reduce: (list, { data }) => [...list, data],
    ...(idleTimeout && { idleTimeout }),
  })

/** A server whose stream is answered only when it is let go; a client that has asked for it. */
async function ask(idleTimeout?: number) {
  const answer = held((_, response) => startStream(response).write(block('a', { id: 1 })))
  const feed = await startFeed(json(['s'], { 'last-event-id': '0' }))
  feed.stream(answer.handler)
  const { client, clock } = startStill()
  const watched = watch(client, list(feed, idleTimeout))
  await until(() => answer.waiting === 1)
  return { feed, clock, watched, answer: answer.release }
}

describe('a stream that is answered late', () => {
  test('does not keep its snapshot back for more than 2 s', async () => {
    const { feed, clock, watched } = await ask()
    await clock.advance(1_999)
    expect(feed.snapshotRequests).toHaveLength(0)
    await clock.advance(1)
    await until(() => watched.state.data)
    expect(watched.state).toMatchObject({ status: 'connecting', data: ['s'], isStale: true })
    await clock.advance(10_000)
    expect(feed.snapshotRequests).toHaveLength(1)
  })

  test('asks for the snapshot again when it is open, for what came between the two', async () => {
    const { feed, clock, watched, answer } = await ask()
    await clock.advance(2_000)
    await until(() => watched.state.data)
    feed.snapshot(json(['s', 't'], { 'last-event-id': '0' }))
    answer()
    await until(() => watched.state.data?.length === 3)
    expect(watched.state).toMatchObject({ status: 'live', data: ['s', 't', 'a'], isStale: false })
    expect(feed.snapshotRequests).toHaveLength(2)
  })

  test('says so after 15 s, is polled meanwhile, and is waited for', async () => {
    vi.stubGlobal('navigator', SAFARI)
    const { feed, clock, watched, answer } = await ask()
    await clock.advance(14_999)
    expect(watched.state.error).toBeUndefined()
    await clock.advance(1)
    expect(watched.state.error).toMatchObject({ code: 'timeout', message: expect.stringContaining('15000 ms') })
    feed.snapshot(json(['polled'], { 'last-event-id': '0' }))
    await clock.advance(30_000)
    await until(() => watched.state.status === 'polling')
    await clock.advance(3_600_000)
    answer()
    await until(() => watched.state.status === 'live')
    expect(feed.streamRequests).toHaveLength(1)
    expect(watched.state.error).toBeUndefined()
  })

  test('is not given up in Firefox, which tells of no answer before its first byte', async () => {
    vi.stubGlobal('navigator', FIREFOX)
    const { feed, clock, watched, answer } = await ask()
    await clock.advance(3_600_000)
    expect(watched.statuses).toEqual(['connecting'])
    answer()
    await until(() => watched.state.status === 'live')
    await until(() => watched.data.length === 1)
    expect(feed.streamRequests).toHaveLength(1)
  })

  test('is given up in Firefox after an idle timeout that the channel names', async () => {
    vi.stubGlobal('navigator', FIREFOX)
    const { clock, watched } = await ask(30_000)
    await clock.advance(29_999)
    expect(watched.state.status).toBe('connecting')
    await clock.advance(1)
    expect(watched.state).toMatchObject({ status: 'reconnecting', error: { code: 'idle' } })
  })
})
