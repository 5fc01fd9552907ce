/** An object as JSON or a literal makes it, whatever window it comes from: no class but `Object`, or none at all. */
export function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

/** Options that may be left out, and given as `undefined` too. */
export type Some<T> = { [K in keyof T]?: T[K] | undefined }
