import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createSlots, type Priority } from '../../src/network/slots'

const limits = { concurrency: 6, queue: 100 }

describe('slots', () => {
  test('never run more than the limit, lose nobody, and end empty, for any sequence', () => {
    const step = fc.oneof(
      {
        weight: 3,
        arbitrary: fc.record({
          do: fc.constant('enter' as const),
          priority: fc.constantFrom<Priority>('high', 'normal', 'low'),
        }),
      },
      { weight: 2, arbitrary: fc.record({ do: fc.constant('leave' as const), well: fc.boolean() }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('give up' as const), nth: fc.nat(20) }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('ramp up' as const) }) },
    )
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 8 }),
        fc.integer({ min: 0, max: 10 }),
        fc.array(step),
        (concurrency, queue, steps) => {
          const slots = createSlots()
          const waiting = new Map<number, () => void>()
          let running = 0
          let entered = 0
          let now = 0
          for (const one of steps) {
            now += 100
            if (one.do === 'enter') {
              entered += 1
              const id = entered
              let ran = false
              const leave = slots.enter(
                () => one.priority,
                now,
                { concurrency, queue },
                () => {
                  ran = true
                  running += 1
                  waiting.delete(id)
                },
              )
              if (leave && !ran) waiting.set(id, leave)
              if (!leave) expect(slots.queued).toBeGreaterThanOrEqual(queue)
            } else if (one.do === 'leave' && running > 0) {
              running -= 1
              slots.leave(one.well)
            } else if (one.do === 'give up') {
              const [id, leave] = [...waiting][one.nth] ?? []
              leave?.()
              waiting.delete(id!)
            } else if (one.do === 'ramp up') slots.rampUp()
            expect(running).toBeLessThanOrEqual(concurrency)
            expect([slots.inFlight, slots.queued]).toEqual([running, waiting.size])
            expect(slots.queued).toBeLessThanOrEqual(queue)
          }
          while (running > 0) {
            running -= 1
            slots.leave(true)
          }
          expect([slots.inFlight, slots.queued, waiting.size]).toEqual([0, 0, 0])
        },
      ),
      { seed: 1, numRuns: 300 },
    )
  })

  test('go to who has waited longest, with a head start of 5 s for each priority above another', () => {
    const slots = createSlots()
    const began: string[] = []
    const enter = (priority: Priority, now: number) =>
      slots.enter(
        () => priority,
        now,
        { concurrency: 1, queue: 100 },
        () => began.push(`${priority} ${now}`),
      )
    enter('normal', 0)
    for (const now of [1_000, 2_000]) enter('low', now)
    for (const now of [6_000, 6_001, 11_000]) enter('normal', now)
    for (const now of [11_001, 11_000, 10_999]) enter('high', now)
    for (let n = 0; n < 8; n += 1) slots.leave(true)
    expect(began).toEqual([
      'normal 0',
      'high 10999',
      // Equal rank: in the order of their coming.
      'low 1000',
      'normal 6000',
      'high 11000',
      'normal 6001',
      'high 11001',
      'low 2000',
      'normal 11000',
    ])
  })

  test('are given by a long queue of those who leave at once from one to the next', () => {
    const slots = createSlots()
    const many = { concurrency: 1, queue: Infinity }
    let left = 0
    let depth = 0
    slots.enter(
      () => 'normal',
      0,
      many,
      () => {},
    )
    for (let n = 0; n < 100; n += 1)
      slots.enter(
        () => 'normal',
        0,
        many,
        () => {
          depth += 1
          left += 1
          slots.leave(false)
          // One within another would in the end overflow the stack.
          expect(depth).toBe(1)
          depth -= 1
        },
      )
    slots.leave(true)
    expect([left, slots.inFlight, slots.queued]).toEqual([100, 0, 0])
  })

  test('after a ramp run one, two, four, and then all, with each success', () => {
    const slots = createSlots()
    slots.rampUp()
    let running = 0
    for (let n = 0; n < 30; n += 1)
      slots.enter(
        () => 'normal',
        n,
        limits,
        () => {
          running += 1
        },
      )
    const seen = [running]
    for (let n = 0; n < 10; n += 1) {
      running -= 1
      slots.leave(true)
      seen.push(running)
    }
    expect(seen.slice(0, 5)).toEqual([1, 2, 4, 6, 6])
  })

  test('after a ramp stay at one while nothing succeeds', () => {
    const slots = createSlots()
    slots.rampUp()
    let running = 0
    for (let n = 0; n < 10; n += 1)
      slots.enter(
        () => 'normal',
        n,
        limits,
        () => {
          running += 1
        },
      )
    for (let n = 0; n < 5; n += 1) {
      expect(running).toBe(1)
      running -= 1
      slots.leave(false)
    }
  })
})
