import type { Comparison, Ratio, Spread } from './compare'

/** One comparison. What is missing did not run. */
export interface Row {
  readonly what: string
  /** What we took, and what the other did, with their unit. */
  readonly ours: string
  readonly against: string
  readonly theirs: string
  /** What the limit is for: the ratio of the two, unless `unit` says otherwise. */
  readonly value: Spread | Ratio | undefined
  readonly unit?: 'kB' | 'ms'
  /** Without one the row is for information. */
  readonly limit?: readonly [is: '≥' | '>' | '≤' | '<', number] | undefined
  readonly failure?: string | undefined
}

/** One figure of ours against the same of another. */
export function rowOf(
  all: Comparison,
  figure: string,
  {
    show,
    ours,
    against,
    ...rest
  }: Pick<Row, 'what' | 'against' | 'limit'> & {
    readonly ours: string
    readonly show: (spread: Spread | undefined) => string
  },
): Row {
  return {
    ...rest,
    ours: show(all.spread(ours, figure)),
    against,
    theirs: show(all.spread(against, figure)),
    value: all.ratio(ours, against, figure),
    failure: all.failure(ours) ?? all.failure(against),
  }
}

const HEAD = ['', 'millrace', 'against', '', 'ratio', 'middle half', 'best', 'limit', '']
/** Texts to the left, numbers to the right. */
const LEFT = [0, 2, 8]

export function printTable(rows: readonly Row[]): void {
  const cells = [HEAD, ...rows.map(cellsOf)]
  const widths = HEAD.map((_, column) => Math.max(...cells.map((line) => line[column]?.length ?? 0)))
  const lines = cells.map((line) =>
    line
      .map((cell, column) => {
        const width = widths[column] ?? 0
        return LEFT.includes(column) ? cell.padEnd(width) : cell.padStart(width)
      })
      .join('  ')
      .trimEnd(),
  )
  lines.splice(1, 0, '─'.repeat(Math.max(...lines.map((line) => line.length))))
  console.log(lines.join('\n'))
}

/** Whether a row misses its limit, by the median of its rounds. */
export function isOver({ value, limit }: Row): boolean {
  return value !== undefined && limit !== undefined && !meets(value.median, limit)
}

function meets(value: number, [is, bound]: NonNullable<Row['limit']>): boolean {
  switch (is) {
    case '≥':
      return value >= bound
    case '>':
      return value > bound
    case '≤':
      return value <= bound
    case '<':
      return value < bound
  }
}

function verdict(row: Row): string {
  const { value, limit, failure } = row
  if (failure) return `not run: ${failure}`
  if (!limit) return ''
  if (!isOver(row)) return 'ok'
  return value && 'best' in value && meets(value.best, limit) ? 'over, but not in its best rounds' : 'over'
}

function cellsOf(row: Row): string[] {
  const [what = '', ours = '', against = '', theirs = '', median = '', limit = '', outcome = ''] = shortCells(row)
  const { value } = row
  return [
    what,
    ours,
    against,
    theirs,
    median,
    value && value.low < value.high ? `${significant(value.low)} – ${significant(value.high)}` : '',
    value && 'best' in value ? measure(value.best, row) : '',
    limit,
    outcome,
  ]
}

/** What a reader looks for first: without how far the rounds lie apart. */
export function shortCells(row: Row): string[] {
  const { what, ours, against, theirs, value, limit } = row
  return [
    what,
    ours,
    against,
    theirs,
    value ? measure(value.median, row) : '-',
    limit ? `${limit[0]} ${measure(limit[1], row)}` : '',
    verdict(row),
  ]
}

function measure(number: number, { unit }: Row): string {
  return `${significant(number)}${unit ? ` ${unit}` : '×'}`
}

export function perSecond(spread: Spread | undefined): string {
  return spread ? `${significant(spread.median / 1_000)} k/s` : '-'
}

export function nanoseconds(spread: Spread | undefined): string {
  return spread ? `${significant(spread.median)} ns` : '-'
}

export function microseconds(spread: Spread | undefined): string {
  return spread ? `${significant(spread.median)} µs` : '-'
}

export function bytes(spread: Spread | undefined): string {
  return spread ? `${significant(spread.median)} B` : '-'
}

export function kilobytes(spread: Spread | undefined): string {
  return spread ? `${significant(spread.median / 1_000)} kB` : '-'
}

export function milliseconds(spread: Spread | undefined): string {
  return spread ? `${significant(spread.median)} ms` : '-'
}

/** Three digits say more than can be measured. */
function significant(number: number): string {
  return Number(number.toPrecision(3)).toString()
}
