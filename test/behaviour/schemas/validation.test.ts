import { type } from 'arktype'
import { type Channel, defineChannel, type StreamEvent } from 'millrace'
import * as v from 'valibot'
import { afterEach, describe, expect, test } from 'vitest'
import * as z from 'zod'
import { closeServers } from '../../support/http-server'
import { until } from '../../support/until'
import { block, closeClients, json, startClient, startFeed, watch } from '../channels/watch'

afterEach(closeClients)
afterEach(closeServers)

const SECRET = 'hunter2'

/** The same two events, by each of the three: `price` turns its text into a number, `note` takes any text. */
const libraries = {
  zod: {
    price: z.object({ symbol: z.string(), last: z.string().transform(Number) }),
    note: z.string(),
  },
  valibot: {
    price: v.object({ symbol: v.string(), last: v.pipe(v.string(), v.transform(Number)) }),
    note: v.string(),
  },
  arktype: {
    price: type({ symbol: 'string', last: type('string').pipe((text) => Number(text)) }),
    note: type('string'),
  },
}

describe.each(Object.entries(libraries))('events that are validated by %s', (_, events) => {
  const channelOf = (stream: string) =>
    defineChannel({ key: 'prices', stream, events }) as Channel<unknown, StreamEvent>

  test('are what the schema makes of them', async () => {
    const feed = await startFeed()
    const { client } = startClient()
    const watched = watch(client, channelOf(feed.streamUrl))
    await until(() => feed.open === 1)
    feed.write(block({ symbol: 'A', last: '1.5' }, { event: 'price' }) + block({ note: 'hello' }))
    await until(() => watched.events.length === 2)
    expect(watched.events).toMatchObject([
      { type: 'price', data: { symbol: 'A', last: 1.5 } },
      { type: 'note', data: 'hello' },
    ])
    expect(watched.state.data).toBe('hello')
  })

  test('that do not fit are dropped, counted and told, without what they hold', async () => {
    const feed = await startFeed()
    const { client, alerts } = startClient()
    const watched = watch(client, channelOf(feed.streamUrl))
    await until(() => feed.open === 1)
    feed.write(
      block({ symbol: SECRET, last: 7 }, { event: 'price' }) +
        block({ [SECRET]: 1 }, { event: 'price' }) +
        block('"good"', { event: 'note' }),
    )
    await until(() => watched.events.length === 1)
    expect(watched.data).toEqual(['good'])
    expect(client.stats().channels[0]).toMatchObject({ events: 1, invalid: 2, ignored: 0, reconnects: 0 })
    expect(alerts).toEqual([
      expect.objectContaining({
        code: 'invalid-event',
        channel: 'prices',
        message: expect.stringMatching(/^GET .*"price" does not fit its schema at `last`/),
      }),
    ])
    expect(JSON.stringify(alerts)).not.toContain(SECRET)
    expect(watched.state).toMatchObject({ status: 'live', error: undefined })
    expect(feed.streamRequests).toHaveLength(1)
  })
})

describe.each([
  ['zod', z.object({ users: z.array(z.string()) })],
  ['valibot', v.object({ users: v.array(v.string()) })],
  ['arktype', type({ users: 'string[]' })],
] as const)('a snapshot that is validated by %s', (_, schema) => {
  test('is what the schema makes of it', async () => {
    const feed = await startFeed(json({ users: ['anna'] }))
    const { client } = startClient()
    const watched = watch(client, defineChannel({ key: 'users', snapshot: feed.snapshotUrl, schema }))
    await until(() => watched.state.status === 'polling')
    expect(watched.state.data).toEqual({ users: ['anna'] })
  })

  test('fails with advice if it does not fit, without what it holds', async () => {
    const feed = await startFeed(json({ users: SECRET }))
    const { client, alerts } = startClient()
    const watched = watch(client, defineChannel({ key: 'users', snapshot: feed.snapshotUrl, schema }))
    await until(() => watched.state.error !== undefined)
    expect(watched.state).toMatchObject({ data: undefined, error: { code: 'invalid-body' } })
    expect(watched.state.error!.message).toMatch(/^GET http.*\/snapshot: the body does not fit its schema at `users`\./)
    expect(client.stats().channels[0]).toMatchObject({ invalid: expect.any(Number) })
    expect(alerts.map(({ code }) => code)).toContain('invalid-event')
    expect(`${watched.state.error!.message} ${JSON.stringify(alerts)}`).not.toContain(SECRET)
  })
})

test('a schema that validates asynchronously is refused for events, with a reason', async () => {
  const feed = await startFeed()
  const { client, alerts } = startClient()
  const slow = z.string().refine(async (text) => text.length > 0)
  const watched = watch(client, defineChannel({ key: 'slow', stream: feed.streamUrl, events: { message: slow } }))
  await until(() => feed.open === 1)
  feed.write(block('"a"'))
  await until(() => alerts.length === 1)
  expect(alerts[0]).toMatchObject({ code: 'invalid-event', message: expect.stringContaining('answers later') })
  expect(watched.events).toEqual([])
})

test('a schema that validates asynchronously is waited for with a snapshot', async () => {
  const feed = await startFeed(json('a'))
  const { client } = startClient()
  const slow = z.string().transform(async (text) => `${text}!`)
  const watched = watch(client, defineChannel({ key: 'slow', snapshot: feed.snapshotUrl, schema: slow }))
  await until(() => watched.state.data !== undefined)
  expect(watched.state).toMatchObject({ status: 'polling', data: 'a!' })
})

test('a schema that throws makes its event invalid, and the stream goes on', async () => {
  const feed = await startFeed()
  const { client } = startClient()
  const throwing = z.string().transform((text) => {
    if (text === 'bad') throw new Error('not an issue, an exception')
    return text
  })
  const watched = watch(client, defineChannel({ key: 'throws', stream: feed.streamUrl, events: { message: throwing } }))
  await until(() => feed.open === 1)
  feed.write(block('"bad"') + block('"good"'))
  await until(() => watched.events.length === 1)
  expect(watched.data).toEqual(['good'])
  expect(client.stats().channels[0]).toMatchObject({ invalid: 1, reconnects: 0 })
})

test('something that is no schema is refused when the channel is defined', () => {
  const define = () => defineChannel({ key: 'wrong', stream: 'http://127.0.0.1/', events: { joined: {} as never } })
  expect(define).toThrow(
    expect.objectContaining({
      code: 'config',
      message: 'Expected `events.joined: Standard Schema { ~standard }`, got an object.',
    }),
  )
})
