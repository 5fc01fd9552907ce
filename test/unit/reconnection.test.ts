import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { backoffDelay, defaultBackoff, LONGEST_SERVER_DELAY } from '../../src/primitives/backoff'
import { MillraceError } from '../../src/primitives/errors'
import {
  createReconnection,
  type ReconnectionEffect,
  type ReconnectionEvent,
  type ReconnectionState,
} from '../../src/stream/reconnection'

type StateName = ReconnectionState['name']
type EventName = ReconnectionEvent['type']
/** `same`: the very same state, and nothing to do. */
type Expected = 'same' | [next: StateName, ...effects: ReconnectionEffect[]]

const NOW = 1_000_000
const before = new MillraceError('network', 'before', { retryable: true })
const after = new MillraceError('network', 'after', { retryable: true })
const final = new MillraceError('http', 'final')
const step = createReconnection({ ...defaultBackoff, jitter: 'none' })

const states: Record<StateName, ReconnectionState> = {
  idle: { name: 'idle' },
  connecting: { name: 'connecting', failures: 2, since: NOW - 100, error: before },
  open: { name: 'open', failures: 2, since: NOW - 100 },
  waiting: { name: 'waiting', failures: 2, retryAt: NOW + 100, error: before },
  paused: { name: 'paused', failures: 2 },
  complete: { name: 'complete' },
  failed: { name: 'failed', error: final },
}
const events: Record<EventName, ReconnectionEvent> = {
  start: { type: 'start' },
  late: { type: 'late' },
  opened: { type: 'opened' },
  finished: { type: 'finished' },
  due: { type: 'due' },
  pause: { type: 'pause' },
  resume: { type: 'resume' },
  replace: { type: 'replace' },
  stop: { type: 'stop' },
  lost: { type: 'lost', error: after, random: 0.5, floor: 0 },
  refused: { type: 'refused', error: final },
}

const table: Record<StateName, Record<EventName, Expected>> = {
  idle: {
    start: ['connecting', 'connect'],
    late: 'same',
    opened: 'same',
    finished: 'same',
    due: 'same',
    pause: 'same',
    resume: 'same',
    replace: 'same',
    stop: 'same',
    lost: 'same',
    refused: 'same',
  },
  connecting: {
    start: 'same',
    late: ['connecting'],
    opened: ['open'],
    finished: ['complete', 'disconnect'],
    due: 'same',
    pause: ['paused', 'disconnect'],
    resume: 'same',
    replace: ['connecting', 'disconnect', 'connect'],
    stop: ['idle', 'disconnect'],
    lost: ['waiting', 'disconnect', 'sleep'],
    refused: ['failed', 'disconnect'],
  },
  open: {
    start: 'same',
    late: 'same',
    opened: 'same',
    finished: ['complete', 'disconnect'],
    due: 'same',
    pause: ['paused', 'disconnect'],
    resume: 'same',
    replace: ['connecting', 'disconnect', 'connect'],
    stop: ['idle', 'disconnect'],
    lost: ['waiting', 'disconnect', 'sleep'],
    refused: ['failed', 'disconnect'],
  },
  waiting: {
    start: 'same',
    late: 'same',
    opened: 'same',
    finished: 'same',
    due: ['connecting', 'connect'],
    pause: ['paused'],
    resume: 'same',
    replace: ['connecting', 'connect'],
    stop: ['idle'],
    lost: 'same',
    refused: 'same',
  },
  paused: {
    start: ['connecting', 'connect'],
    late: 'same',
    opened: 'same',
    finished: 'same',
    due: 'same',
    pause: 'same',
    resume: ['connecting', 'connect'],
    replace: 'same',
    stop: ['idle'],
    lost: 'same',
    refused: 'same',
  },
  complete: {
    start: ['connecting', 'connect'],
    late: 'same',
    opened: 'same',
    finished: 'same',
    due: 'same',
    pause: 'same',
    resume: 'same',
    replace: 'same',
    stop: ['idle'],
    lost: 'same',
    refused: 'same',
  },
  failed: {
    start: ['connecting', 'connect'],
    late: 'same',
    opened: 'same',
    finished: 'same',
    due: 'same',
    pause: 'same',
    resume: 'same',
    replace: 'same',
    stop: ['idle'],
    lost: 'same',
    refused: 'same',
  },
}

describe.each(Object.entries(table) as [StateName, Record<EventName, Expected>][])('while %s', (name, row) => {
  test.each(Object.entries(row) as [EventName, Expected][])('%s leads to %s', (type, expected) => {
    const next = step(states[name], events[type], NOW)
    if (expected === 'same') {
      expect(next.state).toBe(states[name])
      expect(next.effects).toEqual([])
    } else {
      const [state, ...effects] = expected
      expect({ name: next.state.name, effects: next.effects }).toEqual({ name: state, effects })
    }
  })
})

describe('what a state carries', () => {
  test('an attempt knows since when it runs, how many failed before it and with what', () => {
    expect(step(states.connecting, events.late, NOW).state).toEqual({ ...states.connecting, late: true })
    expect(step(states.waiting, events.due, NOW).state).toEqual({
      name: 'connecting',
      failures: 2,
      since: NOW,
      error: before,
    })
    expect(step(states.idle, events.start, NOW).state).toEqual({ name: 'connecting', failures: 0, since: NOW })
    expect(step(states.failed, events.start, NOW).state).toEqual({ name: 'connecting', failures: 0, since: NOW })
  })

  test('a lost connection waits from the moment of its loss, with the newest error', () => {
    expect(step(states.connecting, events.lost, NOW).state).toEqual({
      name: 'waiting',
      failures: 3,
      retryAt: NOW + 4_000,
      error: after,
    })
  })

  test('failures outlive a pause', () => {
    const paused = step(states.waiting, events.pause, NOW).state
    expect(step(paused, events.resume, NOW).state).toMatchObject({ name: 'connecting', failures: 2 })
  })
})

describe('attempts in a row', () => {
  const { resetAfter } = defaultBackoff
  const lostAfter = (age: number) => {
    const open: ReconnectionState = { name: 'open', failures: 7, since: NOW }
    return step(open, events.lost, NOW + age).state
  }

  test('are forgotten by a connection that has lived for `resetAfter`, not a millisecond earlier', () => {
    expect(lostAfter(resetAfter - 1)).toMatchObject({ failures: 8 })
    expect(lostAfter(resetAfter)).toMatchObject({ failures: 1 })
  })

  test('are not forgotten by a connection that only opened', () => {
    let state: ReconnectionState = states.idle
    let now = NOW
    for (let round = 0; round < 20; round += 1) {
      state = step(state, state.name === 'idle' ? events.start : events.due, now).state
      state = step(state, events.opened, now).state
      now += resetAfter - 1
      state = step(state, events.lost, now).state
      expect(state).toMatchObject({ name: 'waiting', failures: round + 1 })
      if (state.name === 'waiting') now = state.retryAt
    }
  })

  test('never reset early and never skip, whatever happens in whatever order', () => {
    const anyEvent = fc.oneof(
      fc.constantFrom<ReconnectionEvent>(...Object.values(events)),
      fc.record({
        type: fc.constant('lost' as const),
        error: fc.constant(after),
        random: fc.double({ min: 0, max: 0.999, noNaN: true }),
        floor: fc.nat(400_000),
      }),
    )
    const steps = fc.array(fc.tuple(anyEvent, fc.nat(2 * resetAfter)), { maxLength: 60 })
    fc.assert(
      fc.property(steps, (all) => {
        let state: ReconnectionState = states.idle
        let now = NOW
        for (const [event, pause] of all) {
          now += pause
          const was = state
          const next = step(was, event, now)
          state = next.state
          const failures = (of: ReconnectionState) => ('failures' in of ? of.failures : 0)
          if (event.type === 'lost' && next.effects.length > 0) {
            const lived = was.name === 'open' ? now - was.since : 0
            expect(failures(state)).toBe((lived >= resetAfter ? 0 : failures(was)) + 1)
          } else if ('failures' in state && 'failures' in was) expect(failures(state)).toBe(failures(was))
          // An attempt never runs beside another, and none is left behind.
          const connected = was.name === 'connecting' || was.name === 'open'
          if (next.effects.includes('connect') && connected) expect(next.effects[0]).toBe('disconnect')
          const isConnected = state.name === 'connecting' || state.name === 'open'
          if (connected && !isConnected) expect(next.effects).toContain('disconnect')
          expect(next.effects.includes('sleep')).toBe(state.name === 'waiting' && was !== state)
        }
      }),
      { numRuns: 300, seed: 7 },
    )
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

  test('of a connection that was open is at least the base, however soon the server wants it back', () => {
    const open: ReconnectionState = { name: 'open', failures: 0, since: NOW - 10_000 }
    const lost = createReconnection(defaultBackoff)(open, { ...events.lost, random: 0 } as ReconnectionEvent, NOW)
    expect(lost.state).toMatchObject({ retryAt: NOW + defaultBackoff.base * 1.1 })
  })
})
