/** About how many bytes a value takes: of a large collection some members stand for all. */
export function bytesOf(value: unknown): number {
  let left = MOST_LOOKED_AT
  const seen = new Set<unknown>()
  return measure(value)

  function measure(part: unknown): number {
    if (typeof part === 'string') return 16 + 2 * part.length
    if (typeof part !== 'object' || part === null || seen.has(part)) return 8
    left--
    seen.add(part)
    if (ArrayBuffer.isView(part) || part instanceof ArrayBuffer) return 64 + part.byteLength
    if (part instanceof Map) return 64 + sum([...part.keys()]) + sum([...part.values()])
    if (part instanceof Set) return 64 + sum([...part])
    return 32 + sum(Array.isArray(part) ? part : Object.values(part))
  }

  function sum(parts: readonly unknown[]): number {
    const step = Math.max(1, Math.ceil(parts.length / SAMPLE))
    let bytes = 0
    let looked = 0
    for (let i = 0; i < parts.length && left > 0; i += step) {
      bytes += 8 + measure(parts[i])
      looked++
    }
    return looked > 0 ? Math.round((bytes * parts.length) / looked) : 8 * parts.length
  }
}

const MOST_LOOKED_AT = 10_000
const SAMPLE = 200
