import { inspect, isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { hashKey } from '../../src/primitives/hash-key'

const leaf = fc.oneof(
  fc.string({ maxLength: 4 }),
  fc.constantFrom(
    '',
    '1',
    '12',
    'null',
    'undefined',
    'true',
    '[',
    '"a"',
    ',',
    '-0',
    '0',
    '1n',
    'Date(0)',
    '{}',
    '__proto__',
  ),
  fc.integer({ min: -20, max: 20 }),
  fc.double({ noDefaultInfinity: false }),
  fc.boolean(),
  fc.constant(null),
  fc.constant(undefined),
  fc.bigInt({ min: -3n, max: 3n }),
  fc.date({ noInvalidDate: true, min: new Date(0), max: new Date(3) }),
)
const { value } = fc.letrec((tie) => ({
  value: fc.oneof({ depthSize: 'small' }, leaf, tie('list'), tie('record')),
  list: fc.array(tie('value'), { maxLength: 3 }),
  record: fc.dictionary(fc.constantFrom('a', 'b', '1', 'a,b', '__proto__'), tie('value'), {
    maxKeys: 3,
    noNullPrototype: true,
  }),
}))
const key = fc.oneof(
  fc.string({ maxLength: 4 }),
  fc.constantFrom('["1"]', '[1]', '"a"', '[]', '', 'a'),
  fc.array(value, { maxLength: 3 }),
)

describe('a key', () => {
  test('is unlike every other one', () => {
    fc.assert(
      fc.property(key, key, (a, b) => {
        expect(hashKey(a as string) === hashKey(b as string)).toBe(isDeepStrictEqual(a, b))
      }),
      { seed: 1, numRuns: 5_000 },
    )
  })

  test('is unlike its neighbours that differ in one place', () => {
    fc.assert(
      fc.property(fc.array(value, { minLength: 1, maxLength: 3 }), value, fc.nat(2), (parts, other, at) => {
        const changed = parts.with(at % parts.length, other)
        expect(hashKey(parts) === hashKey(changed)).toBe(isDeepStrictEqual(parts, changed))
      }),
      { seed: 2, numRuns: 2_000 },
    )
  })

  const apart: [unknown[] | string, unknown[] | string][] = [
    [
      ['1', '23'],
      ['12', '3'],
    ],
    [[1], ['1']],
    [[undefined], [null]],
    [[undefined], []],
    [[['a'], 'b'], [['a', 'b']]],
    [[{ a: 1 }], [{ a: '1' }]],
    [[{ a: undefined }], [{}]],
    [[0], [-0]],
    [[-0], []],
    [[Number.NaN], [null]],
    [[1n], [1]],
    [[new Date(0)], ['1970-01-01T00:00:00.000Z']],
    [['a'], 'a'],
    [['a'], '["a"]'],
    [[], '[]'],
  ]
  test.each(apart.map(([a, b]) => [inspect(a), inspect(b), a, b] as const))('%s is not %s', (_, __, a, b) => {
    expect(hashKey(a)).not.toBe(hashKey(b))
  })

  test('does not mind the order of object keys, however deep', () => {
    const deep = (flip: boolean) => {
      const entries: [string, unknown][] = [
        ['a', [1, { x: 1, y: 2 }]],
        ['b', { y: 2, x: 1 }],
      ]
      return [{ outer: Object.fromEntries(flip ? entries.reverse() : entries) }]
    }
    expect(hashKey(deep(true))).toBe(hashKey(deep(false)))
  })

  test('that is a plain string stays as it is, so that people can read it', () => {
    expect(hashKey('/api/users?a=1')).toBe('/api/users?a=1')
    expect(hashKey('/api/users?a[]="1"')).toBe('/api/users?a[]="1"')
    expect(hashKey(['users', 0])).toBe('["users",0]')
  })

  test('takes the keys of JSON and of objects without a prototype', () => {
    const bare = Object.assign(Object.create(null) as object, { a: 1 })
    expect(hashKey([bare])).toBe(hashKey([{ a: 1 }]))
    expect(hashKey([JSON.parse('{"__proto__":1}')])).not.toBe(hashKey([{}]))
  })

  class Point {}
  test.each([
    ['a function', () => 1],
    ['a symbol', Symbol('a')],
    ['an instance of Point', new Point()],
    ['an instance of Map', new Map()],
    ['an instance of Set', new Set()],
    ['an instance of RegExp', /a/],
    ['an instance of undefined', Object.create({ constructor: undefined })],
  ])('of %s is refused with `config`, and told what may be in it', (what, part) => {
    expect(() => hashKey([part])).toThrow(expect.objectContaining({ code: 'config', message: told(what) }))
  })

  test('with a cycle, or nested without end, is refused with `config`', () => {
    const nested = (levels: number): unknown[] => (levels > 1 ? [nested(levels - 1)] : [1])
    const refusal = expect.objectContaining({
      code: 'config',
      message: told('one that is too large or too deep'),
    })
    expect(hashKey(nested(32))).toBe(`${'['.repeat(32)}1${']'.repeat(32)}`)
    expect(() => hashKey(nested(33))).toThrow(refusal)
    expect(() => hashKey(nested(5_000))).toThrow(refusal)
    const cycle: unknown[] = []
    cycle.push(cycle)
    expect(() => hashKey(cycle)).toThrow(refusal)
  })

  test('that is written in a few words and would take for ever is refused with `config`', () => {
    const refusal = expect.objectContaining({
      code: 'config',
      message: told('one that is too large or too deep'),
    })
    let tower: unknown = 1
    for (let n = 0; n < 30; n += 1) tower = [tower, { tower }]
    const endless: unknown[] = []
    endless.length = 2 ** 32 - 1
    for (const key of [[tower], endless, [{ endless }]]) expect(() => hashKey(key)).toThrow(refusal)
    // Places and what is in them; each key is counted by itself.
    const large = Array.from({ length: 50_000 }, (_, n) => n)
    expect(hashKey(large)).toBe(hashKey(large))
    expect(() => hashKey([...large, 1])).toThrow(refusal)
  })

  function told(what: string): string {
    return `Expected a channel key of plain data, got ${what}.`
  }
})
