import { configError } from './errors'
import { isPlain } from './plain'

/**
 * One string per key, without collisions: `['1', '23']` is not `['12', '3']`, `1` is not `'1'`, `undefined` is not
 * `null`; the order of object keys does not matter. A plain string stays as it is unless it could be taken for an array's.
 */
export function hashKey(key: string | readonly unknown[]): string {
  if (typeof key !== 'string') return stable(key, 0, { parts: 0 })
  return /^[["]/.test(key) ? JSON.stringify(key) : key
}

const DEEPEST = 32
/** What holds one object in two places, level after level, or an array that is nothing but long, would take for ever. */
const MOST_PARTS = 100_000

/** `seen`: how many parts of the key, so far. */
function stable(value: unknown, depth: number, seen: { parts: number }): string {
  seen.parts += Array.isArray(value) ? value.length : 1
  if (depth > DEEPEST || seen.parts > MOST_PARTS) throw configError(EXPECTED, 'one that is too large or too deep')
  const inner = (part: unknown) => stable(part, depth + 1, seen)
  if (typeof value === 'string') return JSON.stringify(value)
  if (typeof value === 'bigint') return `${value}n`
  if (value === null || /number|boolean|undefined/.test(typeof value))
    return Object.is(value, -0) ? '-0' : String(value)
  if (Array.isArray(value)) return `[${value.map(inner)}]`
  if (value instanceof Date) return `Date(${value.getTime()})`
  if (!isPlain(value)) {
    const kind = typeof value === 'object' ? `n instance of ${value.constructor?.name}` : ` ${typeof value}`
    throw configError(EXPECTED, `a${kind}`)
  }
  const names = Object.keys(value).sort()
  return `{${names.map((name) => `${JSON.stringify(name)}:${inner(value[name])}`)}}`
}

const EXPECTED = 'a channel key of plain data'
