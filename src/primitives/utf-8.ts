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

export function encodeUtf8(text: string): Uint8Array<ArrayBuffer> {
  return attempt(() => new TextEncoder().encode(text)) ?? Uint8Array.from(unescaped(text), (byte) => byte.charCodeAt(0))
}

/** One character for each byte; half a character is none, and becomes what a decoder makes of it. */
function unescaped(text: string): string {
  const escaped = encodeURIComponent(text.replace(/\p{Surrogate}/gu, '\ufffd'))
  return escaped.replace(/%(..)/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
}
