import { describe, expect, test } from 'vitest'
import { defaultBreaker } from '../../src/network/breaker'
import { MillraceError } from '../../src/primitives/errors'
import { GET, openGate } from '../support/gate'

const off = new MillraceError('disabled', 'switched off')

describe('the order of the policies', () => {
  test('asks the switch, the breaker, the guard, the budget and the queue, one after the other', async () => {
    const { gate, send, clock, exchange, calls } = openGate({
      limits: { fetchesPer10s: 2, burst: 1, concurrency: 1, queue: 1, backgroundPerMinute: 60 },
      breaker: { ...defaultBreaker, failures: 2 },
    })
    await exchange(500, 500)
    const outcome = async (kind: 'foreground' | 'background' = 'foreground') => {
      const sent = send({ kind })
      await clock.advance(0)
      return (sent.outcome as MillraceError | undefined)?.code
    }
    gate.shut(off)
    expect(await outcome()).toBe('disabled')
    gate.open()
    expect(await outcome()).toBe('breaker-open')
    await clock.advance(30_000)
    await exchange(200, 200)
    expect(await outcome()).toBe('runaway')
    // The budget has room for one, and the endpoint for one.
    expect(await outcome('background')).toBeUndefined()
    expect(await outcome('background')).toBeUndefined()
    expect(calls).toHaveLength(5)
    await clock.advance(1_000)
    // The one before waits for its place now, and there is room for no other.
    const last = send({ kind: 'background' })
    await clock.advance(999)
    expect(last.outcome).toBeUndefined()
    await clock.advance(1)
    expect(last.outcome).toMatchObject({ code: 'queue-full' })
    expect(calls).toHaveLength(5)
  })

  test.each([
    [Number.NaN, 'NaN'],
    ['5', '5'],
    [-1, '-1'],
  ])('has no use for a limit of %s, whatever door it came in by', async (burst, got) => {
    const { send, clock, calls } = openGate({ limits: { burst: burst as number } })
    const sent = send()
    await clock.advance(0)
    expect(sent.outcome).toMatchObject({
      code: 'config',
      message: `Expected \`limits.burst\` to be a number, got ${got}.`,
    })
    expect(calls).toEqual([])
  })

  test('takes a limit of nothing', async () => {
    const { exchange, calls } = openGate({ limits: { queue: 0 } })
    await exchange(200)
    expect(calls).toHaveLength(1)
  })

  test('has no use for a budget that is no number', async () => {
    const { gate, send, clock, calls } = openGate()
    gate.claim(GET, () => Number.NaN)
    const sent = send({ kind: 'background' })
    await clock.advance(0)
    expect(sent.outcome).toMatchObject({ code: 'config', message: expect.stringContaining(GET) })
    expect(calls).toEqual([])
  })
})

describe("a user's policy", () => {
  test('stands before all of ours, the first the outermost', async () => {
    const { gate, send, clock, calls } = openGate({ limits: { fetchesPer10s: 1 } })
    const heard: string[] = []
    for (const name of ['first', 'second'])
      gate.use(async (request, next) => {
        heard.push(name)
        try {
          return await next(request)
        } finally {
          heard.push(`${name} again`)
        }
      })
    send()
    await clock.advance(0)
    calls[0]!.answer(200)
    await clock.advance(0)
    expect(heard).toEqual(['first', 'second', 'second again', 'first again'])
    // It sees what is refused, too.
    const refused = send()
    await clock.advance(0)
    expect(refused.outcome).toMatchObject({ code: 'runaway' })
    expect(heard).toHaveLength(8)
  })

  test('that is used twice is called twice, and each use has its own end', async () => {
    const { gate, send, clock } = openGate()
    let count = 0
    const policy = async () => {
      count += 1
      return new Response()
    }
    const passing: Parameters<typeof gate.use>[0] = (request, next) => {
      count += 1
      return next(request)
    }
    const stops = [gate.use(passing), gate.use(passing)]
    gate.use(policy)
    send()
    await clock.advance(0)
    expect(count).toBe(3)
    stops[0]!()
    stops[0]!()
    send()
    await clock.advance(0)
    expect(count).toBe(5)
  })

  test('that does not end is left when its caller leaves', async () => {
    const { gate, send, clock } = openGate()
    gate.use(() => new Promise(() => {}))
    const controller = new AbortController()
    const sent = send({ signal: controller.signal })
    controller.abort('gone')
    await clock.advance(0)
    expect(sent.outcome).toBe('gone')
  })

  test('that throws, or answers nothing of use, is named; one that is none is refused', async () => {
    for (const [policy, what] of [
      [() => Promise.reject(new Error('a slip')), 'threw.'],
      [async () => undefined as never, 'has answered no `Response`.'],
    ] as const) {
      const { gate, send, clock } = openGate()
      gate.use(policy)
      const sent = send()
      await clock.advance(0)
      expect(sent.outcome).toMatchObject({ code: 'callback', message: `\`policy\` of ${GET} ${what}` })
    }
    expect(() => openGate().gate.use('log' as never)).toThrow('Expected a policy that is a function, got string.')
  })

  test('is apart from what sources claim, which they may withdraw', () => {
    const { gate, endpoint } = openGate()
    const withdraw = gate.claim(GET, () => 100)
    expect(gate.budgetOf(endpoint())).toBe(125)
    withdraw()
    expect(gate.budgetOf(endpoint())).toBe(20)
  })
})
