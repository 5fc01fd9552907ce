import { configError } from './errors'

/**
 * One string per key, without collisions: `['1', '23']` is not `['12', '3']`, `1` is not `'1'`, `undefined` is not
 * `null`; the order of object keys does not matter. A plain string stays as it is unless it could be taken for an array's.
 */
export function hashKey(key: string | readonly unknown[]): string {
  if (typeof key !== 'string') return stable(key, 0)
  return key[0] === '[' || key[0] === '"' ? JSON.stringify(key) : key
}

const DEEPEST = 32

function stable(value: unknown, depth: number): string {
  if (depth > DEEPEST) throw configError('a channel key of plain data', 'one nested over 32 levels, or a cycle')
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value)
    case 'number':
    case 'boolean':
    case 'undefined':
      return Object.is(value, -0) ? '-0' : String(value)
    case 'bigint':
      return `${value}n`
    case 'object':
      if (value === null) return 'null'
      if (Array.isArray(value)) return `[${value.map((item) => stable(item, depth + 1)).join()}]`
      if (value instanceof Date) return `Date(${value.getTime()})`
      if (isPlain(value)) return `{${entriesOf(value, depth)}}`
  }
  throw configError('a channel key of plain data (strings, numbers, dates, arrays, objects)', describe(value))
}

function entriesOf(value: object, depth: number): string {
  return Object.keys(value)
    .sort()
    .map((name) => `${JSON.stringify(name)}:${stable((value as Record<string, unknown>)[name], depth + 1)}`)
    .join()
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

function describe(value: unknown): string {
  return typeof value === 'object' ? `an instance of ${(value as object).constructor?.name}` : `a ${typeof value}`
}
