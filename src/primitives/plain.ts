/** An object as JSON or a literal makes it, whatever window it comes from: no class but `Object`, or none at all. */
export function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

/** Options that may be left out, and given as `undefined` too. */
export type Some<T> = { [K in keyof T]?: T[K] | undefined }

/** Where the last one is that passes; -1 if none does. `findLastIndex` is younger than what is promised to run. */
export function lastIndexOf<T>(list: readonly T[], passes: (one: T) => boolean): number {
  let index = list.length - 1
  while (index >= 0 && !passes(list[index] as T)) index -= 1
  return index
}
