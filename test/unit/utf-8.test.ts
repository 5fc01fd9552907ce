import fc from 'fast-check'
import { expect, test, vi } from 'vitest'
import { createDecoder } from '../../src/primitives/utf-8'

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)

/** What a decoder says that is told of every chunk that more will come. */
function expected(chunks: readonly Uint8Array[]): string[] {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
  return chunks.map((chunk) => decoder.decode(chunk, { stream: true }))
}

function decoded(chunks: readonly Uint8Array[]): string[] {
  const decode = createDecoder()
  return chunks.map(decode)
}

test('a character may be cut anywhere', () => {
  const bytes = bytesOf('a€\u{1f600}b')
  for (let cut = 0; cut <= bytes.length; cut += 1)
    expect(decoded([bytes.subarray(0, cut), bytes.subarray(cut)]).join('')).toBe('a€\u{1f600}b')
  expect(decoded([...bytes].map((byte) => Uint8Array.of(byte))).join('')).toBe('a€\u{1f600}b')
})

test('an empty chunk in the middle of a character changes nothing', () => {
  const [first, ...rest] = bytesOf('€')
  expect(decoded([Uint8Array.of(first!), new Uint8Array(), Uint8Array.from(rest), bytesOf('a')]).join('')).toBe('€a')
})

test('half a character that goes on as something else is told of as such', () => {
  expect(decoded([Uint8Array.of(0xe2, 0x82), bytesOf('a'), bytesOf('b')])).toEqual(['', '\ufffda', 'b'])
})

test('every byte order mark stays', () => {
  expect(decoded([bytesOf('\ufeffa'), bytesOf('\ufeffb€'), bytesOf('\ufeffc')]).join('')).toBe('\ufeffa\ufeffb€\ufeffc')
})

test('nobody is told that more will come: the other way is faster, and some decoders know no other', () => {
  const decode = vi.spyOn(TextDecoder.prototype, 'decode')
  decoded([bytesOf('a\n'), Uint8Array.of(0x7f), bytesOf('€').subarray(0, 2), bytesOf('€').subarray(2), bytesOf('c')])
  const told = decode.mock.calls.map(([, options]) => options?.stream ?? false)
  decode.mockRestore()
  expect(told).toEqual([false, false, false, false, false])
})

test('any bytes in any chunks are what one decoder makes of them, as soon as a chunk ends with an ASCII character', () => {
  const byte = fc.oneof(
    fc.integer({ min: 0, max: 255 }),
    fc.constantFrom(0x0a, 0x7f, 0x80, 0xbf, 0xc3, 0xe2, 0x82, 0xf0),
  )
  const text = fc.string({ unit: 'binary', maxLength: 4 }).map((chars) => [...bytesOf(chars)])
  const chunk = fc
    .array(
      fc.oneof(
        byte.map((one) => [one]),
        text,
      ),
      { maxLength: 6 },
    )
    .map((parts) => Uint8Array.from(parts.flat()))
  fc.assert(
    fc.property(fc.array(chunk, { maxLength: 12 }), (chunks) => {
      const all = [...chunks, bytesOf('\n')]
      const [is, ought] = [decoded(all), expected(all)]
      for (const [index, chunk] of all.entries())
        if ((chunk.at(-1) ?? 0xff) < 0x80)
          expect(is.slice(0, index + 1).join('')).toBe(ought.slice(0, index + 1).join(''))
    }),
    { numRuns: 2_000, seed: 3629 },
  )
})
