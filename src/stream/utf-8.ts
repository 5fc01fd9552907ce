import { decodeUtf8 } from '../primitives/utf-8'

/**
 * Bytes to text, chunk by chunk, characters split anywhere. Whole characters alone are decoded, what is cut off waits for
 * the next chunk: not every runtime's decoder knows `stream`, and Node's is four times as fast without it.
 */
export function createDecoder(): (chunk: Uint8Array) => string {
  let rest: Uint8Array | undefined
  return (chunk) => {
    // As nearly all chunks do, it ends with an ASCII character.
    if (!rest && (chunk.length === 0 || (chunk[chunk.length - 1] as number) < 0x80)) return decodeUtf8(chunk)
    const bytes = rest ? joined(rest, chunk) : chunk
    const cut = bytes.length - cutOff(bytes)
    rest = cut < bytes.length ? bytes.slice(cut) : undefined
    return decodeUtf8(bytes.subarray(0, cut))
  }
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const both = new Uint8Array(first.length + second.length)
  both.set(first)
  both.set(second, first.length)
  return both
}

/** How many bytes at the end may be the beginning of a character (Unicode, table 3-7). */
function cutOff(bytes: Uint8Array): number {
  for (let n = 1; n <= 3 && n <= bytes.length; n++) {
    const lead = bytes[bytes.length - n] as number
    if ((lead & 0xc0) === 0x80) continue
    const length = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0
    if (length <= n) return 0
    const second = n > 1 ? (bytes[bytes.length - n + 1] as number) : 0x9f
    const isWrong =
      (lead === 0xe0 && n > 1 && second < 0xa0) ||
      (lead === 0xed && second > 0x9f) ||
      (lead === 0xf0 && n > 1 && second < 0x90) ||
      (lead === 0xf4 && n > 1 && second > 0x8f)
    return isWrong ? 0 : n
  }
  return 0
}
