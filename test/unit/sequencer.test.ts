import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createSequencer, SEQUENCE_WINDOW } from '../../src/registry/sequencer'

describe('events with sequence numbers', () => {
  test('begin anywhere and go on by one', () => {
    const sequencer = createSequencer<string>()
    expect(sequencer.last).toBeUndefined()
    expect(sequencer.accept(40, 'a')).toEqual(['a'])
    expect(sequencer.accept(41, 'b')).toEqual(['b'])
    expect(sequencer.last).toBe(41)
  })

  test('wait for the one before them', () => {
    const sequencer = createSequencer<string>()
    sequencer.accept(1, 'a')
    expect(sequencer.accept(4, 'd')).toEqual([])
    expect(sequencer.accept(3, 'c')).toEqual([])
    expect(sequencer.waiting).toBe(2)
    expect(sequencer.accept(2, 'b')).toEqual(['b', 'c', 'd'])
    expect(sequencer.waiting).toBe(0)
  })

  test('are duplicates if they were let through, or wait already', () => {
    const sequencer = createSequencer<string>()
    sequencer.accept(5, 'a')
    sequencer.accept(7, 'c')
    expect([5, 4, 7, -1].map((number) => sequencer.accept(number, 'again'))).toEqual(Array(4).fill('duplicate'))
    expect(sequencer.accept(6, 'b')).toEqual(['b', 'c'])
  })

  test('fill a bounded window', () => {
    const sequencer = createSequencer<number>()
    sequencer.accept(0, 0)
    for (let number = 2; number <= SEQUENCE_WINDOW; number += 1) sequencer.accept(number, number)
    expect(sequencer.isFull).toBe(false)
    sequencer.accept(SEQUENCE_WINDOW + 1, SEQUENCE_WINDOW + 1)
    expect(sequencer.isFull).toBe(true)
  })

  test('are given up on in order, and those before are duplicates from then on', () => {
    const sequencer = createSequencer<string>()
    sequencer.accept(1, 'a')
    sequencer.accept(9, 'i')
    sequencer.accept(5, 'e')
    sequencer.accept(7, 'g')
    expect(sequencer.skip()).toEqual(['e', 'g', 'i'])
    expect(sequencer.last).toBe(9)
    expect(sequencer.accept(2, 'b')).toBe('duplicate')
    expect(sequencer.accept(10, 'j')).toEqual(['j'])
    expect(createSequencer().skip()).toEqual([])
  })

  test('go on after what a snapshot contains', () => {
    const sequencer = createSequencer<string>()
    sequencer.accept(1, 'a')
    for (const [number, event] of [
      [3, 'c'],
      [4, 'd'],
      [6, 'f'],
      [9, 'i'],
    ] as const)
      sequencer.accept(number, event)
    expect(sequencer.continueAfter(5)).toEqual(['f'])
    expect(sequencer).toMatchObject({ last: 6, waiting: 1 })
    expect(sequencer.continueAfter(9)).toEqual([])
    expect(sequencer).toMatchObject({ last: 9, waiting: 0 })
    const fresh = createSequencer<string>()
    expect(fresh.continueAfter(7)).toEqual([])
    expect(fresh.accept(7, 'g')).toBe('duplicate')
    expect(fresh.accept(8, 'h')).toEqual(['h'])
  })

  test('of any order within the window, with any repetition, come out once and in order', () => {
    const anyOrder = fc.integer({ min: 1, max: SEQUENCE_WINDOW - 1 }).chain((count) =>
      fc.shuffledSubarray(
        Array.from({ length: 2 * count }, (_, n) => n % count),
        { minLength: 2 * count },
      ),
    )
    fc.assert(
      fc.property(anyOrder, fc.integer(), (order, start) => {
        const sequencer = createSequencer<number>()
        const out: number[] = [...(sequencer.accept(start, start) as readonly number[])]
        let duplicates = 0
        for (const n of order) {
          const ready = sequencer.accept(start + 1 + n, start + 1 + n)
          if (ready === 'duplicate') duplicates += 1
          else out.push(...ready)
          expect(sequencer.isFull).toBe(false)
        }
        expect(out).toEqual(Array.from({ length: order.length / 2 + 1 }, (_, n) => start + n))
        expect(duplicates).toBe(order.length / 2)
        expect(sequencer.waiting).toBe(0)
      }),
      { numRuns: 200, seed: 3 },
    )
  })
})
