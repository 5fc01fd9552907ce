import { configError } from './errors'

/**
 * Refuses options that are no numbers, or too small ones; `prefix` names their group. Most have to be positive: a 0
 * would be a loop without a pause, or a bound that lets nothing through. `mayBeZero` names the others. A backoff's
 * `jitter` is the one that is a word.
 */
export function checkNumbers(prefix: string, given: object, mayBeZero = ''): void {
  for (const [name, value] of Object.entries(given)) {
    const positive = !mayBeZero.split(' ').includes(name)
    if (value === undefined || name === 'jitter' || (typeof value === 'number' && (positive ? value > 0 : value >= 0)))
      continue
    throw configError(
      `\`${prefix}${name}\` to be a ${positive ? 'positive number' : 'number of at least 0'}`,
      String(value),
    )
  }
}

/** What is given over the defaults; what is given as `undefined` is not given. */
export function over<T extends object>(defaults: T, given: Partial<T> = {}): T {
  return { ...defaults, ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) }
}

/** The same for options that are numbers, checked. */
export function numbersOf<T extends object>(prefix: string, defaults: T, given?: Partial<T>, mayBeZero?: string): T {
  const chosen = over(defaults, given)
  checkNumbers(prefix, chosen, mayBeZero)
  return chosen
}
