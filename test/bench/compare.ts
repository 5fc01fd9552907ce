import { type Figures, type RunningContender, startContender } from './contender'

export interface Spread {
  readonly median: number
  /** A quarter of the rounds lies below `low`, a quarter above `high`. */
  readonly low: number
  readonly high: number
}

/** How many times one contender's figure is another's. */
export interface Ratio extends Spread {
  /**
   * Of the best rounds of each. Other work on the machine only ever makes a round worse, so on a busy one the best say
   * more than the median, which is of ratios within a round.
   */
  readonly best: number
}

export interface Comparison {
  /** Of one contender's figure over all rounds; undefined if it did not run. */
  spread(name: string, figure: string): Spread | undefined
  ratio(name: string, against: string, figure: string): Ratio | undefined
  /** Why a contender did not run. */
  failure(name: string): string | undefined
}

export interface CompareOptions {
  readonly rounds: number
  /** Rounds that are not counted. Default 1. */
  readonly warmUps?: number
  /** Begins no further round after so many seconds, once there are enough for a median. */
  readonly seconds: number
  /** A new process for each round, where a heap must not hold what the round before left. */
  readonly fresh?: boolean
  readonly origin?: string
  /** Node's own, for one contender. */
  readonly flags?: Readonly<Record<string, readonly string[]>>
}

const ENOUGH = 5

/** Measures the contenders that `module` (a file's URL) exports, one at a time, in a new order each round. */
export async function compare(
  module: string,
  names: readonly string[],
  { rounds, warmUps = 1, seconds, fresh = false, origin = '', flags = {} }: CompareOptions,
): Promise<Comparison> {
  const measured = new Map<string, Figures[]>(names.map((name) => [name, []]))
  const failures = new Map<string, string>()
  const running = new Map<string, RunningContender>()
  const end = performance.now() + seconds * 1_000

  try {
    for (let round = fresh ? 0 : -warmUps; round < rounds && (round < ENOUGH || performance.now() < end); round += 1)
      for (const name of shuffled(names.filter((name) => !failures.has(name)))) {
        const figures = await measure(name)
        if (figures && round >= 0) measured.get(name)?.push(figures)
      }
  } finally {
    for (const contender of running.values()) contender.stop()
  }
  return { spread, ratio, failure: (name) => failures.get(name) }

  async function measure(name: string): Promise<Figures | undefined> {
    try {
      const contender = running.get(name) ?? (await startContender(module, name, origin, flags[name]))
      running.set(name, contender)
      const figures = await contender.round()
      if (fresh) {
        contender.stop()
        running.delete(name)
      }
      return figures
    } catch (error) {
      failures.set(name, error instanceof Error ? error.message : String(error))
      return undefined
    }
  }

  function spread(name: string, figure: string): Spread | undefined {
    return spreadOf(valuesOf(name, figure))
  }

  function ratio(name: string, against: string, figure: string): Ratio | undefined {
    const ours = valuesOf(name, figure)
    const theirs = valuesOf(against, figure)
    const paired = spreadOf(ours.map((value, round) => value / (theirs[round] ?? Number.NaN)))
    const best = figure === 'perSecond' ? 0.9 : 0.1
    return paired && { ...paired, best: (quantile(ours, best) ?? 0) / (quantile(theirs, best) ?? Number.NaN) }
  }

  function valuesOf(name: string, figure: string): number[] {
    return failures.has(name) ? [] : (measured.get(name) ?? []).map((figures) => figures[figure] ?? Number.NaN)
  }
}

export function spreadOf(values: readonly number[]): Spread | undefined {
  const [low, median, high] = [quantile(values, 0.25), quantile(values, 0.5), quantile(values, 0.75)]
  if (low === undefined || median === undefined || high === undefined || !Number.isFinite(median)) return undefined
  return { low, median, high }
}

export function quantile(values: readonly number[], share: number): number | undefined {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.round((sorted.length - 1) * share)]
}

function shuffled<T>(list: readonly T[]): T[] {
  return list
    .map((value) => ({ value, order: Math.random() }))
    .sort((a, b) => a.order - b.order)
    .map(({ value }) => value)
}
