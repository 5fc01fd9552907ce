import { describe, expect, test } from 'vitest'
import { charactersOf, createMessageReader, type Message, type StreamMemory } from '../../src/stream/messages'

const utf8 = new TextEncoder()

/** Reads the chunks as one connection; `batches`: what was handed on, call by call. */
function read(chunks: readonly (string | Uint8Array)[], { maxEventBytes = 100, lastEventId = '' } = {}) {
  const memory: StreamMemory = { lastEventId, retry: 0, commented: false }
  const batches: (readonly Message[])[] = []
  const next = createMessageReader(memory, maxEventBytes, 'GET /a', (messages) => batches.push(messages))
  let error: unknown
  try {
    for (const chunk of chunks) next(typeof chunk === 'string' ? utf8.encode(chunk) : chunk)
  } catch (thrown) {
    error = thrown
  }
  return { memory, batches, data: batches.map((messages) => messages.map(({ data }) => data)), error }
}

describe('a connection', () => {
  test('hands on at once what each chunk completes, and nothing for a chunk that completes nothing', () => {
    expect(read(['data: a\n\ndata: b\n\nda', 'ta: c', '\n\n', ':\n']).data).toEqual([['a', 'b'], ['c']])
  })

  test('says of each message its type, its own id and the last one there was', () => {
    expect(read(['event: x\nid: 1\ndata: a\n\ndata: b\n\n'], { lastEventId: '0' }).batches).toEqual([
      [
        { event: 'x', data: 'a', id: '1', lastEventId: '1' },
        { event: '', data: 'b', id: undefined, lastEventId: '1' },
      ],
    ])
    expect(read(['data: a\n\n'], { lastEventId: '0' }).batches[0]![0]!.lastEventId).toBe('0')
  })

  test('puts characters together that were cut, and drops one byte order mark, not two', () => {
    const bytes = utf8.encode('\uFEFFdata: €\n\n')
    for (let at = 0; at <= bytes.length; at += 1)
      expect(read([bytes.slice(0, at), bytes.slice(at)]).data).toEqual([['€']])
    expect(read(['\uFEFF\uFEFFdata: a\n\ndata: b\n\n']).data).toEqual([['b']])
  })
})

describe('what a stream remembers', () => {
  test('is the id of a block of an id alone too, and not that of one that was cut off', () => {
    expect(read(['id: 1\n\n']).memory.lastEventId).toBe('1')
    expect(read(['id: 1\ndata: a\n\nid: 2\ndata: b\n']).memory.lastEventId).toBe('1')
  })

  test('is no id of over 4,096 characters, which no header would hold', () => {
    const remembers = (length: number) => read([`id: ${'x'.repeat(length)}\n\n`], { maxEventBytes: 10_000 }).memory
    expect(remembers(4_096).lastEventId).toHaveLength(4_096)
    expect(remembers(4_097).lastEventId).toBe('')
  })

  test('is the delay that the server asks for, and whether it sends comments', () => {
    expect(read(['data: a\n\n']).memory).toMatchObject({ retry: 0, commented: false })
    expect(read(['retry: 4000\n']).memory).toMatchObject({ retry: 4_000, commented: false })
    expect(read([':\n']).memory).toMatchObject({ retry: 0, commented: true })
  })
})

describe('more than a block may be', () => {
  const refusal = {
    code: 'too-large',
    retryable: true,
    message:
      'GET /a sent an event of over 10 bytes: send less at once, or raise `maxEventBytes`. Another attempt may succeed.',
  }
  const sized = { maxEventBytes: 10 }

  test.each([
    ['in one chunk', ['data: 12345678901\n\n']],
    ['in a line without an end', ['data: 1234', '5678901']],
    ['in many lines', ['data: 1234\n', 'data: 5678\n', 'data: 90\n']],
  ])('is refused %s', (_, chunks) => {
    const { error, batches } = read(chunks, sized)
    expect(error).toMatchObject(refusal)
    expect(batches).toEqual([])
  })

  test('is one more than it may be', () => {
    expect(read(['data: 1234567890\n\n'], sized)).toMatchObject({ error: undefined, data: [['1234567890']] })
  })

  test('comes after what was whole before it, and nothing comes after it, nor counts', () => {
    const { error, data, memory } = read(['id: 1\ndata: a\n\ndata: 12345678901\n\nid: 2\ndata: b\n\n'], sized)
    expect(error).toMatchObject(refusal)
    expect(data).toEqual([['a']])
    expect(memory.lastEventId).toBe('1')
  })

  test('is no line that is merely strange', () => {
    expect(read(['what: is this\nretry: soon\ndata: a\n\n'])).toMatchObject({ error: undefined, data: [['a']] })
  })
})

test('a message takes what its type, its data and the last id take', () => {
  expect(charactersOf({ event: 'ab', data: 'cde', id: undefined, lastEventId: 'f' })).toBe(6)
})
