import type { StandardSchemaV1 } from '@standard-schema/spec'
import fc from 'fast-check'
import { describe, expect, test, vi } from 'vitest'
import { decode as decodeAll, decodePlain, isPlain, normalized } from '../../src/registry/decode'
import type { ChannelDefinition } from '../../src/registry/define-channel'
import type { Message } from '../../src/stream/messages'

const NOW = 5

/** Most messages are one event. */
function decode(...given: Parameters<typeof decodeAll>) {
  const all = decodeAll(...given)
  return all.length === 1 ? all[0] : all
}

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

describe('data', () => {
  const dataOf = (data: string, parse?: 'json' | 'text') =>
    parse
      ? (decode(channel({ parse }), message(data), NOW) as { data?: unknown }).data
      : decodePlain(message(data), NOW).data
  const json = ['{}', '[]', '""', '{"a":[1]}', '[1]\n', '"a b" ']
  const numbers = ['0', '7', '-1', '1.5', '9007199254740991', '1e+21']
  const texts = [
    '',
    ' ',
    'a',
    'true',
    'false',
    'null',
    'NaN',
    '-',
    '-a',
    '+1',
    '.5',
    ' 7',
    '7 ',
    '007',
    '1.0',
    '-0',
    '1e5',
  ]
  const longer = ['110988741790818968', '9007199254740993', '0.1000000000000000055', '2026-11-27', '-Infinity']
  const almost = ['{', '[DONE]', '[info] started', '{"broken":', '"', ' {}', '\n[]']

  test.each(json)('that begins with `{`, `[` or `"` is JSON: %j', (data) => {
    expect(dataOf(data)).toStrictEqual(JSON.parse(data))
  })

  test.each(numbers)('is a number where that says the same: %j', (data) => {
    expect(dataOf(data)).toBe(Number(data))
  })

  test.each([...texts, ...longer, ...almost])(
    'is the text that came otherwise, to the last digit and blank: %j',
    (data) => {
      expect(dataOf(data)).toBe(data)
    },
  )

  test.each([...texts, ...longer, '[info] started'])(
    'is not even tried as JSON where it cannot be, since a failure is slow: %j',
    (data) => {
      const parse = vi.spyOn(JSON, 'parse')
      dataOf(data)
      const tries = parse.mock.calls.length
      parse.mockRestore()
      expect(tries).toBe(0)
    },
  )

  test('says the same as the text that came, whatever it is', () => {
    const almostJson = fc.string({ unit: fc.constantFrom(...'{}[]":,0123456789.eE+-truefalsn '), maxLength: 6 })
    fc.assert(
      fc.property(
        fc.oneof(fc.json(), fc.double().map(String), fc.bigInt().map(String), almostJson, fc.string()),
        (data) => {
          const read = dataOf(data)
          if (/^[{["]/.test(data) && typeof read !== 'string') expect(read).toStrictEqual(JSON.parse(data))
          else if (!/^"/.test(data)) expect(String(read)).toBe(data)
        },
      ),
      { numRuns: 2_000, seed: 8259 },
    )
  })

  test('is always JSON, or never, where `parse` says so', () => {
    for (const data of ['null', ' 7 ', '1.0', '{}']) expect(dataOf(data, 'json')).toStrictEqual(JSON.parse(data))
    for (const data of ['null', ' 7 ', '7', '{}']) expect(dataOf(data, 'text')).toBe(data)
    expect(decode(channel({ parse: 'json' }), message('hello'), NOW)).toEqual({
      why: expect.stringContaining('is not JSON'),
    })
  })
})

describe('with names that are listed, a message', () => {
  const events = { joined: anything, left: anything, message: anything }
  test.each<[string, unknown, string, unknown]>([
    ['{ type, data }', { type: 'joined', data: { a: 1 }, more: 2 }, 'joined', { a: 1 }],
    ['{ type, data } of nothing', { type: 'joined', data: null }, 'joined', null],
    ['{ type } without data', { type: 'joined' }, 'joined', { type: 'joined' }],
    ['{ type, ...rest }', { type: 'joined', a: 1 }, 'joined', { type: 'joined', a: 1 }],
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
    ['null', null, 'message', 'null'],
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
    for (const name of ['unheard', 'toString', '__proto__']) expect(decode(some, message(1, name), NOW)).toBe(name)
    for (const body of [7, { toString: 1 }, { event: 'toString' }])
      expect(decode(some, message(body), NOW)).toBe('message')
    expect(decode(some, message({ type: 'toString', data: 1 }), NOW)).toBe('toString')
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
    ['answers later', async (value) => ({ value }), '"a" has a schema that answers later, or throws'],
    ['throws later', () => Promise.reject(new Error('secret')), '"a" has a schema that answers later, or throws'],
  ])('that %s is told without the data', async (_, validate, expected) => {
    expect(said(validate)).toMatchObject({ why: expected })
    // A rejection that nobody hears would fail the run.
    await new Promise((resolve) => setImmediate(resolve))
  })

  test('has names told without control characters', () => {
    const events = { 'a\n': schema(() => ({ issues: [{ message: '' }] })) }
    expect(decode(channel({ events }), message(1, 'a\n'), NOW)).toEqual({ why: '"a?" does not fit its schema' })
  })
})

describe('`normalize`', () => {
  const read = (options: Partial<ChannelDefinition>, raw: Message) => {
    const definition = channel(options)
    return decode(definition, raw, NOW, normalized(definition, raw))
  }

  test('is given what came, with an id only if it has one', () => {
    const given: unknown[] = []
    const normalize: ChannelDefinition['normalize'] = (raw) => {
      given.push(raw)
      return { type: 'made', data: 1 }
    }
    expect(read({ normalize }, message('x', 'e'))).toStrictEqual(event('made', 1))
    expect(read({ normalize }, message('x', 'e', '7'))).toStrictEqual({ ...event('made', 1), id: '7' })
    expect(given).toStrictEqual([
      { event: 'e', data: 'x' },
      { event: 'e', data: 'x', id: '7' },
    ])
  })

  test('may make several events, with ids of their own, or say an id alone', () => {
    const several = {
      normalize: () => [
        { type: 'a', data: 1, id: '8' },
        { type: 'b', data: 2 },
      ],
    }
    expect(read(several, message('x', 'e', '7'))).toStrictEqual([
      { ...event('a', 1), id: '8' },
      { ...event('b', 2), id: '7' },
    ])
    expect(read({ normalize: () => ({ id: '9' }) }, message('x'))).toBe('')
    expect(normalized(channel({ normalize: () => ({ id: '9' }) }), message('x'))).toMatchObject({ id: '9' })
    expect(normalized(channel(several), message('x'))).toMatchObject({ id: '8' })
  })

  test('that returns nothing makes no event, and one that throws is told', () => {
    expect(read({ normalize: () => undefined }, message('x'))).toBe('')
    const cause = new Error('secret')
    const normalize = () => {
      throw cause
    }
    expect(read({ normalize }, message('x'))).toEqual({
      why: 'could not be read by `normalize`, which threw',
      mishap: { name: 'normalize', cause },
    })
    for (const garbage of [{}, { type: 7, data: 1 }, { id: 7 }, [7]] as never[])
      expect([read({ normalize: () => garbage }, message('x'))].flat()).toEqual([
        { why: 'could not be read by `normalize`: expected `{ type, data }`' },
      ])
    // A promise that fails must be nobody's unhandled rejection either.
    expect(read({ normalize: () => Promise.reject(cause) as never }, message('x'))).toEqual({
      why: 'could not be read by `normalize`, which answered a promise',
    })
  })

  test('must name what is listed, where names are', () => {
    const made = (type: string) => read({ events: { a: anything }, normalize: () => ({ type, data: 1 }) }, message('x'))
    expect(made('a')).toStrictEqual(event('a', 1))
    expect(made('b')).toBe('b')
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
    { done: () => false },
    { parse: 'text' },
  ]
  for (const options of own) expect(isPlain(channel(options))).toBe(false)
})
