import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type Batch,
  type Chain,
  type ChainEvent,
  follow,
  MOST_CHARACTERS,
  MOST_HELD,
  unjoined,
} from '../../src/sources/tabs/chain'

const batch = (e: number, n: number, ...events: number[]): ChainEvent<Batch> => ({
  type: 'batch',
  batch: { e, n, events, size: events.length },
})
const joined = (epoch: number, n: number): ChainEvent<Batch> => ({ type: 'joined', epoch, n })
const leader = (epoch: number): ChainEvent<Batch> => ({ type: 'leader', epoch })

/** Follows all, and tells what each step handed on, and whether it asked. */
function run(...events: ChainEvent<Batch>[]) {
  let chain: Chain<Batch> = unjoined
  const steps = events.map((event) => {
    const step = follow(chain, event)
    chain = step.chain
    return { ready: step.ready.flatMap(({ events }) => events), ask: step.ask }
  })
  return { chain, steps, last: steps.at(-1)!, all: steps.flatMap(({ ready }) => ready) }
}

const nothing = { ready: [], ask: false }
const asks = { ready: [], ask: true }

describe('before it has joined, a follower', () => {
  test('hands on nothing, and asks where the leader stands', () => {
    expect(run(batch(5, 0, 1)).last).toEqual(asks)
    expect(run(leader(5)).last).toEqual(asks)
  })

  test('asks once, however many batches come', () => {
    expect(run(batch(5, 0, 1), batch(5, 1, 2)).last).toEqual(nothing)
  })

  test('hands on what it held from its place on, and drops what came before', () => {
    expect(run(batch(5, 0, 1, 2), batch(5, 2, 3), joined(5, 1)).last).toEqual({ ready: [2, 3], ask: false })
    expect(run(batch(5, 0, 1, 2), joined(5, 2)).last).toEqual(nothing)
  })
})

describe('once it has joined, a follower', () => {
  test('hands on what follows', () => {
    expect(run(joined(5, 7), batch(5, 7, 1, 2), batch(5, 9, 3)).all).toEqual([1, 2, 3])
  })

  test('drops what it knows, and the known part of a batch', () => {
    expect(run(joined(5, 2), batch(5, 0, 1, 2)).last).toEqual(nothing)
    expect(run(joined(5, 2), batch(5, 1, 1, 2, 3)).last).toEqual({ ready: [2, 3], ask: false })
  })

  test('asks when one is missing, holds what comes after it, and hands that on when it has joined again', () => {
    expect(run(joined(5, 0), batch(5, 1, 2)).last).toEqual(asks)
    expect(run(joined(5, 0), batch(5, 1, 2), batch(5, 2, 3), joined(5, 1)).last.ready).toEqual([2, 3])
  })

  test('asks again when it has joined before a gap in what it holds', () => {
    const { last, chain } = run(batch(5, 0, 1), batch(5, 2, 3), joined(5, 0))
    expect(last).toEqual({ ready: [1], ask: true })
    expect(chain).toMatchObject({ next: undefined, held: [{ n: 2 }] })
  })

  test('is outranked into asking by a higher epoch, and forgets what it held of the lower one', () => {
    expect(run(joined(5, 0), leader(6)).last).toEqual(asks)
    expect(run(batch(5, 0, 1), batch(6, 0, 9), joined(6, 0)).last.ready).toEqual([9])
    expect(run(batch(5, 0, 1), joined(6, 0)).last).toEqual(nothing)
  })

  test('ignores whatever comes from a lower epoch', () => {
    for (const late of [batch(4, 0, 9), leader(4), joined(4, 0)]) {
      const before = run(joined(5, 3)).chain
      const { chain, last } = run(joined(5, 3), late)
      expect(chain).toEqual(before)
      expect(last).toEqual(nothing)
    }
  })

  test('takes the announcement of the leader that it follows for no news', () => {
    expect(run(joined(5, 3), leader(5)).chain).toEqual(run(joined(5, 3)).chain)
  })
})

describe('in any order, with any loss and any repetition', () => {
  /** Each leader's events, cut into batches; then any row of these, of announcements and of answers. */
  const anyLeaders = fc.array(fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 8 }), {
    minLength: 1,
    maxLength: 3,
  })
  const anyHistory = anyLeaders.chain((leaders) => {
    const said: ChainEvent<Batch>[] = leaders.flatMap((sizes, index) => {
      const e = index + 1
      let n = 0
      const batches = sizes.map((size) => {
        const made = batch(e, n, ...Array.from({ length: size }, (_, i) => e * 1_000 + n + i))
        n += size
        return made
      })
      return [leader(e), ...batches, ...Array.from({ length: n + 1 }, (_, place) => joined(e, place))]
    })
    return fc.record({
      totals: fc.constant(leaders.map((sizes) => sizes.reduce((sum, size) => sum + size, 0))),
      said: fc.constant(said),
      heard: fc.array(fc.constantFrom(...said), { maxLength: 60 }),
    })
  })
  const epochOf = (event: ChainEvent<Batch>) => (event.type === 'batch' ? event.batch.e : event.epoch)

  test('no event is handed on out of order or of a lower epoch, and none twice but where it has joined further back', () => {
    fc.assert(
      fc.property(anyHistory, ({ heard }) => {
        let chain: Chain<Batch> = unjoined
        let next: number | undefined
        for (const event of heard) {
          const before = chain
          const step = follow(chain, event)
          chain = step.chain
          expect(chain.epoch).toBe(Math.max(before.epoch, epochOf(event)))
          if (event.type === 'joined' && event.epoch === chain.epoch) next = event.n
          else if (before.epoch !== chain.epoch) next = undefined
          for (const { e, n, events } of step.ready) {
            expect([e, n]).toEqual([chain.epoch, next])
            expect(events).toEqual(events.map((_, index) => e * 1_000 + n + index))
            expect(events.length).toBeGreaterThan(0)
            next = n + events.length
          }
          if (chain.next !== undefined) expect([chain.next, chain.held]).toEqual([next, []])
        }
      }),
      { numRuns: 2_000, seed: 40 },
    )
  })

  test('whoever does not know its place has asked for it since it last knew', () => {
    fc.assert(
      fc.property(anyHistory, ({ heard }) => {
        let chain: Chain<Batch> = unjoined
        let hasAsked = false
        for (const event of heard) {
          const step = follow(chain, event)
          chain = step.chain
          hasAsked = step.ask || (hasAsked && chain.next === undefined)
          if (chain.next === undefined && chain.epoch > 0) expect(hasAsked).toBe(true)
        }
      }),
      { numRuns: 2_000, seed: 41 },
    )
  })

  test('with an answer to each question, all of the last leader from the first answer on is handed on, once', () => {
    fc.assert(
      fc.property(anyHistory, fc.nat(20), ({ heard, said, totals }, place) => {
        const e = totals.length
        const total = totals.at(-1)!
        let chain: Chain<Batch> = unjoined
        for (const event of heard) chain = follow(chain, event).chain
        const known = chain.epoch === e && chain.next !== undefined ? chain.next : Math.min(place, total)
        const handed: unknown[] = []
        const tell = (event: ChainEvent<Batch>) => {
          const step = follow(chain, event)
          chain = step.chain
          for (const { events } of step.ready) handed.push(...events)
        }
        tell(joined(e, known))
        // The leader repeats everything, as a leader's ring does.
        for (const event of said) if (event.type === 'batch') tell(event)
        if (chain.next === undefined) tell(joined(e, known + handed.length))
        for (const event of said) if (event.type === 'batch') tell(event)
        expect(handed).toEqual(Array.from({ length: total - known }, (_, index) => e * 1_000 + known + index))
        expect(chain).toEqual({ epoch: e, next: total, held: [] })
      }),
      { numRuns: 2_000, seed: 42 },
    )
  })
})

test(`what is held has a bound: the newest ${MOST_HELD}, and the hole shows as soon as it has joined`, () => {
  const many = Array.from({ length: MOST_HELD + 500 }, (_, n) => batch(5, n, n))
  const { chain } = run(...many)
  expect(chain.held).toHaveLength(MOST_HELD)
  expect(chain.held[0]).toMatchObject({ n: 500 })
  expect(follow(chain, { type: 'joined', epoch: 5, n: 0 })).toMatchObject({ ready: [], ask: true })
  expect(follow(chain, { type: 'joined', epoch: 5, n: 500 }).ready).toHaveLength(MOST_HELD)
})

describe('what is held has a bound of characters', () => {
  const of = (n: number, size: number): ChainEvent<Batch> => ({ type: 'batch', batch: { e: 5, n, events: [n], size } })
  const heldOf = (...events: ChainEvent<Batch>[]) => run(...events).chain.held.map(({ n }) => n)
  const half = MOST_CHARACTERS / 2

  test('up to which all are held', () => {
    expect(heldOf(of(0, half), of(1, half))).toEqual([0, 1])
  })

  test('beyond which the first ones go, as many as must', () => {
    expect(heldOf(of(0, half), of(1, half), of(2, 1))).toEqual([1, 2])
    expect(heldOf(of(0, 1), of(1, 1), of(2, MOST_CHARACTERS - 1))).toEqual([1, 2])
    expect(heldOf(of(0, 1), of(1, 1), of(2, MOST_CHARACTERS))).toEqual([2])
  })

  test('which one that is larger has for itself', () => {
    expect(heldOf(of(0, 1), of(1, 2 * MOST_CHARACTERS))).toEqual([1])
    expect(heldOf(of(1, 2 * MOST_CHARACTERS), of(2, 1))).toEqual([2])
  })
})
