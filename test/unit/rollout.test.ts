import fc from 'fast-check'
import { expect, test } from 'vitest'
import { isRolledOut } from '../../src/registry/rollout'

const ids = Array.from({ length: 10_000 }, (_, index) => `user-${index}`)

test('nobody is in at 0 percent, everybody at 100', () => {
  expect(ids.filter((id) => isRolledOut({ percent: 0, id }))).toEqual([])
  expect(ids.filter((id) => !isRolledOut({ percent: 100, id }))).toEqual([])
})

test.each([1, 10, 50, 90])('about %i percent are in', (percent) => {
  const share = (ids.filter((id) => isRolledOut({ percent, id })).length / ids.length) * 100
  expect(Math.abs(share - percent)).toBeLessThan(2)
})

test('who is in stays in as the percentage grows', () => {
  fc.assert(
    fc.property(fc.string(), fc.integer({ min: 0, max: 100 }), fc.integer({ min: 0, max: 100 }), (id, a, b) => {
      const [less, more] = [Math.min(a, b), Math.max(a, b)]
      return !isRolledOut({ percent: less, id }) || isRolledOut({ percent: more, id })
    }),
    { seed: 7 },
  )
})

test('a canary is these ids and nobody else', () => {
  expect(isRolledOut({ percent: 100, id: 'ben', only: ['anna'] })).toBe(false)
  expect(isRolledOut({ percent: 0, id: 'anna', only: ['anna'] })).toBe(true)
})
