import { configError } from './errors'

/**
 * Refuses options that are no numbers, or too small ones; `prefix` names their group. Most have to be positive: a 0
 * would be a loop without a pause, or a bound that lets nothing through. `mayBeZero` names the others.
 */
export function checkNumbers(prefix: string, given: object, mayBeZero = ''): void {
  for (const [name, value] of Object.entries(given)) {
    const positive = !mayBeZero.split(' ').includes(name)
    if (value === undefined || (typeof value === 'number' && (positive ? value > 0 : value >= 0))) continue
    throw configError(
      `\`${prefix}${name}\` to be a ${positive ? 'positive number' : 'number of at least 0'}`,
      String(value),
    )
  }
}

/** The defaults with what is given over them; what is given as `undefined` is not given. Numbers are checked. */
export function optionsOf<T extends object>(
  prefix: string,
  defaults: T,
  given: Partial<T> = {},
  mayBeZero?: string,
): T {
  const chosen = { ...defaults }
  for (const name in defaults) {
    chosen[name] = given[name] ?? defaults[name]
    if (typeof defaults[name] === 'number') checkNumbers(prefix, { [name]: chosen[name] }, mayBeZero)
  }
  return chosen
}
