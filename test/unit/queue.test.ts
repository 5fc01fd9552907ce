import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { defaultBreaker } from '../../src/network/breaker'
import { newEndpoint } from '../../src/network/endpoint'
import { createQueue } from '../../src/network/queue'
import type { Priority } from '../../src/network/request'
import { GET, networkContext, openGate } from '../support/gate'
import { createTestClock } from '../support/test-clock'

const times = <T>(count: number, make: (n: number) => T): T[] => Array.from({ length: count }, (_, n) => make(n))

interface Entered {
  readonly name: string
  end(status: number): void
  abort(): void
  refused?: true
  answered?: number
}

/** A queue alone, before requests that end when they are told to. */
function makeQueue(limits: { concurrency: number; queue: number }) {
  const clock = createTestClock({ now: 0 })
  const at = newEndpoint(GET)
  const { context } = networkContext(clock, { limits })
  const policy = createQueue(context)
  const running: Entered[] = []
  const waiting: Entered[] = []
  const drop = (all: Entered[], one: Entered) => {
    if (all.includes(one)) all.splice(all.indexOf(one), 1)
  }
  const enter = (priority: Priority, leaves?: 'at once'): Entered => {
    const controller = new AbortController()
    const entered: Entered = { name: `${priority} ${clock.now()}`, end() {}, abort: () => controller.abort() }
    const { signal } = controller
    const request = { input: '', init: {}, headers: new Headers(), endpoint: GET, kind: 'foreground', label: 'Table' }
    waiting.push(entered)
    policy({ ...request, kind: 'foreground', attempt: 0, signal, at, priority: () => priority }, async () => {
      drop(waiting, entered)
      if (leaves) throw new Error('refused')
      running.push(entered)
      const status = await new Promise<number>((resolve) => {
        entered.end = resolve
      })
      drop(running, entered)
      return new Response(null, { status })
    }).then(
      ({ status }) => {
        entered.answered = status
      },
      () => {
        drop(waiting, entered)
        entered.refused = true
      },
    )
    return entered
  }
  return { clock, at, enter, running, waiting, settle: () => new Promise((resolve) => setImmediate(resolve)) }
}

describe('a queue', () => {
  test('never runs more than the limit, loses nobody, and ends empty, for any sequence', async () => {
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
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 8 }),
        fc.integer({ min: 0, max: 10 }),
        fc.array(step),
        async (concurrency, queue, steps) => {
          const { at, enter, running, waiting, settle } = makeQueue({ concurrency, queue })
          for (const one of steps) {
            if (one.do === 'enter') {
              const mayWait = at.queue.length < queue
              const entered = enter(one.priority)
              await settle()
              if (entered.refused) expect(mayWait).toBe(false)
            } else if (one.do === 'leave') running[0]?.end(one.well ? 200 : 429)
            else if (one.do === 'give up') waiting[one.nth]?.abort()
            else at.ramp = 1
            await settle()
            expect(running.length).toBeLessThanOrEqual(concurrency)
            expect([at.inFlight, at.queue.length]).toEqual([running.length, waiting.length])
            expect(waiting.length).toBeLessThanOrEqual(queue)
          }
          while (running.length > 0) {
            running[0]!.end(200)
            await settle()
          }
          expect([at.inFlight, at.queue.length, waiting.length]).toEqual([0, 0, 0])
        },
      ),
      { seed: 1, numRuns: 200 },
    )
  })

  test('goes to who has waited longest, with a head start of 5 s for each priority above another', async () => {
    const { clock, enter, running, settle } = makeQueue({ concurrency: 1, queue: 100 })
    const wanted: [Priority, number][] = [
      ['normal', 0],
      ['low', 1_000],
      ['low', 2_000],
      ['normal', 6_000],
      ['normal', 6_001],
      ['high', 10_999],
      ['normal', 11_000],
      ['high', 11_000],
      ['high', 11_001],
    ]
    for (const [priority, at] of wanted) {
      await clock.advance(at - clock.now())
      enter(priority)
    }
    const began: string[] = []
    while (running.length > 0) {
      const [{ name, end }] = running as [Entered]
      began.push(name)
      end(200)
      await settle()
    }
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

  test('is handed on by a long row of those who leave at once', async () => {
    const { at, enter, running, settle } = makeQueue({ concurrency: 1, queue: Infinity })
    enter('normal')
    const all = times(2_000, () => enter('normal', 'at once'))
    await settle()
    running[0]!.end(200)
    await settle()
    expect([all.every(({ refused }) => refused), at.inFlight, at.queue.length]).toEqual([true, 0, 0])
  })

  test('hands on the answer', async () => {
    const { enter, running, settle } = makeQueue({ concurrency: 1, queue: 100 })
    const all = [enter('normal'), enter('normal')]
    await settle()
    for (const status of [200, 503]) {
      running[0]!.end(status)
      await settle()
    }
    expect(all.map(({ answered }) => answered)).toEqual([200, 503])
  })

  test('gives the place of one who has gone before it knew that it was let in to the next', async () => {
    const { at, enter, running, waiting, settle } = makeQueue({ concurrency: 1, queue: 100 })
    enter('normal')
    const [second, third] = [enter('normal'), enter('normal')]
    await settle()
    const [first] = at.queue
    const { run } = first!
    first!.run = () => {
      run()
      second.abort()
    }
    running[0]!.end(200)
    await settle()
    expect([second.refused, running, waiting, at.inFlight]).toEqual([true, [third], [], 1])
  })

  test('after a ramp lets in one, two, four, and then all, with each success', async () => {
    const { at, enter, running, settle } = makeQueue({ concurrency: 6, queue: 100 })
    at.ramp = 1
    times(30, () => enter('normal'))
    const seen: number[] = []
    for (let n = 0; n < 10; n += 1) {
      await settle()
      seen.push(running.length)
      running[0]!.end(200)
    }
    expect(seen.slice(0, 5)).toEqual([1, 2, 4, 6, 6])
  })

  test('after a ramp stays at one while nothing succeeds', async () => {
    const { at, enter, running, settle } = makeQueue({ concurrency: 6, queue: 100 })
    at.ramp = 1
    times(10, () => enter('normal'))
    for (let n = 0; n < 5; n += 1) {
      await settle()
      expect(running).toHaveLength(1)
      running[0]!.end(429)
    }
  })
})

describe('the places at an endpoint', () => {
  test('are as many as configured; the rest waits, and whoever finds the queue full is refused', async () => {
    const { send, calls, clock, endpoint, counters } = openGate({ limits: { concurrency: 2, queue: 1 } })
    const all = times(4, () => send())
    await clock.advance(0)
    expect([calls.length, endpoint().inFlight, endpoint().queue.length]).toEqual([2, 2, 1])
    expect(all[3]!.outcome).toMatchObject({
      code: 'queue-full',
      message: `${GET} has 1 requests waiting: "Table" asks too much at once, or the server is too slow.`,
    })
    expect(counters.refused).toBe(1)
    calls[0]!.answer(200)
    await clock.advance(0)
    expect(calls).toHaveLength(3)
    expect(all[0]!.outcome).toBe(200)
  })

  test('are left by whoever breaks off while it waits', async () => {
    const { send, calls, clock, endpoint } = openGate({ limits: { concurrency: 1 } })
    const controller = new AbortController()
    send()
    const left = send({ signal: controller.signal })
    await clock.advance(0)
    controller.abort('gone')
    await clock.advance(0)
    expect([left.outcome, endpoint().queue.length]).toEqual(['gone', 0])
    calls[0]!.answer(200)
    await clock.advance(0)
    expect([calls.length, endpoint().inFlight]).toEqual([1, 0])
  })

  test('go to the more urgent first', async () => {
    const { send, calls, clock } = openGate({ limits: { concurrency: 1 } })
    send()
    send({ priority: () => 'low' }, { method: 'LOW' })
    send({ priority: () => 'high' }, { method: 'HIGH' })
    await clock.advance(0)
    calls[0]!.answer(200)
    await clock.advance(0)
    expect(calls[1]!.init.method).toBe('HIGH')
  })

  test('are not for streams, nor is the breaker', async () => {
    const { send, calls, clock, endpoint } = openGate({
      limits: { concurrency: 1 },
      breaker: { ...defaultBreaker, failures: 1 },
    })
    times(3, () => send({ stream: true }))
    await clock.advance(0)
    expect([calls.length, endpoint().inFlight]).toEqual([3, 0])
    calls[0]!.answer(500)
    await clock.advance(0)
    expect(endpoint().breaker.name).toBe('closed')
  })
})
