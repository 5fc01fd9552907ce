import { describe, expect, test } from 'vitest'
import { type ElectionEffect, type ElectionEvent, type ElectionState, elect } from '../../src/sources/tabs/election'

/** `same`: the very same state, and nothing to do. */
type Expected = 'same' | [next: ElectionState, ...effects: ElectionEffect[]]

const table: Record<ElectionState, Record<ElectionEvent, Expected>> = {
  parked: {
    join: ['standby', 'open', 'request', 'greet'],
    alone: ['solo', 'start'],
    granted: 'same',
    refused: 'same',
    suspect: 'same',
    lost: 'same',
    separate: 'same',
    park: 'same',
  },
  standby: {
    join: 'same',
    alone: 'same',
    granted: ['leading', 'announce', 'start'],
    refused: ['solo', 'shut', 'start'],
    suspect: ['standby', 'drop', 'steal'],
    lost: 'same',
    separate: ['solo', 'drop', 'shut', 'start'],
    park: ['parked', 'drop', 'shut'],
  },
  leading: {
    join: 'same',
    alone: 'same',
    granted: 'same',
    refused: 'same',
    suspect: 'same',
    lost: ['standby', 'stop', 'drop', 'request', 'greet'],
    separate: ['solo', 'drop', 'shut'],
    park: ['parked', 'stop', 'drop', 'shut'],
  },
  solo: {
    join: 'same',
    alone: 'same',
    granted: 'same',
    refused: 'same',
    suspect: 'same',
    lost: 'same',
    separate: 'same',
    park: ['parked', 'stop'],
  },
}

describe.each(Object.entries(table) as [ElectionState, Record<ElectionEvent, Expected>][])('while %s', (state, row) => {
  test.each(Object.entries(row) as [ElectionEvent, Expected][])('%s leads to %s', (event, expected) => {
    const [next, ...effects] = expected === 'same' ? [state] : expected
    expect(elect(state, event)).toEqual({ state: next, effects })
  })
})

describe('over any row of events', () => {
  const states = Object.keys(table) as ElectionState[]
  const events = Object.keys(table.parked) as ElectionEvent[]
  const everyStep = () => states.flatMap((from) => events.map((event) => ({ from, event, ...elect(from, event) })))
  const runs = (state: ElectionState) => state === 'leading' || state === 'solo'
  const shares = (state: ElectionState) => state === 'leading' || state === 'standby'

  test('the source starts and stops exactly as its state begins and ceases to run it', () => {
    for (const { from, state, effects } of everyStep()) {
      expect(effects.includes('start')).toBe(!runs(from) && runs(state))
      expect(effects.includes('stop')).toBe(runs(from) && !runs(state))
    }
  })

  test('the channel is open exactly in the states that share', () => {
    for (const { from, state, effects } of everyStep()) {
      expect(effects.includes('open')).toBe(!shares(from) && shares(state))
      expect(effects.includes('shut')).toBe(shares(from) && !shares(state))
    }
  })

  test('whoever leaves the sharing drops the lock or has lost it, and whoever asks anew has dropped it before', () => {
    for (const { from, state, effects, event } of everyStep()) {
      if (shares(from) && !shares(state) && event !== 'refused') expect(effects).toContain('drop')
      const asks = effects.findIndex((effect) => effect === 'request' || effect === 'steal')
      if (shares(from) && asks >= 0) expect(effects.slice(0, asks)).toContain('drop')
    }
  })

  test('a leader is announced before its source starts, so that nothing it relays comes from nobody', () => {
    for (const { state, effects } of everyStep())
      if (state === 'leading' && effects.includes('start'))
        expect(effects.indexOf('announce')).toBeLessThan(effects.indexOf('start'))
  })
})
