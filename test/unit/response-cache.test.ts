import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createResponseCache, defaultCache } from '../../src/network/response-cache'

function makeCache() {
  let accounted = 0
  const cache = createResponseCache((bytes) => {
    accounted += bytes
  })
  return { cache, accounted: () => accounted }
}

const entry = (value: string, bytes: number) => ({ url: `http://mill.test/${value}`, value, bytes, at: 0 })

describe('a response cache', () => {
  test('keeps 500 answers of 10 MiB for 2 s, and for five minutes in place of an error, by default', () => {
    expect(defaultCache).toEqual({ ttl: 2_000, entries: 500, bytes: 10_485_760, staleIfError: 300_000 })
  })

  test('does what a list does that forgets from the end, for any sequence', () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant('set' as const), key: fc.nat(9), bytes: fc.nat(60) }),
      fc.record({ do: fc.constant('get' as const), key: fc.nat(9) }),
      fc.record({ do: fc.constant('forget' as const), key: fc.nat(9) }),
    )
    const bounds = fc.record({ entries: fc.integer({ min: 0, max: 6 }), bytes: fc.integer({ min: 0, max: 150 }) })
    fc.assert(
      fc.property(bounds, fc.array(step, { maxLength: 80 }), (limits, steps) => {
        const { cache, accounted } = makeCache()
        /** Most recently used first. */
        let model: { key: string; value: string; bytes: number }[] = []
        const sum = () => model.reduce((total, { bytes }) => total + bytes, 0)
        for (const [index, one] of steps.entries()) {
          const key = String(one.key)
          const known = model.find((item) => item.key === key)
          if (one.do === 'get') {
            expect(cache.get(key)?.value).toBe(known?.value)
            if (known) model = [known, ...model.filter((item) => item !== known)]
          } else if (one.do === 'forget') {
            cache.forget((url) => url === `http://mill.test/${known?.value}`)
            model = model.filter((item) => item !== known)
          } else {
            const value = `${key}-${index}`
            cache.set(key, entry(value, one.bytes), limits)
            model = model.filter((item) => item !== known)
            if (one.bytes <= limits.bytes) model.unshift({ key, value, bytes: one.bytes })
            while (model.length > limits.entries || sum() > limits.bytes) model.pop()
          }
          expect(cache.figures()).toEqual({ entries: model.length, bytes: sum() })
          expect(accounted()).toBe(sum())
        }
      }),
      { seed: 1, numRuns: 500 },
    )
  })

  test('forgets an old answer when the new one is too large to keep', () => {
    const { cache, accounted } = makeCache()
    cache.set('a', entry('old', 10), { entries: 5, bytes: 100 })
    cache.set('a', entry('new', 101), { entries: 5, bytes: 100 })
    expect(cache.get('a')).toBeUndefined()
    expect(accounted()).toBe(0)
  })
})
