import { isPlain } from './plain'

/**
 * `next`, with every part that equals its counterpart in `previous` replaced by that counterpart, so that equal data
 * keeps its reference and what renders by reference does not render. Takes JSON: anything else counts as one value.
 */
export function shareStructure<T>(previous: unknown, next: T): T {
  return share(previous, next, 0, new Map()) as T
}

/** Deeper than this the new value is taken as it came: a hostile body must not overflow the stack. */
const DEEPEST = 500

/**
 * `seen`: what came of each part. JSON is a tree, but a body from another tab may contain itself, or one part at every
 * turn: to go all ways through it would never end.
 */
function share(previous: unknown, next: unknown, depth: number, seen: Map<unknown, unknown>): unknown {
  if (Object.is(previous, next)) return previous
  if (depth > DEEPEST || !isObject(previous) || !isObject(next)) return next
  const list = Array.isArray(next)
  if (list !== Array.isArray(previous)) return next
  if (seen.has(next)) return seen.get(next)
  seen.set(next, next)
  const keys = Object.keys(next)
  let equal = Object.keys(previous).length === keys.length
  const copy: Record<string, unknown> = list ? ([] as never) : {}
  for (const key of keys) {
    // A body may name `__proto__`: an assignment would set a prototype.
    if (key === '__proto__') return next
    const known = Object.hasOwn(previous, key)
    const value = known ? share(previous[key], next[key], depth + 1, seen) : next[key]
    if (!known || !Object.is(value, previous[key])) equal = false
    copy[key] = value
  }
  const outcome = equal ? previous : copy
  seen.set(next, outcome)
  return outcome
}

function isObject(value: unknown): value is Record<string, unknown> {
  return Array.isArray(value) || isPlain(value)
}
