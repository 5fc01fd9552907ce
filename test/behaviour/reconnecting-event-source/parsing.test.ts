import fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import { format } from '../../conformance/cases/format'
import { until } from '../../support/until'
import { closeSources, type Recording, record } from './recorder'

afterEach(closeSources)

const TYPES = ['price', 'größe', ' price', 'Price']
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
})

// The model that judges any chunking is itself judged, by the table.
const tables = format.filter(({ expected }) => typeof (expected as unknown[])[0] !== 'string')
test.each(tables)('the model of the specification agrees that $name', ({ answers, expected }) => {
  const chunks = answers['']![0]!.chunks.map((chunk) => (typeof chunk === 'string' ? utf8.encode(chunk) : chunk))
  const events = bySpecification(Uint8Array.from(chunks.flatMap((chunk) => [...chunk])))
  expect(events.map(({ type, data, id }) => [type, data, id])).toEqual(expected)
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
