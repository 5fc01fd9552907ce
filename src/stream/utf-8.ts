/** Keeps a byte order mark: the parser takes one away, and two would go otherwise. */
const options: TextDecoderOptions = { ignoreBOM: true }
const whole = /* @__PURE__ */ new TextDecoder(undefined, options)

/**
 * Bytes to text, chunk by chunk, characters split anywhere. A chunk that ends with an ASCII character, as nearly all do,
 * leaves nothing to remember: Node decodes it four times as fast if it is not told that more will come.
 */
export function createDecoder(): (chunk: Uint8Array) => string {
  let pieces: TextDecoder | undefined
  let isSplit = false
  return (chunk) => {
    const wasSplit = isSplit
    isSplit = chunk.length > 0 ? (chunk.at(-1) as number) > 0x7f : wasSplit
    if (!isSplit && !wasSplit) return whole.decode(chunk)
    pieces ??= new TextDecoder(undefined, options)
    return pieces.decode(chunk, { stream: true })
  }
}
