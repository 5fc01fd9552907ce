import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { shareStructure } from '../../src/primitives/structural-sharing'

const json = fc.jsonValue({ maxDepth: 4 })
/** JSON as it comes from a server, so that `__proto__` is a key like any other. */
const parsed = fc
  .letrec((tie) => ({
    value: fc.oneof(
      { depthSize: 'small' },
      fc.constantFrom('null', 'true', '1', '-0', '"a"', '""'),
      fc.array(tie('value') as fc.Arbitrary<string>, { maxLength: 4 }).map((items) => `[${items.join()}]`),
      fc
        .array(fc.tuple(fc.constantFrom('a', 'b', '__proto__', 'constructor', 'toString', '0'), tie('value')), {
          maxLength: 4,
        })
        .map((entries) => `{${entries.map(([name, value]) => `${JSON.stringify(name)}:${value}`).join()}}`),
    ),
  }))
  .value.map((text) => JSON.parse(text as string) as unknown)

/** Whether every object within is the very one of the other. */
function isSame(a: unknown, b: unknown): boolean {
  return Object.is(a, b)
}

describe('structural sharing', () => {
  test('never changes what the new value says', () => {
    fc.assert(
      fc.property(fc.oneof(json, parsed), fc.oneof(json, parsed), (previous, next) => {
        const text = JSON.stringify(next)
        const before = JSON.stringify(previous)
        const shared = shareStructure(previous, next)
        expect(shared).toStrictEqual(next)
        expect(JSON.stringify(shared)).toBe(text)
        // Neither of the two was touched.
        expect(JSON.stringify(previous)).toBe(before)
        expect(JSON.stringify(next)).toBe(text)
      }),
      { seed: 1, numRuns: 1_000 },
    )
  })

  test('keeps the reference of equal data', () => {
    fc.assert(
      fc.property(json, (value) => {
        const copy = structuredClone(value)
        expect(isSame(shareStructure(value, copy), value)).toBe(true)
      }),
      { seed: 2, numRuns: 500 },
    )
  })

  test('keeps the reference of every part that is equal, and of nothing that is not', () => {
    fc.assert(
      fc.property(fc.array(json, { minLength: 1, maxLength: 6 }), fc.nat(), json, (items, at, other) => {
        const index = at % items.length
        const next = structuredClone(items).with(index, structuredClone(other))
        const shared = shareStructure(items, next) as unknown[]
        for (const [n, item] of items.entries()) if (n !== index) expect(isSame(shared[n], item)).toBe(true)
        expect(shared).toStrictEqual(next)
      }),
      { seed: 3, numRuns: 500 },
    )
  })

  test('tells additions, removals and kinds apart', () => {
    const list = [{ id: 1 }, { id: 2 }]
    expect(shareStructure(list, [{ id: 1 }])).toEqual([{ id: 1 }])
    expect((shareStructure(list, [{ id: 1 }]) as unknown[])[0]).toBe(list[0])
    expect(shareStructure({ a: 1 }, { a: 1, b: undefined })).toStrictEqual({ a: 1, b: undefined })
    expect(shareStructure({ a: 1, b: undefined }, { a: 1 })).toStrictEqual({ a: 1 })
    expect(shareStructure({ 0: 'a' }, ['a'])).toStrictEqual(['a'])
    expect(shareStructure(['a'], { 0: 'a' })).toStrictEqual({ 0: 'a' })
    expect(Object.is(shareStructure([0], [-0])[0], -0)).toBe(true)
    expect(shareStructure({ a: Number.NaN }, { a: Number.NaN })).toEqual({ a: Number.NaN })
  })

  test('sets no prototype, whatever the body names', () => {
    const previous = JSON.parse('{"a":{"b":1},"__proto__":{"evil":1}}')
    const next = JSON.parse('{"a":{"b":1},"__proto__":{"evil":2}}')
    const shared = shareStructure(previous, next) as Record<string, unknown>
    expect(Object.getPrototypeOf(shared)).toBe(Object.prototype)
    expect((shared as { evil?: number }).evil).toBeUndefined()
    expect(JSON.stringify(shared)).toBe(JSON.stringify(next))
    expect(({} as { evil?: number }).evil).toBeUndefined()
  })

  test('takes anything that is not JSON for one value', () => {
    const date = new Date(0)
    expect(shareStructure(new Date(0), date)).toBe(date)
    const map = new Map([[1, 1]])
    expect(shareStructure(new Map([[1, 1]]), map)).toBe(map)
    class Point {
      x = 1
    }
    const point = new Point()
    expect(shareStructure(new Point(), point)).toBe(point)
    expect(shareStructure({ x: 1 }, point)).toBe(point)
  })

  test('shares a part that stands in several places only where it equals what was there', () => {
    const part = { a: 1 }
    const previous = { one: { a: 1 }, two: { a: 2 }, three: { a: 3 } }
    const shared = shareStructure(previous, { one: part, two: part, three: part }) as typeof previous
    expect(shared).toEqual({ one: part, two: part, three: part })
    expect(shared.one).toBe(previous.one)
    const same = { a: 1 }
    expect(shareStructure({ one: same, two: same }, { one: part, two: part })).toEqual({ one: part, two: part })
    const again = { one: same, two: same }
    expect(shareStructure(again, { one: part, two: part })).toBe(again)
  })

  const nest = (levels: number) => {
    let value: unknown = 1
    for (let n = 0; n < levels; n += 1) value = [value]
    return value
  }

  test('goes one way through a body that contains itself at every turn', () => {
    const endless = () => {
      const body: unknown[] = []
      return body.push(body, body) && body
    }
    const next = endless()
    expect(shareStructure(endless(), next)).toEqual(next)
  })

  test('survives a body that is nested without end', () => {
    const next = nest(100_000)
    expect(Array.isArray(shareStructure(nest(100_000), next))).toBe(true)
  })

  test('looks 500 levels deep, and takes what is deeper as it came', () => {
    const previous = nest(501)
    expect(shareStructure(previous, nest(501))).toBe(previous)
    const deeper = nest(502)
    expect(shareStructure(deeper, nest(502))).not.toBe(deeper)
  })
})
