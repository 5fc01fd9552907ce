import type { StandardSchemaV1 } from '@standard-schema/spec'
import fc from 'fast-check'
import { describe, expect, test, vi } from 'vitest'
import { decode, decodePlain, isPlain } from '../../src/registry/decode'
import type { ChannelDefinition } from '../../src/registry/define-channel'
import type { Message } from '../../src/stream/messages'

const NOW = 5

const schema = (validate: StandardSchemaV1['~standard']['validate']): StandardSchemaV1 => ({
  '~standard': { version: 1, vendor: 'test', validate },
})
const anything = schema((value) => ({ value }))
const channel = (options: Partial<ChannelDefinition>): ChannelDefinition => ({ key: 'a', stream: '/a', ...options })
const message = (data: unknown, event = '', id?: string): Message => ({
  event,
  data: typeof data === 'string' ? data : JSON.stringify(data),
  id,
  lastEventId: id ?? '',
})
const event = (type: string, data: unknown) => ({ type, data, receivedAt: NOW })

describe('a message', () => {
  test.each([
    ['is JSON where it is JSON', message({ a: 1 }), event('message', { a: 1 })],
    ['is a string where it is not', message('hello'), event('message', 'hello')],
    ['has the name that the server gives it', message(1, 'named'), event('named', 1)],
    ['has its own id', message(1, '', '7'), { ...event('message', 1), id: '7' }],
    [
      'has no other envelope where no names are listed',
      message({ type: 'a', data: 1 }),
      event('message', { type: 'a', data: 1 }),
    ],
  ])('%s', (_, given, expected) => {
    for (const made of [decode(channel({}), given, NOW), decodePlain(given, NOW)]) expect(made).toStrictEqual(expected)
  })
})

describe('whether data is JSON', () => {
  const dataOf = (data: string) => decodePlain(message(data), NOW).data
  const json = ['{}', '[]', '""', '0', '-1.5e+10', '12E-3', 'true', 'false', 'null'].flatMap((text) => [
    text,
    ` \n\t${text}\r `,
  ])
  const texts = ['', ' ', 'a', 'the end', 'true story', 'nullable', '1 2', '2026-11-27 started', '-', '-a', '+1', '.5']

  test.each(json)('is decided by JSON itself: %j is', (data) => {
    expect(dataOf(data)).toStrictEqual(JSON.parse(data))
  })

  test.each(texts)('is not even tried where it cannot be, since a failure is slow: %j', (data) => {
    const parse = vi.spyOn(JSON, 'parse')
    const decoded = dataOf(data)
    const tries = parse.mock.calls.length
    parse.mockRestore()
    expect([decoded, tries]).toEqual([data, 0])
  })

  test('is what `JSON.parse` says, for any text', () => {
    const space = fc.string({ unit: fc.constantFrom(' ', '\t', '\n', '\r', '\u00a0', '\ufeff'), maxLength: 2 })
    const almost = fc.string({ unit: fc.constantFrom(...'{}[]":,0123456789.eE+-truefalsn '), maxLength: 6 })
    const text = fc.tuple(space, fc.oneof(fc.json(), fc.double().map(String), almost, fc.string()), space)
    fc.assert(
      fc.property(text, (parts) => {
        const data = parts.join('')
        let expected: unknown = data
        try {
          expected = JSON.parse(data)
        } catch {}
        expect(dataOf(data)).toStrictEqual(expected)
      }),
      { numRuns: 2_000, seed: 8259 },
    )
  })
})

describe('with names that are listed, a message', () => {
  const events = { joined: anything, left: anything, message: anything }
  test.each<[string, unknown, string, unknown]>([
    ['{ type, data }', { type: 'joined', data: { a: 1 }, more: 2 }, 'joined', { a: 1 }],
    ['{ type, data } of nothing', { type: 'joined', data: null }, 'joined', null],
    ['{ type } without data', { type: 'joined' }, 'message', { type: 'joined' }],
    ['{ type, data } of another name', { type: 'unheard', data: 1 }, 'message', { type: 'unheard', data: 1 }],
    ['{ type, data } whose type is no name', { type: ['joined'], data: 1 }, 'message', { type: ['joined'], data: 1 }],
    ['{ event, ...rest }', { event: 'left', a: 1, b: 2 }, 'left', { a: 1, b: 2 }],
    ['{ event, ...rest } of another name', { event: 'unheard', a: 1 }, 'message', { event: 'unheard', a: 1 }],
    ['{ event, ...rest } whose event is no name', { event: ['left'] }, 'message', { event: ['left'] }],
    ['{ name: data }', { joined: 1 }, 'joined', 1],
    ['{ name: data } of another name', { unheard: 1 }, 'message', { unheard: 1 }],
    ['{ name: data, ... }', { joined: 1, left: 2 }, 'message', { joined: 1, left: 2 }],
    ['{}', {}, 'message', {}],
    ['a list', [{ joined: 1 }], 'message', [{ joined: 1 }]],
    ['null', null, 'message', null],
    ['a number', 7, 'message', 7],
    ['text', 'joined', 'message', 'joined'],
  ])('reads %s', (_, body, type, data) => {
    expect(decode(channel({ events }), message(body), NOW)).toStrictEqual(event(type, data))
  })

  test.each([[['a']], ['a']])('reads %j as no object, though it has names', (body) => {
    const listed = { 0: anything, message: anything }
    expect(decode(channel({ events: listed }), message(body), NOW)).toStrictEqual(event('message', body))
  })

  test('is no event if its name is not listed, whatever names every object has', () => {
    const some = channel({ events: { joined: anything } })
    for (const name of ['unheard', 'toString', '__proto__']) expect(decode(some, message(1, name), NOW)).toBeUndefined()
    for (const body of [7, { toString: 1 }, { type: 'toString', data: 1 }, { event: 'toString' }])
      expect(decode(some, message(body), NOW)).toBeUndefined()
  })
})

describe('a schema', () => {
  const said = (validate: StandardSchemaV1['~standard']['validate']) =>
    decode(channel({ events: { a: schema(validate) } }), message({ secret: 1 }, 'a', '7'), NOW)

  test('makes the data of an event', () => {
    expect(said((value) => ({ value: [value] }))).toStrictEqual({ ...event('a', [{ secret: 1 }]), id: '7' })
  })

  test.each<[string, StandardSchemaV1['~standard']['validate'], string]>([
    ['refuses', () => ({ issues: [{ message: 'secret' }] }), '"a" does not fit its schema'],
    [
      'refuses a part',
      () => ({ issues: [{ message: 'secret', path: ['b', { key: 'c' }] }] }),
      '"a" does not fit its schema at `b.c`',
    ],
    [
      'throws',
      () => {
        throw new Error('secret')
      },
      '"a" made its schema throw',
    ],
    [
      'answers later',
      async (value) => ({ value }),
      '"a" has a schema that validates asynchronously, or throws: expected one that answers at once',
    ],
    [
      'throws later',
      () => Promise.reject(new Error('secret')),
      '"a" has a schema that validates asynchronously, or throws: expected one that answers at once',
    ],
  ])('that %s is told without the data', async (_, validate, expected) => {
    expect(said(validate)).toBe(expected)
    // A rejection that nobody hears would fail the run.
    await new Promise((resolve) => setImmediate(resolve))
  })

  test('has names told without control characters', () => {
    const events = { 'a\n': schema(() => ({ issues: [{ message: '' }] })) }
    expect(decode(channel({ events }), message(1, 'a\n'), NOW)).toBe('"a?" does not fit its schema')
  })
})

describe('`normalize`', () => {
  test('is given what came, with an id only if it has one', () => {
    const given: unknown[] = []
    const normalize: ChannelDefinition['normalize'] = (raw) => {
      given.push(raw)
      return { type: 'made', data: 1 }
    }
    expect(decode(channel({ normalize }), message('x', 'e'), NOW)).toStrictEqual(event('made', 1))
    expect(decode(channel({ normalize }), message('x', 'e', '7'), NOW)).toStrictEqual({ ...event('made', 1), id: '7' })
    expect(given).toStrictEqual([
      { event: 'e', data: 'x' },
      { event: 'e', data: 'x', id: '7' },
    ])
  })

  test('that returns nothing makes no event, and one that throws is told', () => {
    expect(decode(channel({ normalize: () => undefined }), message('x'), NOW)).toBeUndefined()
    const normalize = () => {
      throw new Error('secret')
    }
    expect(decode(channel({ normalize }), message('x'), NOW)).toBe('could not be read by `normalize`, which threw')
    // A promise that fails must be nobody's unhandled rejection either.
    for (const garbage of [{}, { type: 7, data: 1 }, Promise.reject(new Error('secret'))] as never[])
      expect(decode(channel({ normalize: () => garbage }), message('x'), NOW)).toBe(
        'could not be read by `normalize`: expected it to answer `{ type, data }`',
      )
  })

  test('must name what is listed, where names are', () => {
    const made = (type: string) =>
      decode(channel({ events: { a: anything }, normalize: () => ({ type, data: 1 }) }), message('x'), NOW)
    expect(made('a')).toStrictEqual(event('a', 1))
    expect(made('b')).toBeUndefined()
  })
})

test('a channel is plain if nothing of its own looks at its messages', () => {
  expect(isPlain(channel({}))).toBe(true)
  const own: Partial<ChannelDefinition>[] = [
    { events: {} },
    { normalize: () => undefined },
    { sequence: () => 1 },
    { reduce: (state) => state },
    { until: () => false },
  ]
  for (const options of own) expect(isPlain(channel(options))).toBe(false)
})
