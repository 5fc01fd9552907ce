import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { backoffDelay, defaultBackoff, LONGEST_SERVER_DELAY } from '../../src/primitives/backoff'
import { MillraceError } from '../../src/primitives/errors'
import { afterEnd, attemptsOf, type Connected, type End, type ReconnectionState } from '../../src/stream/reconnection'

const NOW = 1_000_000
const { resetAfter, base, cap } = defaultBackoff
const backoff = { ...defaultBackoff, jitter: 'none' } as const
const error = new MillraceError('network', 'lost', { retryable: true })
const over = new MillraceError('http', 'no content', { status: 204 })
const final = new MillraceError('http', 'final')

const connecting: Connected = { name: 'connecting', failures: 2, since: NOW, error: undefined }
const open: Connected = { name: 'open', failures: 2, since: NOW }
const plain: End = { error, inOrder: false, lived: 0, brought: false, retry: 0, offline: false, random: 0.5 }
const after = (state: Connected, end: Partial<End>) => afterEnd(backoff, state, { ...plain, ...end }, NOW)

const brought = { brought: true } as const
const lasted = { brought: true, lived: resetAfter } as const
const soon = { brought: true, lived: resetAfter - 1 } as const
const inOrder = { inOrder: true } as const

describe('the end of a connection', () => {
  /** From 2 failures, or from `short` connections in a row that were over too soon. */
  test.each<[what: string, state: Connected, end: Partial<End>, next: Partial<Record<string, unknown>>]>([
    ['that the server names for good', connecting, { error: over }, { name: 'complete', error: over }],
    ['by an error that stays', open, { error: final }, { name: 'failed', error: final }],
    ['that was not answered', connecting, {}, { failures: 3, delay: 4 * base, mute: false }],
    ['that opened and brought nothing', open, {}, { failures: 3, delay: base + 4 * base, mute: true }],
    [
      'that opened and brought nothing in an hour',
      open,
      { lived: 3_600_000, ...inOrder },
      { failures: 3, mute: true, planned: false },
    ],
    ['that brought something', open, brought, { failures: 1, short: 1, delay: 2 * base, mute: false }],
    [
      'that brought something, soon, again',
      { ...open, short: 2 },
      soon,
      { failures: 1, short: 3, delay: base + 4 * base },
    ],
    ['that lasted', { ...open, short: 2 }, lasted, { failures: 1, short: 0, delay: 2 * base, planned: false }],
    [
      'that lasted, in good order',
      { ...open, short: 2 },
      { ...lasted, ...inOrder },
      { failures: 1, short: 0, delay: 125, planned: true },
    ],
    ['in good order, soon', open, { ...soon, ...inOrder }, { short: 1, planned: false }],
    [
      'in good order, soon, by a server that says when',
      { ...open, short: 2 },
      { ...soon, ...inOrder, retry: 3_000 },
      { short: 0, delay: 3_000 + base },
    ],
    [
      'that lasted, by a server that says when',
      open,
      { ...lasted, ...inOrder, retry: 3_000 },
      { delay: 3_125, planned: true },
    ],
    [
      'that lasted, by a server that asks for too much',
      open,
      { ...lasted, ...inOrder, retry: 1e9 },
      { delay: LONGEST_SERVER_DELAY + 125 },
    ],
    [
      'by an answer that says when',
      connecting,
      { error: new MillraceError('http', '', { retryable: true, retryAfter: 7_000 }), retry: 3_000 },
      { delay: 7_000 + 4 * base },
    ],
    ['while the browser is offline', connecting, { offline: true }, { failures: 2, delay: cap }],
    [
      'while the browser is offline, the first one',
      { ...connecting, failures: 0 },
      { offline: true },
      { failures: 1, delay: cap },
    ],
  ])('%s', (_, state, end, next) => {
    const { error } = { ...plain, ...end }
    const waiting = { name: 'waiting', retryAt: NOW + Number(next.delay), error }
    expect(after(state, end)).toMatchObject({ ...(next.name || next.delay === undefined ? {} : waiting), ...next })
  })

  test('in good order before a while is over is no planned one, however soon `resetAfter` is', () => {
    const end = { ...plain, ...brought, ...inOrder, lived: 4_999 }
    expect(afterEnd({ ...backoff, resetAfter: 10 }, open, end, NOW)).toMatchObject({ planned: false })
  })

  test('is followed by at least the base if it was open, however soon the server wants it back', () => {
    const next = afterEnd(defaultBackoff, { ...open, failures: 0 }, { ...plain, random: 0 }, NOW)
    expect(next).toMatchObject({ retryAt: NOW + base * 1.1 })
  })
})

describe('what counts for the next connection', () => {
  const waiting = after(open, {})
  test.each<[state: ReconnectionState, failures: number, mute?: boolean]>([
    [{ name: 'idle' }, 0],
    [{ name: 'complete', error: over }, 0],
    [{ name: 'failed', error: final }, 0],
    [connecting, 2],
    [waiting, 3, true],
    [{ name: 'paused', failures: 2 }, 2],
    // Who drops a connection that was open has not seen it fail.
    [open, 0],
    [{ ...open, mute: true }, 2, true],
  ])('of %o: %i failures', (state, failures, mute) => {
    expect(attemptsOf(state)).toMatchObject({ failures, ...(mute && { mute }) })
  })

  test('grows with connections that say a word and are over', () => {
    let state = open
    const delays = [1, 2, 3, 4].map(() => {
      const next = after(state, soon)
      state = { ...open, ...attemptsOf(next) }
      return (next as { delay: number }).delay
    })
    expect(delays).toEqual([2, 3, 5, 9].map((n) => n * base))
  })
})

describe('the delay before the next attempt', () => {
  const anyDraw = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
  const anyOptions = fc.record({
    base: fc.integer({ min: 1, max: 100_000 }),
    factor: fc.double({ min: 1, max: 10, noNaN: true }),
    cap: fc.integer({ min: 1, max: 1_000_000 }),
    resetAfter: fc.nat(),
    jitter: fc.constantFrom('full' as const, 'none' as const),
  })

  test('lies between a tenth of the undrawn delay and all of it, and never beyond the cap', () => {
    fc.assert(
      fc.property(anyOptions, fc.nat(100_000), anyDraw, (options, failures, random) => {
        const delay = backoffDelay(options, failures, random)
        const undrawn = Math.min(options.cap, options.base * options.factor ** Math.min(failures, 64))
        expect(delay).toBeGreaterThanOrEqual(undrawn * 0.1)
        expect(delay).toBeLessThanOrEqual(Math.min(options.cap, undrawn))
        if (options.jitter === 'none') expect(delay).toBe(undrawn)
      }),
      { numRuns: 500, seed: 8 },
    )
  })

  test('is never less than the server asks for, and the server cannot ask for more than 5 min', () => {
    fc.assert(
      fc.property(fc.nat(2_000), anyDraw, fc.double({ noNaN: true }), (failures, random, floor) => {
        const delay = backoffDelay(defaultBackoff, failures, random, floor)
        const asked = Math.min(Math.max(floor, 0), LONGEST_SERVER_DELAY)
        expect(delay).toBeGreaterThan(asked)
        expect(delay).toBeLessThanOrEqual(asked + defaultBackoff.cap)
        expect(delay).toBeLessThan(2 ** 31)
      }),
      { numRuns: 500, seed: 9 },
    )
  })

  test('doubles up to the cap and stays there for ever', () => {
    const delays = [0, 1, 2, 3, 4, 5, 6, 1_015, 100_000].map((failures) =>
      backoffDelay({ ...defaultBackoff, jitter: 'none' }, failures, 0),
    )
    expect(delays).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000, 30_000])
  })
})
