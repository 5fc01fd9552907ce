import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { backoffDelay, defaultBackoff, LONGEST_SERVER_DELAY } from '../../src/primitives/backoff'
import { MillraceError } from '../../src/primitives/errors'
import {
  createReconnection,
  type Loss,
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

const lost = {
  type: 'lost',
  error: after,
  random: 0.5,
  floor: 0,
  lived: 0,
  brought: false,
  ended: false,
  offline: false,
} as const

const states: Record<StateName, ReconnectionState> = {
  idle: { name: 'idle' },
  connecting: { name: 'connecting', failures: 2, since: NOW - 100, error: before },
  open: { name: 'open', failures: 2, since: NOW - 100 },
  waiting: { name: 'waiting', failures: 2, retryAt: NOW + 100, delay: 100, error: before },
  paused: { name: 'paused', failures: 2 },
  complete: { name: 'complete' },
  failed: { name: 'failed', error: final },
}
const events: Record<EventName, ReconnectionEvent> = {
  start: { type: 'start' },
  late: { type: 'late' },
  overdue: { type: 'overdue', error: after },
  opened: { type: 'opened' },
  alive: { type: 'alive' },
  finished: { type: 'finished' },
  due: { type: 'due' },
  pause: { type: 'pause' },
  resume: { type: 'resume' },
  replace: { type: 'replace' },
  stop: { type: 'stop' },
  lost,
  refused: { type: 'refused', error: final },
}

const table: Record<StateName, Record<EventName, Expected>> = {
  idle: {
    start: ['connecting', 'connect'],
    late: 'same',
    overdue: 'same',
    opened: 'same',
    alive: 'same',
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
    overdue: ['connecting'],
    opened: ['open'],
    alive: 'same',
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
    overdue: 'same',
    opened: 'same',
    alive: 'same',
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
    overdue: 'same',
    opened: 'same',
    alive: 'same',
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
    overdue: 'same',
    opened: 'same',
    alive: 'same',
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
    overdue: 'same',
    opened: 'same',
    alive: 'same',
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
    overdue: 'same',
    opened: 'same',
    alive: 'same',
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
      delay: 4_000,
      error: after,
    })
  })

  test('failures outlive a pause', () => {
    const paused = step(states.waiting, events.pause, NOW).state
    expect(step(paused, events.resume, NOW).state).toMatchObject({ name: 'connecting', failures: 2 })
  })
})

describe('attempts in a row', () => {
  const { resetAfter, base } = defaultBackoff
  const open: ReconnectionState = { name: 'open', failures: 2, since: NOW }
  const lose = (state: ReconnectionState, how: Partial<Loss>) => step(state, { ...lost, ...how }, NOW).state

  test('are forgotten by bytes, however long it lived', () => {
    expect(lose(open, { brought: true })).toMatchObject({ failures: 1 })
    expect(lose(open, { lived: 3_600_000 })).toMatchObject({ failures: 3, mute: true })
  })

  test('whose connections brought something, and were over soon, are asked less and less often', () => {
    let state: ReconnectionState = { name: 'open', failures: 0, since: NOW }
    for (const delay of [1, 2, 4, 8]) {
      state = lose(state, { brought: true, lived: resetAfter - 1 })
      expect(state).toMatchObject({ failures: 1, delay: base + delay * base })
      state = step(step(state, events.due, NOW).state, events.opened, NOW).state
    }
    expect(lose(state, { brought: true, lived: resetAfter })).toMatchObject({ failures: 1, delay: 2 * base })
  })

  test('end with one at once where the server has ended in good order what lived', () => {
    const planned = lose(open, { brought: true, ended: true, lived: resetAfter })
    expect(planned).toMatchObject({ name: 'waiting', planned: true, delay: 125 })
    const next = step(planned, events.due, NOW).state
    expect(lose(next, {})).toMatchObject({ failures: 2, delay: 2 * base })
    expect(lose(next, {})).not.toHaveProperty('planned')
    expect(lose(open, { brought: true, ended: true, lived: resetAfter - 1 })).not.toHaveProperty('planned')
    expect(lose(open, { brought: true, lived: resetAfter })).not.toHaveProperty('planned')
    expect(lose(open, { ended: true, lived: resetAfter })).not.toHaveProperty('planned')
  })

  test('are as far apart as the server says by `retry`, where it ends in good order', () => {
    let state: ReconnectionState = open
    for (let round = 0; round < 5; round++) {
      state = lose(state, { brought: true, ended: true, lived: 10, floor: 3_000 })
      expect(state).toMatchObject({ delay: 3_000 + base })
      state = step(step(state, events.due, NOW).state, events.opened, NOW).state
    }
  })

  test('go on from a connection that opens after a mute one until it brings something', () => {
    const mute = step(step(lose(open, {}), events.due, NOW).state, events.opened, NOW).state
    expect(mute).toEqual({ name: 'open', failures: 3, since: NOW, mute: true })
    expect(step(mute, events.alive, NOW).state).toEqual({ name: 'open', failures: 0, since: NOW })
  })

  test('are not counted, and are rare, while the browser says that it is offline', () => {
    expect(lose(states.connecting, { offline: true })).toMatchObject({ failures: 2, delay: defaultBackoff.cap })
  })

  test('are none for a connection that was dropped on purpose', () => {
    expect(step(open, events.replace, NOW).state).toMatchObject({ name: 'connecting', failures: 0 })
  })

  test('never run beside each other, and none is left behind, whatever happens in whatever order', () => {
    const anyEvent = fc.oneof(
      fc.constantFrom<ReconnectionEvent>(...Object.values(events)),
      fc.record({
        type: fc.constant('lost' as const),
        error: fc.constant(after),
        random: fc.double({ min: 0, max: 0.999, noNaN: true }),
        floor: fc.nat(400_000),
        lived: fc.nat(2 * resetAfter),
        brought: fc.boolean(),
        ended: fc.boolean(),
        offline: fc.boolean(),
      }),
    )
    fc.assert(
      fc.property(fc.array(anyEvent, { maxLength: 60 }), (all) => {
        let state: ReconnectionState = states.idle
        for (const event of all) {
          const was = state
          const next = step(was, event, NOW)
          state = next.state
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
    const next = createReconnection(defaultBackoff)(open, { ...lost, random: 0 }, NOW)
    expect(next.state).toMatchObject({ retryAt: NOW + defaultBackoff.base * 1.1 })
  })
})
