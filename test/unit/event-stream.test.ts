import { describe, expect, test } from 'vitest'
import { defaultBackoff } from '../../src/primitives/backoff'
import { trackTimers } from '../../src/primitives/clock'
import { MillraceError } from '../../src/primitives/errors'
import { createEventStream, type EventStreamOptions } from '../../src/stream/event-stream'
import type { Message } from '../../src/stream/messages'
import { createTestClock } from '../support/test-clock'

const NOW = 1_000_000
const utf8 = new TextEncoder()

/** A stream and its server, in memory. */
function open(options: Partial<EventStreamOptions> = {}) {
  const clock = createTestClock({ now: NOW })
  const tracked = trackTimers(clock, () => {})
  const connections: ReturnType<typeof makeConnection>[] = []
  const states: string[] = []
  const batches: (readonly Message[])[] = []
  const stream = createEventStream({
    clock: { ...tracked, random: () => 0.5 },
    backoff: { ...defaultBackoff, jitter: 'none' },
    endpoint: () => 'GET /a',
    connect(signal, lastEventId, failures) {
      const connection = makeConnection(signal, lastEventId, failures)
      connections.push(connection)
      return connection.response
    },
    maxEventBytes: () => 100,
    reconnect: () => 'always',
    idleTimeout: () => false,
    onChange: ({ name }) => states.push(name),
    onMessages: (messages) => batches.push(messages),
    ...options,
  })
  const settle = () => clock.advance(0)
  const latest = () => connections.at(-1)!
  const timers = () => tracked.timers().map(({ label, dueAt }) => [label, dueAt - clock.now()])
  /** Starts, and lets the server answer. */
  const start = async () => {
    stream.send('start')
    await settle()
    await latest().answer()
  }
  const say = async (text: string) => {
    latest().body.enqueue(utf8.encode(text))
    await settle()
  }
  return { stream, clock, connections, states, batches, settle, latest, timers, start, say }

  function makeConnection(signal: AbortSignal, lastEventId: string, failures: number) {
    let body!: ReadableStreamDefaultController<Uint8Array>
    let cancelled = 0
    let resolve!: (response: Response) => void
    let reject!: (reason: unknown) => void
    const response = new Promise<Response>((...settlers) => {
      ;[resolve, reject] = settlers
    })
    const readable = new ReadableStream<Uint8Array>({
      start(controller) {
        body = controller
      },
      cancel() {
        cancelled += 1
        throw new Error('nobody hears this')
      },
    })
    return {
      signal,
      lastEventId,
      failures,
      response,
      get body() {
        return body
      },
      get cancelled() {
        return cancelled
      },
      answer(init: ResponseInit = {}, given: BodyInit | null = readable) {
        resolve(new Response(given, { headers: { 'content-type': 'text/event-stream' }, ...init }))
        return settle()
      },
      fail(reason: unknown) {
        reject(reason)
        return settle()
      },
    }
  }
}

/** The error of the state that it is in. */
const errorOf = ({ stream }: ReturnType<typeof open>) => (stream.state() as { error?: MillraceError }).error

describe('a stream', () => {
  test('connects, opens and hands on messages, chunk by chunk', async () => {
    const all = open({ lastEventId: '0' })
    const { stream, batches, states, say, start, latest } = all
    expect(stream.state()).toEqual({ name: 'idle' })
    await start()
    expect(stream.state()).toEqual({ name: 'open', failures: 0, since: NOW })
    expect(latest()).toMatchObject({ lastEventId: '0', failures: 0 })
    await say('id: 1\ndata: a\n\ndata: b\n\n')
    await say('data: c\n\n')
    expect(batches.map((messages) => messages.map(({ data }) => data))).toEqual([['a', 'b'], ['c']])
    expect(stream.lastEventId()).toBe('1')
    expect(states).toEqual(['connecting', 'open'])
  })

  test('begins without an id if none was given', async () => {
    const { start, latest, stream } = open()
    await start()
    expect([latest().lastEventId, stream.lastEventId()]).toEqual(['', ''])
  })

  test('does nothing, and tells nothing, when an event counts for nothing', async () => {
    const { stream, states, connections, start } = open()
    stream.send('stop')
    expect(states).toEqual([])
    await start()
    stream.send('start')
    expect([states, connections.length]).toEqual([['connecting', 'open'], 1])
  })

  test('that is stopped drops its connection, leaves no timer and hears no more of it', async () => {
    const { stream, start, latest, batches, timers, settle, states } = open({ idleTimeout: () => 100 })
    await start()
    const { body } = latest()
    body.enqueue(utf8.encode('data: a\n\n'))
    stream.send('stop')
    await settle()
    expect(latest().signal.aborted).toBe(true)
    expect([latest().cancelled, timers(), batches]).toEqual([1, [], []])
    expect(states).toEqual(['connecting', 'open', 'idle'])
  })

  test('that is stopped before the answer came lets the answer go', async () => {
    const { stream, latest, settle, states } = open()
    stream.send('start')
    await settle()
    stream.send('stop')
    await latest().answer()
    expect(latest().cancelled).toBe(1)
    expect(states).toEqual(['connecting', 'idle'])
  })

  test('hears nothing of the failures of a connection that it has dropped', async () => {
    for (const when of ['connecting', 'open']) {
      const { stream, connections, settle, start, states } = open()
      if (when === 'open') await start()
      else stream.send('start')
      await settle()
      stream.send('replace')
      await settle()
      if (when === 'open') connections[0]!.body.error(new Error('late'))
      await connections[0]!.fail(new Error('late'))
      expect(stream.state().name).toBe('connecting')
      expect(states.slice(-2)).toEqual([when, 'connecting'])
    }
  })
})

describe('a connection that is lost', () => {
  test('is asked for again with its last id after its time', async () => {
    const all = open()
    const { stream, start, say, latest, clock, connections, timers } = all
    await start()
    await say('id: 7\ndata: a\n\nid: 8\ndata: cut')
    latest().body.close()
    await clock.advance(0)
    expect(stream.state()).toMatchObject({ name: 'waiting', failures: 1, retryAt: NOW + 2_000 })
    expect(errorOf(all)).toMatchObject({
      code: 'network',
      retryable: true,
      message: 'GET /a ended the stream. Another attempt may succeed.',
    })
    expect(timers()).toEqual([['reconnect GET /a', 2_000]])
    await clock.advance(1_999)
    expect(connections).toHaveLength(1)
    await clock.advance(1)
    expect(connections).toHaveLength(2)
    expect(latest()).toMatchObject({ lastEventId: '7', failures: 1 })
    expect(connections[0]!.signal.aborted).toBe(true)
  })

  test('comes back no sooner than the server asks for', async () => {
    const { stream, start, say, latest, settle } = open()
    await start()
    await say('retry: 5000\n')
    latest().body.close()
    await settle()
    expect(stream.state()).toMatchObject({ retryAt: NOW + 6_000 })
    const busy = open()
    busy.stream.send('start')
    await busy.settle()
    await busy.latest().answer({ status: 503, headers: { 'retry-after': '7' } })
    expect(busy.stream.state()).toMatchObject({ name: 'waiting', retryAt: NOW + 8_000 })
    expect(errorOf(busy)).toMatchObject({ code: 'http', status: 503 })
  })

  test('says whether it was open', async () => {
    const all = open()
    await all.start()
    const cause = new Error('reset')
    all.latest().body.error(cause)
    await all.settle()
    expect(errorOf(all)).toMatchObject({ message: 'GET /a lost the connection. Another attempt may succeed.', cause })
    const never = open()
    never.stream.send('start')
    await never.settle()
    await never.latest().fail(cause)
    expect(errorOf(never)).toMatchObject({
      message: 'GET /a could not be reached. Another attempt may succeed.',
      cause,
    })
  })

  test('is lost at once where the answer has no body', async () => {
    const all = open()
    all.stream.send('start')
    await all.settle()
    await all.latest().answer({}, null)
    expect(all.states).toEqual(['connecting', 'open', 'waiting'])
    expect(errorOf(all)).toMatchObject({ message: expect.stringContaining('ended the stream') })
    const over = open()
    over.stream.send('start')
    await over.settle()
    over.stream.send('stop')
    await over.latest().answer({}, null)
    expect(over.states).toEqual(['connecting', 'idle'])
  })

  test('is lost for good where its error says so', async () => {
    const all = open()
    all.stream.send('start')
    await all.settle()
    await all.latest().answer({ status: 404 })
    expect(all.stream.state().name).toBe('failed')
    expect([all.latest().cancelled, all.timers()]).toEqual([1, []])
  })

  test('is over where the server says that it is', async () => {
    const { stream, settle, latest, states, timers } = open()
    stream.send('start')
    await settle()
    await latest().answer({ status: 204 }, null)
    expect([states, timers()]).toEqual([['connecting', 'complete'], []])
    expect(latest().signal.aborted).toBe(true)
  })

  test('can be seen otherwise by whoever owns the stream', async () => {
    const final = new MillraceError('http', 'no more')
    const seen: unknown[] = []
    const all = open({
      reclassify: (error) => {
        seen.push(error.code)
        return final
      },
    })
    await all.start()
    all.latest().body.close()
    await all.settle()
    expect(all.stream.state()).toEqual({ name: 'failed', error: final })
    expect(seen).toEqual(['network'])
  })

  test('has sent more than it may in one event', async () => {
    const all = open()
    await all.start()
    await all.say(`data: ${'x'.repeat(101)}\n\n`)
    expect(all.stream.state().name).toBe('waiting')
    expect(errorOf(all)).toMatchObject({ code: 'too-large' })
    expect(all.latest().cancelled).toBe(1)
  })
})

describe('a silence', () => {
  test('that lasts too long loses the connection, whatever came before it', async () => {
    const all = open({ idleTimeout: () => 100 })
    const { stream, start, say, clock, timers } = all
    await start()
    await clock.advance(60)
    await say('x')
    expect(timers()).toEqual([['idle watch GET /a', 40]])
    await clock.advance(99)
    expect(stream.state().name).toBe('open')
    await clock.advance(1)
    expect(stream.state()).toMatchObject({ name: 'waiting', failures: 1 })
    expect(errorOf(all)).toMatchObject({
      code: 'idle',
      retryable: true,
      message: 'GET /a sent nothing for 100 ms: the connection is taken for dead. Another attempt may succeed.',
    })
    expect(timers()).toEqual([['reconnect GET /a', 2_000]])
  })

  test('counts while it connects, and anew from the answer on', async () => {
    const never = open({ idleTimeout: () => 100 })
    never.stream.send('start')
    await never.clock.advance(99)
    expect(never.stream.state().name).toBe('connecting')
    await never.clock.advance(1)
    expect(never.stream.state().name).toBe('waiting')
    const late = open({ idleTimeout: () => 100 })
    late.stream.send('start')
    await late.clock.advance(60)
    await late.latest().answer()
    await late.clock.advance(99)
    expect(late.stream.state().name).toBe('open')
    // Of a connection before this one nothing counts.
    late.stream.send('replace')
    await late.clock.advance(99)
    expect(late.stream.state().name).toBe('connecting')
  })

  test.each([false, 0, undefined] as const)('is none of anybody where the timeout is %s', async (idleTimeout) => {
    const { start, timers, clock, stream } = open({ idleTimeout: () => idleTimeout })
    await start()
    expect(timers()).toEqual([])
    await clock.advance(1_000_000)
    expect(stream.state().name).toBe('open')
  })

  test('is watched from the first comment on, if that is asked for, on this connection and the next', async () => {
    const asked: [boolean, boolean][] = []
    const { start, say, timers, latest, clock } = open({
      idleTimeout(isOpen, commented) {
        asked.push([isOpen, commented])
        return commented && 100
      },
    })
    await start()
    expect(asked).toEqual([
      [false, false],
      [true, false],
    ])
    await say('data: a\n\n')
    expect([timers(), asked.length]).toEqual([[], 2])
    await say(':\n')
    expect([timers(), asked.at(-1)]).toEqual([[['idle watch GET /a', 100]], [true, true]])
    await say(':\n')
    expect(asked).toHaveLength(3)
    latest().body.close()
    await clock.advance(2_000)
    expect(asked.at(-1)).toEqual([false, true])
  })

  test('is looked at again when its owner says so, and only while there is a connection', async () => {
    let idleTimeout: number | false = false
    const { start, stream, timers, clock } = open({ idleTimeout: () => idleTimeout })
    idleTimeout = 100
    stream.watchSilence()
    expect(timers()).toEqual([])
    idleTimeout = false
    await start()
    await clock.advance(60)
    idleTimeout = 100
    stream.watchSilence()
    stream.watchSilence()
    expect(timers()).toEqual([['idle watch GET /a', 40]])
    idleTimeout = 50
    stream.watchSilence()
    expect(stream.state().name).toBe('waiting')
  })
})

describe('a connection that is not answered', () => {
  test('counts as late after the given time, and is watched for silence from then on', async () => {
    const { stream, clock, states, timers, latest, settle } = open({ lateAfter: 200, idleTimeout: () => 1_000 })
    stream.send('start')
    await settle()
    expect(timers()).toEqual([
      ['late answer GET /a', 200],
      ['idle watch GET /a', 1_000],
    ])
    await clock.advance(200)
    expect(stream.state()).toMatchObject({ name: 'connecting', late: true })
    expect(timers()).toEqual([['idle watch GET /a', 800]])
    await latest().answer()
    expect(stream.state()).not.toHaveProperty('late')
    expect(states).toEqual(['connecting', 'connecting', 'open'])
  })
})
