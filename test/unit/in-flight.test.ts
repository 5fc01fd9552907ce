import { describe, expect, test } from 'vitest'
import { createInFlight, type Flight } from '../../src/network/in-flight'
import { openGate } from '../support/gate'

const caller = { signal: new AbortController().signal, kind: 'foreground', priority: 'normal', ttl: 0 } as const

/** Work that goes on until it is told to end. */
function fly() {
  const { counters, clock, tracked } = openGate()
  const inFlight = createInFlight(tracked)
  const started: { flight: Flight; done(value: unknown): void; fail(reason: unknown): void }[] = []
  const start = (flight: Flight) =>
    new Promise<unknown>((resolve, reject) => {
      started.push({ flight, done: resolve, fail: reject })
    })
  const join = (key: string | symbol = 'a', signal?: AbortSignal) => {
    const joined: { outcome?: unknown } = {}
    inFlight
      .join(
        [key],
        `http://mill.test/${String(key)}`,
        { ...caller, ...(signal && { signal }) },
        start,
        (_, isShared) => {
          if (isShared) counters.shared++
        },
      )
      .then(
        (value) => {
          joined.outcome = value
        },
        (reason) => {
          joined.outcome = reason
        },
      )
    return joined
  }
  const settle = () => clock.advance(0)
  return { counters, inFlight, started, join, settle }
}

describe('callers of the same', () => {
  test('share one start and its outcome, and are counted', async () => {
    const { join, started, counters, settle } = fly()
    const callers = [join(), join(), join()]
    await settle()
    expect([started.length, counters.shared]).toEqual([1, 2])
    started[0]!.done('value')
    await settle()
    expect(callers).toEqual(Array(3).fill({ outcome: 'value' }))
    join()
    await settle()
    expect([started.length, counters.shared]).toEqual([2, 2])
  })

  test('share a failure too, and nothing of it after that', async () => {
    const { join, started, settle } = fly()
    const callers = [join(), join()]
    await settle()
    started[0]!.fail('broken')
    await settle()
    expect(callers).toEqual(Array(2).fill({ outcome: 'broken' }))
    // Whatever it left half-read is closed.
    expect(started[0]!.flight.signal.reason).toBe('broken')
    join()
    await settle()
    expect(started).toHaveLength(2)
  })

  test('share nothing with those of another key', async () => {
    const { join, started, counters, settle } = fly()
    for (const key of ['a', 'b', Symbol('a'), Symbol('a')]) join(key)
    await settle()
    expect([started.length, counters.shared]).toEqual([4, 0])
  })

  test('fail with what the start throws', async () => {
    const { inFlight } = fly()
    const start = () => {
      throw new Error('at once')
    }
    await expect(inFlight.join(['a'], '', caller, start)).rejects.toThrow('at once')
  })
})

describe('whoever breaks off', () => {
  test('leaves alone, with its own reason, while others wait', async () => {
    const { join, started, settle } = fly()
    const first = new AbortController()
    const callers = [join('a', first.signal), join(), join('a', new AbortController().signal)]
    await settle()
    first.abort('first')
    await settle()
    expect(callers[0]!.outcome).toBe('first')
    expect(started[0]!.flight.signal.aborted).toBe(false)
    started[0]!.done('value')
    await settle()
    expect(callers.slice(1)).toEqual(Array(2).fill({ outcome: 'value' }))
  })

  test('as the last one ends the work, with its reason', async () => {
    const { join, started, settle } = fly()
    const [first, last] = [new AbortController(), new AbortController()]
    join('a', first.signal)
    join('a', last.signal)
    await settle()
    first.abort('first')
    last.abort('last')
    await settle()
    expect(started[0]!.flight.signal.reason).toBe('last')
    // What nobody waits for is nobody's to join.
    join()
    await settle()
    expect(started).toHaveLength(2)
  })

  test('before it began starts nothing', async () => {
    const { join, started, settle } = fly()
    const caller = join('a', AbortSignal.abort('before'))
    await settle()
    expect([caller.outcome, started]).toEqual(['before', []])
  })
})

describe('work under way', () => {
  test('can land before it has ended: from then on nobody joins, and it knows how many wait', async () => {
    const { join, started, settle } = fly()
    join()
    join()
    await settle()
    const { flight } = started[0]!
    expect(flight.isCurrent()).toBe(true)
    expect(flight.land()).toBe(2)
    expect(flight.isCurrent()).toBe(false)
    join()
    await settle()
    expect(started).toHaveLength(2)
    // Landed long ago, it takes nothing from the one after it.
    started[0]!.done('value')
    await settle()
    expect(started[1]!.flight.isCurrent()).toBe(true)
  })

  test('that is forgotten goes on for those who wait, and nobody joins it', async () => {
    const { inFlight, join, started, settle } = fly()
    const callers = [join('a'), join('b')]
    await settle()
    inFlight.forget((url) => url === 'http://mill.test/a')
    expect(started.map(({ flight }) => flight.isCurrent())).toEqual([false, true])
    join('a')
    join('b')
    await settle()
    expect(started).toHaveLength(3)
    started[0]!.done('value')
    await settle()
    expect(callers[0]!.outcome).toBe('value')
  })
})

describe('whoever joins', () => {
  type Wanted = Partial<Parameters<ReturnType<typeof createInFlight>['join']>[2]>

  async function begin(first: Wanted) {
    const { inFlight, started, settle } = fly()
    const shared: boolean[] = []
    const join = async (wanted: Wanted) => {
      const start = (flight: Flight) =>
        new Promise<unknown>((done, fail) => {
          started.push({ flight, done, fail })
        })
      void inFlight.join(['a', 'b'], '', { ...caller, ...wanted }, start, (_, isShared) => shared.push(isShared))
      await settle()
      return shared.at(-1)
    }
    await join(first)
    return { join, flight: started[0]!.flight }
  }

  test('makes it as urgent, and as long to be kept, as the most demanding of all wants', async () => {
    const { join, flight } = await begin({ ttl: 2 })
    await join({ priority: 'low', ttl: 1 })
    expect([flight.priority, flight.ttl]).toEqual(['normal', 2])
    await join({ priority: 'high', ttl: 3 })
    expect([flight.priority, flight.ttl]).toEqual(['high', 3])
  })

  test.each([
    ['foreground', 'background', true],
    ['foreground', 'refresh', true],
    ['refresh', 'refresh', true],
    ['refresh', 'background', true],
    ['background', 'foreground', false],
    ['background', 'refresh', false],
    ['refresh', 'foreground', false],
  ] as const)(
    'what waits as %s: %s shares it: %s; and anything that is on its way',
    async (kind, joining, isShared) => {
      const waiting = await begin({ kind })
      expect(await waiting.join({ kind: joining })).toBe(isShared)
      const sent = await begin({ kind })
      sent.flight.sent()
      expect(await sent.join({ kind: joining })).toBe(true)
    },
  )

  test('is told once that it is on its way, at once if it is', async () => {
    const { flight } = await begin({})
    const told: string[] = []
    flight.whenSent(() => told.push('before'))
    expect([told, flight.stage]).toEqual([[], 'waiting'])
    flight.sent()
    flight.sent()
    flight.whenSent(() => told.push('after'))
    expect([told, flight.stage]).toEqual([['before', 'after'], 'sent'])
  })
})
