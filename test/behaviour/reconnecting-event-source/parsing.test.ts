import fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import { closeServers, startServer, startStream } from '../../support/http-server'
import { until } from '../../support/until'
import { closeSources, type Recording, record } from './recorder'

afterEach(closeSources)
afterEach(closeServers)

const TYPES = ['price', 'größe']
const utf8 = new TextEncoder()

describe('any chunking', () => {
  test('of the same text gives the events that the specification gives', async () => {
    await fc.assert(
      fc.asyncProperty(streams, cuts, async (text, at) => {
        const bytes = utf8.encode(text)
        expect(await parse(chunk(bytes, at))).toEqual(bySpecification(bytes))
      }),
      { numRuns: 400 },
    )
  })

  test('of bytes that are no text at all gives the same events', async () => {
    const noise = fc.array(
      fc.oneof(
        fc.constantFrom(...['\n', '\n\n', '\r', 'data:', 'data: x\n\n', 'id: 1\n'].map((text) => utf8.encode(text))),
        fc.uint8Array({ maxLength: 6 }),
      ),
      { maxLength: 30 },
    )
    await fc.assert(
      fc.asyncProperty(noise, cuts, async (parts, at) => {
        const bytes = Uint8Array.from(parts.flatMap((part) => [...part]))
        expect(await parse(chunk(bytes, at))).toEqual(bySpecification(bytes))
      }),
      { numRuns: 200 },
    )
  })

  const sample = '\uFEFFid: 1\r\nevent: größe\r\ndata: 20 €\r\ndata: 😀\r\n\r\n:\r\rdata:b\n\ndata: unfinished\n'
  const sampleEvents = [
    { type: 'größe', data: '20 €\n😀', id: '1' },
    { type: 'message', data: 'b', id: '1' },
  ]

  test('at any one place, and at all of them, gives the same events', async () => {
    const bytes = utf8.encode(sample)
    for (let place = 0; place <= bytes.length; place += 1) {
      expect(await parse([bytes.slice(0, place), bytes.slice(place)]), `cut at ${place}`).toEqual(sampleEvents)
    }
    expect(await parse([...bytes].map((byte) => Uint8Array.of(byte)))).toEqual(sampleEvents)
  })

  test('that a real socket makes gives the same events', async () => {
    const server = await startServer(async (_, response) => {
      startStream(response).socket?.setNoDelay(true)
      for (const byte of utf8.encode(sample)) {
        await new Promise((resolve) => response.write(Uint8Array.of(byte), resolve))
        // The client gets a turn, so that most bytes arrive alone; the outcome does not depend on it.
        await new Promise((resolve) => setTimeout(resolve, 1))
      }
      response.end()
    })
    const recording = record(server.url(), { backoff: { base: 60_000 } }, TYPES)
    await until(() => recording.errors.length > 0)
    expect(recording.messages).toEqual(sampleEvents)
  })
})

describe('the format', () => {
  const message = (data: string, id = '') => ({ type: 'message', data, id })
  const cases: [name: string, text: string, expected: unknown[]][] = [
    ['one byte order mark at the beginning is dropped', '\uFEFFdata: a\n\n', [message('a')]],
    ['a second byte order mark belongs to the field name', '\uFEFF\uFEFFdata: a\n\ndata: b\n\n', [message('b')]],
    ['a byte order mark later on belongs to the field name', 'data: a\n\n\uFEFFdata: b\n\n', [message('a')]],
    [
      'lines end with LF, CR LF or CR',
      'data: a\ndata: b\r\ndata: c\rdata: d\r\n\rdata: e\r\r',
      [message('a\nb\nc\nd'), message('e')],
    ],
    ['CR LF is one line end, not two', 'data: a\r\ndata: b\r\n\r\n', [message('a\nb')]],
    [
      'one space after the colon is dropped, no more',
      'data:a\n\ndata: a\n\ndata:  a\n\ndata:\ta\n\n',
      ['a', 'a', ' a', '\ta'].map((data) => message(data)),
    ],
    ['a field without a colon has an empty value', 'data\n\ndata\ndata\n\n', [message(''), message('\n')]],
    ['a field of another name, or in capitals, is ignored', 'datum: x\nDATA: x\n data: x\ndata: a\n\n', [message('a')]],
    ['a colon in the value stays', 'data: a:b: c\n\n', [message('a:b: c')]],
    ['a comment is ignored within an event', ': hello\ndata: a\n:data: b\n:\n\n', [message('a')]],
    ['a block without data is no event', 'event: price\n\nid: 1\n\ndata: a\n\n', [message('a', '1')]],
    [
      'the type of a block holds for that block',
      'event: price\ndata: a\n\ndata: b\n\n',
      [{ ...message('a'), type: 'price' }, message('b')],
    ],
    [
      'an id holds until the next one',
      'id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n',
      [message('a', '1'), message('b', '1'), message('c')],
    ],
    ['an id with a NUL is ignored', 'id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n', [message('a', '1'), message('b', '1')]],
    [
      'the last of several ids and types counts',
      'id: 1\nid: 2\nevent: x\nevent: price\ndata: a\n\n',
      [{ type: 'price', data: 'a', id: '2' }],
    ],
    ['a block that no blank line ends is dropped', 'data: a\n\ndata: b\n', [message('a')]],
    ['a line that nothing ends is dropped', 'data: a\n\ndata: b', [message('a')]],
    ['a broken UTF-8 sequence is replaced', 'data: a\uFFFDb\n\n', [message('a\uFFFDb')]],
  ]
  test.each(cases)('%s', async (_, text, expected) => {
    expect(await parse([utf8.encode(text)])).toEqual(expected)
    expect(bySpecification(utf8.encode(text))).toEqual(expected)
  })

  test('a decoder is not carried over to the next connection', async () => {
    const server = await startServer((_, response) => {
      const bytes = [[...utf8.encode('data: lost'), 0xe2, 0x82], utf8.encode('\uFEFFdata: a\n\n')][
        server.requests.length - 1
      ]
      startStream(response).write(Uint8Array.from(bytes ?? []))
      if (server.requests.length === 1) response.end()
    })
    const recording = record(server.url())
    await until(() => recording.messages.length > 0)
    expect(recording.data).toEqual(['a'])
  })

  test.each([
    ['retry: 4000', true],
    ['retry:4000', true],
    ['retry:  4000', false],
    ['retry: 4000ms', false],
    ['retry: 4e3', false],
    ['retry: -4000', false],
    ['retry: 4000.5', false],
    ['retry: 0x1000', false],
    ['retry: ４０００', false],
    [':retry: 4000', false],
  ])('%o sets the delay: %o', async (line, isTaken) => {
    const { errors } = await consume([utf8.encode(`${line}\n\n`)])
    expect(errors[0]!.delay! >= 3_900, `delay ${errors[0]!.delay}`).toBe(isTaken)
  })
})

/** The events of a connection that delivers these chunks and ends. */
async function parse(chunks: readonly Uint8Array[]): Promise<Recording['messages']> {
  return (await consume(chunks)).messages
}

async function consume(chunks: readonly Uint8Array[]): Promise<Recording> {
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk)
      controller.close()
    },
  })
  const headers = { 'content-type': 'text/event-stream' }
  const recording = record(
    'http://stream.test/',
    { fetch: async () => new Response(body, { headers }), backoff: { base: 1, jitter: 'none' } },
    TYPES,
  )
  recording.source.addEventListener('error', () => recording.source.close())
  await until(() => recording.errors.length > 0, 'the end of the stream')
  return recording
}

/** The WHATWG specification, section 9.2.6, on the whole text at once. */
function bySpecification(bytes: Uint8Array): { type: string; data: string; id: string }[] {
  const lines = new TextDecoder().decode(bytes).split(/\r\n|\r|\n/)
  lines.pop() // what comes after the last line end
  const events: { type: string; data: string; id: string }[] = []
  let [type, data, id] = ['', '', '']
  for (const line of lines) {
    if (line === '') {
      if (data !== '') events.push({ type: type || 'message', data: data.slice(0, -1), id })
      type = ''
      data = ''
      continue
    }
    const colon = line.indexOf(':')
    const field = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '')
    if (field === 'event') type = value
    if (field === 'data') data += `${value}\n`
    if (field === 'id' && !value.includes('\0')) id = value
  }
  return events.filter((event) => event.type === 'message' || TYPES.includes(event.type))
}

const words = fc.constantFrom(
  'a',
  '€',
  '😀',
  'é\u0301',
  ' ',
  ':',
  '\0',
  '\uFEFF',
  '\u2028',
  '\u0085',
  '{"n":1}',
  '日本語',
)
const values = fc.array(words, { maxLength: 4 }).map((parts) => parts.join(''))
const lines = fc.oneof(
  { weight: 4, arbitrary: fc.constant('') },
  { weight: 4, arbitrary: fc.tuple(fc.constantFrom('data', 'data:', 'data: '), values).map((parts) => parts.join('')) },
  { weight: 2, arbitrary: fc.tuple(fc.constantFrom('id', 'id:', 'id: '), values).map((parts) => parts.join('')) },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      'event: price',
      'event:größe',
      'event',
      'event: message',
      'event:  price',
      'event: unheard',
    ),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(fc.constantFrom(':', 'retry: ', 'Data: ', ' data:', ''), values).map((parts) => parts.join('')),
  },
)
const lineEnds = fc.constantFrom('\n', '\n', '\r\n', '\r')
const streams = fc
  .tuple(
    fc.constantFrom('', '', '\uFEFF', '\uFEFF\uFEFF'),
    fc.array(fc.tuple(lines, lineEnds), { maxLength: 25 }),
    fc.constantFrom('', 'data: cut'),
  )
  .map(([mark, all, rest]) => mark + all.flat().join('') + rest)
const cuts = fc.array(fc.nat(999), { maxLength: 20 })

/** Cuts at these thousandths of the whole; places that coincide give empty chunks. */
function chunk(bytes: Uint8Array, at: readonly number[]): Uint8Array[] {
  const places = [0, ...at.map((part) => Math.floor((part * bytes.length) / 1_000)).sort((a, b) => a - b), bytes.length]
  return places.slice(1).map((end, index) => bytes.slice(places[index], end))
}
