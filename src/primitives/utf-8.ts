/** Text and its bytes. The platform's coders where there are any; the plain way is slow, and takes no wrong byte. */
import { attempt } from './platform'

let decoder: TextDecoder | undefined

/** Bytes of whole characters. Keeps a byte order mark. */
export function decodeUtf8(bytes: Uint8Array): string {
  decoder ??= attempt(() => new TextDecoder(undefined, { ignoreBOM: true }))
  return decoder ? decoder.decode(bytes) : plainly(bytes)
}

function plainly(bytes: Uint8Array): string {
  const escaped = (byte: number) => `%${byte.toString(16).padStart(2, '0')}`
  const text = attempt(() => decodeURIComponent(Array.from(bytes, escaped).join('')))
  return text ?? Array.from(bytes, (byte) => (byte < 0x80 ? String.fromCharCode(byte) : '\ufffd')).join('')
}

/**
 * Bytes to text, chunk by chunk, characters split anywhere: the last character waits for the next chunk, if it may go on
 * there. Not every runtime's decoder knows `stream`, and Node's is four times as fast without it.
 */
export function createDecoder(): (chunk: Uint8Array) => string {
  let rest = new Uint8Array()
  return (chunk) => {
    // As nearly all chunks do, it ends with an ASCII character.
    if (rest.length === 0 && (chunk.at(-1) ?? 0) < 0x80) return decodeUtf8(chunk)
    const bytes = new Uint8Array(rest.length + chunk.length)
    bytes.set(rest)
    bytes.set(chunk, rest.length)
    // No character is longer than four bytes, and each begins with one of these, if it is not ASCII.
    const tail = Math.max(0, bytes.length - 3)
    const last = bytes.subarray(tail).findIndex((byte) => byte >= 0xc0)
    const cut = last < 0 || (bytes.at(-1) as number) < 0x80 ? bytes.length : tail + last
    rest = bytes.slice(cut)
    return decodeUtf8(bytes.subarray(0, cut))
  }
}

export function encodeUtf8(text: string): Uint8Array<ArrayBuffer> {
  return attempt(() => new TextEncoder().encode(text)) ?? Uint8Array.from(toBinary(text), (byte) => byte.charCodeAt(0))
}

/** One character for each byte; half a character is none, and becomes what a decoder makes of it. */
export function toBinary(text: string): string {
  const escaped = encodeURIComponent(text.replace(/\p{Surrogate}/gu, '\ufffd'))
  return escaped.replace(/%(..)/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
}
