import { expect, test } from 'vitest'
import {
  type BreakerEffect,
  type BreakerEvent,
  type BreakerState,
  closedBreaker,
  defaultBreaker,
  stepBreaker,
} from '../../src/network/breaker'

const NOW = 100_000
const options = { failures: 3, window: 1_000, cooldown: 500 }

/** Each state as a situation; `open` is two of them, before and after its time. */
const situations = {
  'closed, calm': closedBreaker,
  'closed, one failure short': { name: 'closed', failedAt: [NOW - 999, NOW - 1] },
  'closed, with a failure that is too old': { name: 'closed', failedAt: [NOW - 1_000, NOW - 1] },
  'open, not due': { name: 'open', until: NOW + 1 },
  'open, due': { name: 'open', until: NOW },
  'half-open': { name: 'half-open' },
} satisfies Record<string, BreakerState>

type Situation = keyof typeof situations
type Expected = 'same' | { state: BreakerState; effects: BreakerEffect[] }

const opened: Expected = { state: { name: 'open', until: NOW + 500 }, effects: ['opened'] }
const same: Expected = 'same'

const table: Record<Situation, Record<BreakerEvent, Expected>> = {
  'closed, calm': {
    ask: same,
    success: same,
    failure: { state: { name: 'closed', failedAt: [NOW] }, effects: [] },
    neutral: same,
  },
  'closed, one failure short': { ask: same, success: same, failure: opened, neutral: same },
  'closed, with a failure that is too old': {
    ask: same,
    success: same,
    failure: { state: { name: 'closed', failedAt: [NOW - 1, NOW] }, effects: [] },
    neutral: same,
  },
  'open, not due': { ask: same, success: same, failure: same, neutral: same },
  'open, due': {
    ask: { state: { name: 'half-open' }, effects: ['probe'] },
    success: same,
    failure: same,
    neutral: same,
  },
  'half-open': {
    ask: same,
    success: { state: closedBreaker, effects: ['closed'] },
    failure: opened,
    neutral: { state: { name: 'open', until: NOW }, effects: [] },
  },
}

const rows = Object.entries(table).flatMap(([situation, events]) =>
  Object.entries(events).map(
    ([event, expected]) => [situation, event, expected] as [Situation, BreakerEvent, Expected],
  ),
)

test.each(rows)('%s takes %s', (situation, event, expected) => {
  const state: BreakerState = situations[situation]
  const before = structuredClone(state)
  const step = stepBreaker(options, state, event, NOW)
  if (expected === 'same') expect(step).toEqual({ state, effects: [] })
  else expect(step).toEqual(expected)
  if (expected === 'same') expect(step.state).toBe(state)
  // Pure: what it was given is as it was.
  expect(state).toEqual(before)
})

test('opens with 5 failures in 60 s, for 30 s, by default', () => {
  expect(defaultBreaker).toEqual({ failures: 5, window: 60_000, cooldown: 30_000 })
})

test('remembers no more failures than could open it', () => {
  let state: BreakerState = closedBreaker
  for (let n = 0; n < 10_000; n += 1) {
    state = stepBreaker({ failures: 5, window: 1_000, cooldown: 1 }, state, 'failure', n * 250).state
    if (state.name === 'closed') expect(state.failedAt.length).toBeLessThan(5)
  }
  expect(state.name).toBe('closed')
})
