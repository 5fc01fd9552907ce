import { defineChannel, type RawMessage, type StreamEvent } from 'millrace'
import { afterEach, describe, expect, test } from 'vitest'
import * as z from 'zod'
import { closeServers } from '../../support/http-server'
import { until } from '../../support/until'
import { block, closeClients, type Feed, startClient, startFeed, type Watched, watch } from './watch'

afterEach(closeClients)
afterEach(closeServers)

const anything = z.unknown()
const listed = { joined: anything, left: anything, constructor: anything, toString: anything }

/** Sends one stream's text and returns what a subscriber is told of it, up to a last event that is always listed. */
async function receive(
  text: string,
  options: object = {},
): Promise<{ watched: Watched<unknown, StreamEvent>; stats: object }> {
  const feed: Feed = await startFeed()
  const { client } = startClient()
  const channel = defineChannel<unknown, StreamEvent>({ key: 'envelope', stream: feed.streamUrl, ...options })
  const watched = watch(client, channel)
  await until(() => feed.open === 1)
  feed.write(`${text}id: end\n\n`)
  await until(() => client.stats().channels[0]!.lastEventId === 'end')
  return { watched, stats: client.stats().channels[0]! }
}
const seen = ({ events }: Watched<unknown, StreamEvent>) => events.map(({ type, data }) => [type, data])

describe('without `events`', () => {
  test('the name is the `event:` of the server, else `message`, and the data the whole body', async () => {
    const { watched } = await receive(
      block({ a: 1 }) + block({ b: 2 }, { event: 'named' }) + block({ type: 'joined', data: { c: 3 } }),
    )
    expect(seen(watched)).toEqual([
      ['message', { a: 1 }],
      ['named', { b: 2 }],
      ['message', { type: 'joined', data: { c: 3 } }],
    ])
  })

  test('a body that is not JSON is a string, and an object, a list, a quoted text and a number keep their type', async () => {
    const bodies = ['hello', '{"broken":', '', '0', 'null', 'true', '"quoted"', '[1,2]', 'NaN']
    const { watched } = await receive(bodies.map((body) => `data: ${body}\n\n`).join(''))
    expect(watched.data).toEqual(['hello', '{"broken":', '', 0, 'null', 'true', 'quoted', [1, 2], 'NaN'])
  })

  test('an event knows its own id and when it was received', async () => {
    const start = Date.now()
    const { watched } = await receive(`${block('a', { id: 7 })}${block('b')}`)
    expect(watched.events[0]).toEqual({ type: 'message', data: 'a', id: '7', receivedAt: expect.any(Number) })
    expect(watched.events[0]!.receivedAt).toBeGreaterThanOrEqual(start)
    // The id of the one before is the stream's, not its own.
    expect(watched.events[1]).not.toHaveProperty('id')
  })
})

describe('with `events` the three formats of the field are told apart', () => {
  const events = listed

  test.each([
    ['{ type, data }', { type: 'joined', data: { id: 1 } }, { id: 1 }],
    ['{ event, ...rest }', { event: 'joined', id: 1, at: 2 }, { id: 1, at: 2 }],
    ['{ name: {...} }', { joined: { id: 1 } }, { id: 1 }],
  ])('%s', async (_, body, data) => {
    const { watched } = await receive(block(body), { events })
    expect(seen(watched)).toEqual([['joined', data]])
  })

  test('only for names that are listed: the rest is ignored and counted', async () => {
    const { watched, stats } = await receive(
      block({ type: 'unheard', data: 1 }) +
        block({ event: 'unheard', data: 1 }) +
        block({ unheard: 1 }) +
        block({ joined: 1, left: 2 }) +
        block('text') +
        block([{ type: 'joined', data: 1 }]) +
        block('x', { event: 'unheard' }),
      { events },
    )
    expect(seen(watched)).toEqual([])
    expect(stats).toMatchObject({ ignored: 7, invalid: 0, events: 0 })
  })

  test('not where the server names the event: then the whole body is the data', async () => {
    const { watched } = await receive(block({ type: 'left', data: 1 }, { event: 'joined' }), { events })
    expect(seen(watched)).toEqual([['joined', { type: 'left', data: 1 }]])
  })

  test('the first format that fits wins', async () => {
    const { watched } = await receive(
      block({ type: 'joined', data: 1, event: 'left' }) + block({ type: 'joined', event: 'left', more: 2 }),
      { events },
    )
    expect(seen(watched)).toEqual([
      ['joined', 1],
      ['left', { type: 'joined', more: 2 }],
    ])
  })

  test('`message` may be listed for what has no name', async () => {
    const { watched } = await receive(block({ any: 1 }) + block('text'), { events: { message: anything } })
    expect(seen(watched)).toEqual([
      ['message', { any: 1 }],
      ['message', 'text'],
    ])
  })

  test('names that every object has are names like any other, if they are listed', async () => {
    const { watched, stats } = await receive(
      block({ type: 'constructor', data: 1 }) + block({ toString: 2 }) + block({ event: 'toString', of: 3 }),
      { events },
    )
    expect(seen(watched)).toEqual([
      ['constructor', 1],
      ['toString', 2],
      ['toString', { of: 3 }],
    ])
    expect(stats).toMatchObject({ ignored: 0 })
  })

  test.each(['constructor', 'toString', 'hasOwnProperty', 'valueOf', '__proto__', 'prototype'])(
    'a server that names an event %s gets no further than any name that is not listed',
    async (name) => {
      const { watched, stats } = await receive(
        `${block('1', { event: name })}data: {"type":"${name}","data":1}\n\ndata: {"event":"${name}"}\n\ndata: {"${name}":1}\n\n`,
        { events: { joined: anything } },
      )
      expect(watched.events).toEqual([])
      expect(stats).toMatchObject({ ignored: 4, invalid: 0 })
    },
  )

  test('a body that names `__proto__` sets no prototype', async () => {
    const evil =
      'data: {"event":"joined","__proto__":{"isAdmin":true}}\n\ndata: {"type":"joined","data":{"__proto__":{"isAdmin":true}}}\n\n'
    const { watched } = await receive(evil, { events })
    expect(watched.events).toHaveLength(2)
    for (const { data } of watched.events) {
      expect(data.isAdmin).toBeUndefined()
      expect(Object.getPrototypeOf(data)).toBe(Object.prototype)
    }
    expect(({} as { isAdmin?: boolean }).isAdmin).toBeUndefined()
  })
})

describe("`normalize` reads an envelope of the server's own", () => {
  test('it is given what came, and what it returns is the event', async () => {
    const given: RawMessage[] = []
    const { watched } = await receive(`${block({ kind: 'a' }, { id: 1, event: 'wrapped' })}${block({ kind: 'b' })}`, {
      normalize(message: RawMessage) {
        given.push(message)
        return { type: JSON.parse(message.data).kind, data: { id: message.id } }
      },
    })
    expect(given).toEqual([
      { event: 'wrapped', data: '{"kind":"a"}', id: '1' },
      { event: '', data: '{"kind":"b"}' },
    ])
    expect(seen(watched)).toEqual([
      ['a', { id: '1' }],
      ['b', { id: undefined }],
    ])
  })

  test('`undefined` drops the message, and counts it as ignored', async () => {
    const { watched, stats } = await receive(block('keep') + block('drop'), {
      normalize: ({ data }: RawMessage) => (data === 'keep' ? { type: 'kept', data } : undefined),
    })
    expect(seen(watched)).toEqual([['kept', 'keep']])
    expect(stats).toMatchObject({ ignored: 1, invalid: 0 })
  })

  test('one that throws drops the message, counts it as invalid, and the stream goes on', async () => {
    const { watched, stats } = await receive(block('bad') + block('"good"'), {
      normalize: ({ data }: RawMessage) => ({ type: 'read', data: JSON.parse(data) }),
    })
    expect(seen(watched)).toEqual([['read', 'good']])
    expect(stats).toMatchObject({ invalid: 1, reconnects: 0 })
  })

  test('what it names must be listed where `events` are', async () => {
    const { watched, stats } = await receive(block('joined') + block('unheard'), {
      events: { joined: anything },
      normalize: ({ data }: RawMessage) => ({ type: data, data: 1 }),
    })
    expect(seen(watched)).toEqual([['joined', 1]])
    expect(stats).toMatchObject({ ignored: 1 })
  })
})
