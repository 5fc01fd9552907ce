import { defineChannel, type StreamEvent } from 'millrace'
import { afterEach, expect, test } from 'vitest'
import { closeServers, startStream } from '../../support/http-server'
import { startJournal } from '../../support/journal-server'
import { until } from '../../support/until'
import { block, catchReported, closeClients, startClient, startFeed, status, watch } from './watch'

afterEach(closeClients)
afterEach(closeServers)

const done = block('all', { event: 'done' })
const crawl = (stream: string, key = 'crawl') =>
  defineChannel<number, StreamEvent>({
    key,
    stream,
    initial: 0,
    reduce: (count) => count + 1,
    until: ({ type }) => type === 'done' || type === 'error',
  })

test('a terminal event is delivered, the channel is complete and leaves its source at once', async () => {
  const feed = await startFeed()
  const { client } = startClient()
  const watched = watch(client, crawl(feed.streamUrl))
  await until(() => watched.state.status === 'live')
  feed.write(block('a') + done)
  await until(() => watched.completions === 1)
  expect(watched.events.map(({ type }) => type)).toEqual(['message', 'done'])
  expect(watched.state).toMatchObject({
    status: 'complete',
    data: 2,
    isStale: false,
    error: undefined,
    role: undefined,
  })
  expect(watched.statuses.at(-1)).toBe('complete')
  await until(() => feed.open === 0)
  expect(watched.errors).toEqual([])
})

test('what comes after it is dropped, in the same chunk and when it is told again', async () => {
  const feed = await startFeed()
  const { client } = startClient()
  const watched = watch(client, crawl(feed.streamUrl))
  await until(() => feed.open === 1)
  feed.write(block('a') + done + block('late') + done)
  await until(() => watched.completions === 1)
  await until(() => feed.open === 0)
  expect(watched.data).toEqual(['a', 'all'])
  expect(watched.completions).toBe(1)
})

test('the other channels of its source go on', async () => {
  const feed = await startFeed()
  const { client } = startClient()
  const finite = watch(client, crawl(feed.streamUrl, 'finite'))
  const endless = watch(client, feed.streamUrl)
  await until(() => feed.open === 1)
  feed.write(block('a') + done + block('b'))
  await until(() => endless.events.length === 3)
  expect(finite.data).toEqual(['a', 'all'])
  expect(endless).toMatchObject({ completions: 0, state: { status: 'live' } })
  expect(feed).toMatchObject({ open: 1, streamRequests: [expect.anything()] })
})

test('a late subscriber sees the last state and hears that it is complete, without a request', async () => {
  const feed = await startFeed()
  const { client } = startClient()
  const channel = crawl(feed.streamUrl)
  const first = watch(client, channel)
  await until(() => feed.open === 1)
  feed.write(done)
  await until(() => first.completions === 1)
  const late = watch(client, channel)
  expect(late.completions).toBe(0)
  await until(() => late.completions === 1)
  expect(late).toMatchObject({ events: [], state: { status: 'complete', data: 1 } })

  // And so does one who comes when the first ones are long gone.
  first.unsubscribe()
  late.unsubscribe()
  await until(() => client.stats().channels.length === 0, 'the end of the grace period')
  const later = watch(client, channel)
  await until(() => later.completions === 1)
  expect(later.state).toMatchObject({ status: 'complete', data: 1 })
  expect(feed.streamRequests).toHaveLength(1)
})

test('refresh starts it again', async () => {
  const feed = await startFeed()
  const { client } = startClient()
  const channel = crawl(feed.streamUrl)
  const watched = watch(client, channel)
  await until(() => feed.open === 1)
  feed.write(done)
  await until(() => watched.completions === 1 && feed.open === 0)
  await client.refresh(channel)
  await until(() => watched.state.status === 'live')
  expect(feed.streamRequests).toHaveLength(2)
  feed.write(block('a') + done)
  await until(() => watched.completions === 2)
  expect(watched.data).toEqual(['all', 'a', 'all'])
})

test('a terminal event is complete too when it says that the work failed', async () => {
  const feed = await startFeed()
  const { client } = startClient()
  const watched = watch(client, crawl(feed.streamUrl))
  await until(() => feed.open === 1)
  feed.write(block({ why: 'the worker died' }, { event: 'error' }))
  await until(() => watched.completions === 1)
  expect(watched.events).toMatchObject([{ type: 'error', data: { why: 'the worker died' } }])
})

test('`until` that throws is reported, and the stream goes on', async () => {
  const reported = catchReported()
  const feed = await startFeed()
  const { client } = startClient()
  const channel = defineChannel<unknown, StreamEvent>({
    key: 'throws',
    stream: feed.streamUrl,
    until({ data }) {
      if (data === 'bad') throw new Error('cannot tell')
      return data === 'end'
    },
  })
  const watched = watch(client, channel)
  await until(() => feed.open === 1)
  feed.write(block('bad') + block('a') + block('end'))
  await until(() => watched.completions === 1)
  expect(watched.data).toEqual(['bad', 'a', 'end'])
  expect(reported).toHaveLength(1)
})

test('a stream that is answered with 204 is complete, and is not asked again', async () => {
  const feed = await startFeed()
  feed.stream(status(204))
  const { client } = startClient()
  const watched = watch(client, feed.streamUrl)
  await until(() => watched.completions === 1)
  expect(watched.state).toMatchObject({ status: 'complete', error: undefined, retryAt: undefined })
  expect(watched.errors).toEqual([])
  expect(client.stats().timers.filter(({ label }) => label.includes('reconnect'))).toEqual([])
  expect(feed.streamRequests).toHaveLength(1)
})

test('a stream that was live and is answered with 204 when it comes back is complete', async () => {
  const feed = await startFeed()
  const { client } = startClient()
  const watched = watch(client, feed.streamUrl)
  await until(() => feed.open === 1)
  feed.write(block('a', { id: 1 }))
  await until(() => watched.events.length === 1)
  feed.stream(status(204))
  feed.end()
  await until(() => watched.completions === 1)
  expect(watched.state).toMatchObject({ status: 'complete', data: 'a', isStale: false })
})

test('no event is lost between a reconnect and the end', async () => {
  const journal = await startJournal()
  const { client } = startClient()
  const watched = watch(client, crawl(journal.streamUrl))
  await until(() => journal.open === 1)
  journal.append()
  await until(() => watched.events.length === 1)
  journal.drop()
  await until(() => journal.open === 0)
  journal.append()
  journal.append({ all: true }, 'done')
  await until(() => watched.completions === 1)
  expect(watched.events.map(({ id }) => id)).toEqual(['1', '2', '3'])
})

test('an end that the server only hangs up on is not the end', async () => {
  const feed = await startFeed()
  feed.stream((_, response) => startStream(response).end(block('a', { id: 1 })))
  const { client } = startClient()
  const watched = watch(client, crawl(feed.streamUrl))
  await until(() => feed.streamRequests.length >= 2)
  expect(watched.completions).toBe(0)
  expect(watched.data).toEqual(['a'])
})
