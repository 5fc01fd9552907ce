import { afterEach, describe, expect, test, vi } from 'vitest'
import { figuresOf } from '../../src/network/figures'
import { answerOf, platformFetch } from '../../src/network/send'
import { MillraceError } from '../../src/primitives/errors'
import { GET, openGate } from '../support/gate'

afterEach(() => {
  vi.unstubAllGlobals()
})

describe('a request that is sent', () => {
  test('hands on what was asked for', async () => {
    const { send, calls, clock, counters, endpoint } = openGate()
    const { signal } = new AbortController()
    const sent = send({ signal }, { method: 'POST', body: 'x' })
    await clock.advance(0)
    const { input, init, answer } = calls[0]!
    expect([input, init]).toEqual(['http://mill.test/a', { method: 'POST', body: 'x', headers: new Headers(), signal }])
    expect([counters.sent, figuresOf(endpoint(), 0).lastMinute]).toEqual([1, 1])
    answer(201)
    await clock.advance(0)
    expect(sent.outcome).toBe(201)
  })

  test('that cannot reach the server is an error that says so', async () => {
    const { send, calls, clock, records, counters } = openGate()
    const sent = send()
    await clock.advance(0)
    const cause = new TypeError('fetch failed')
    calls[0]!.fail(cause)
    await clock.advance(0)
    expect(sent.outcome).toMatchObject({
      code: 'network',
      retryable: true,
      cause,
      message: `${GET} could not be reached. Another attempt may succeed.`,
    })
    expect(records[0]).toEqual(expect.objectContaining({ error: sent.outcome }))
    expect(records[0]).not.toHaveProperty('status')
    expect(counters.failed).toBe(1)
  })

  test('with a `fetch` that throws is one that cannot reach the server', async () => {
    const { send, clock, tracked } = openGate({
      fetch: () => {
        throw new TypeError('no')
      },
    })
    const sent = send()
    await clock.advance(0)
    expect(sent.outcome).toMatchObject({ code: 'network' })
    expect(tracked.timers()).toEqual([])
  })

  test('that has answered leaves no timer, and its body can still be broken off', async () => {
    const { send, calls, clock, tracked } = openGate()
    const controller = new AbortController()
    send({ signal: controller.signal })
    await clock.advance(0)
    calls[0]!.answer(200)
    await clock.advance(0)
    expect(tracked.timers()).toEqual([])
    controller.abort('gone')
    expect(calls[0]!.init.signal!.reason).toBe('gone')
  })

  test("that is broken off rejects with the caller's reason, and is no failure", async () => {
    const { send, calls, clock, records, counters, endpoint, tracked } = openGate()
    const controller = new AbortController()
    const sent = send({ signal: controller.signal })
    await clock.advance(0)
    controller.abort('gone')
    await clock.advance(0)
    expect(sent.outcome).toBe('gone')
    expect(calls[0]!.init.signal!.reason).toBe('gone')
    expect(records).toHaveLength(1)
    expect(records[0]).not.toHaveProperty('error')
    expect([counters.failed, endpoint().recent, tracked.timers()]).toEqual([0, [], []])
  })

  test('is none if the caller has broken off before it came to it', async () => {
    const { gate, send, calls, clock } = openGate()
    const before = send({ signal: AbortSignal.abort('before') })
    await clock.advance(0)
    expect([before.outcome, calls, [...gate.endpoints()]]).toEqual(['before', [], []])
    const controller = new AbortController()
    for (let n = 0; n < 5; n += 1) send({ kind: 'background', stream: true })
    const meanwhile = send({ kind: 'background', stream: true, signal: controller.signal })
    controller.abort('meanwhile')
    await clock.advance(60_000)
    expect([meanwhile.outcome, calls.length]).toEqual(['meanwhile', 5])
  })

  test('calls the `fetch` that the page has at that moment where none was given', async () => {
    const { send, clock } = openGate({ fetch: undefined })
    const fetched = vi.fn(async (..._: unknown[]) => new Response(null, { status: 202 }))
    vi.stubGlobal('fetch', fetched)
    const sent = send({}, { method: 'PUT' })
    await clock.advance(0)
    expect(sent.outcome).toBe(202)
    expect(fetched.mock.calls).toEqual([['http://mill.test/a', expect.objectContaining({ method: 'PUT' })]])
  })
})

describe('an answer', () => {
  const { signal } = new AbortController()

  test.each([undefined, null, 'text', { ok: true }])('that is %s is none', async (answer) => {
    await expect(answerOf('fetch', GET, answer, signal)).rejects.toMatchObject({
      code: 'callback',
      message: `\`fetch\` of ${GET} has answered no \`Response\`.`,
    })
  })

  test('of a `fetch` that is none is an error that names it, and so is one of its own', async () => {
    const own = new MillraceError('rejected', 'not today')
    for (const [fetch, expected] of [
      [async () => ({}), { code: 'callback', message: expect.stringContaining('`fetch`') }],
      [async () => Promise.reject(own), own],
    ] as const) {
      const { send, clock } = openGate({ fetch: fetch as never })
      const sent = send()
      await clock.advance(0)
      expect(sent.outcome).toMatchObject(expected)
    }
  })
})

describe("the platform's `fetch`", () => {
  const { signal } = new AbortController()
  const init = { method: 'PUT', cache: 'no-store', signal } as const
  const refusing = (message: string) => {
    const fetched = vi.fn(async (_: unknown, given?: RequestInit) => {
      if (fetched.mock.calls.length === 1) throw new TypeError(message)
      return new Response(JSON.stringify(Object.keys(given ?? {})))
    })
    vi.stubGlobal('fetch', fetched)
    return fetched
  }

  test('that is not there is a mistake', async () => {
    vi.stubGlobal('fetch', undefined)
    await expect(platformFetch('http://mill.test')).rejects.toMatchObject({ code: 'config' })
  })

  test('that does not know the signal is asked without', async () => {
    const fetched = refusing("'signal' is not of type 'AbortSignal'")
    await platformFetch('http://mill.test', init)
    expect(fetched.mock.calls[1]).toEqual(['http://mill.test', { method: 'PUT', cache: 'no-store' }])
    const again = refusing('AbortSignal')
    await platformFetch('http://mill.test', { signal })
    expect(again.mock.calls[1]).toEqual(['http://mill.test', {}])
  })

  test('that does not know the mode of a cache is asked without', async () => {
    const fetched = refusing("The 'cache' field is not implemented")
    await platformFetch('http://mill.test', init)
    expect(fetched.mock.calls[1]).toEqual(['http://mill.test', { method: 'PUT', signal }])
    const again = refusing('Unsupported cache mode')
    await platformFetch('http://mill.test', { cache: 'no-store' })
    expect(again.mock.calls[1]).toEqual(['http://mill.test', {}])
  })

  test.each([
    ['for another reason', 'fetch failed', init],
    ['for a signal that has aborted', 'AbortSignal', { signal: AbortSignal.abort() }],
    ['for a signal that there is none of', 'AbortSignal', {}],
    ['for the mode of a cache that there is none of', 'cache mode', { signal }],
    ['without an `init`', 'AbortSignal cache mode', undefined],
  ])('that fails %s is asked once', async (_, message, given) => {
    const fetched = refusing(message)
    await expect(platformFetch('http://mill.test', given)).rejects.toThrow(message)
    expect(fetched).toHaveBeenCalledOnce()
  })
})
