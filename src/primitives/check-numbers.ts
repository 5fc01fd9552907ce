import { configError } from './errors'

/** A 0 here would be a loop without a pause, or a bound that lets nothing through. */
const POSITIVE =
  /^(base|factor|cap|maxEventBytes|idleTimeout|burst|concurrency|backgroundPerMinute|fetchesPer10s|interval)$/

/** Refuses options that are no numbers, or too small ones; `prefix` names their group. */
export function checkNumbers(prefix: string, given: object | undefined): void {
  for (const [name, value] of Object.entries(given ?? {})) {
    const positive = POSITIVE.test(name)
    if (value === undefined || (typeof value === 'number' && (positive ? value > 0 : value >= 0))) continue
    throw configError(
      `\`${prefix}${name}\` to be a ${positive ? 'positive number' : 'number of at least 0'}`,
      String(value),
    )
  }
}
