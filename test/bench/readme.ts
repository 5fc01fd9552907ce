import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { isOver, type Row, shortCells } from './table'

const README = new URL('../../README.md', import.meta.url)
const BEGIN = '<!-- bench: written by `npm run bench -- --write` -->'
const END = '<!-- /bench -->'

/** Puts the table between the two comments of the README, and under it a line that says what it was measured on. */
export function writeReadme(rows: readonly Row[]): void {
  const [before, , after] = split(readFileSync(README, 'utf8'))
  const [first] = cpus()
  const machine = `${cpus().length} × ${first?.model.trim() ?? process.arch}, ${process.platform}`
  const limits = rows.filter(({ limit }) => limit)
  const missed = limits.filter((row) => row.failure || isOver(row)).length
  const date = new Date().toISOString().slice(0, 10)
  const foot = `${date}, Node ${process.versions.node}, ${machine}. ${missed} of ${limits.length} limits missed.`
  writeFileSync(README, [before, BEGIN, '', markdown(rows), '', foot, '', END, after].join('\n'))
  execFileSync('npx', ['biome', 'format', '--write', 'README.md'])
}

function split(text: string): string[] {
  const parts = text.split(new RegExp(`\\n(${BEGIN})\\n[^]*\\n${END}\\n`))
  if (parts.length !== 3) throw new Error(`Expected ${BEGIN} and ${END} in the README, each on a line of its own.`)
  return parts
}

function markdown(rows: readonly Row[]): string {
  const cells = [['', 'millrace', 'against', '', 'ratio', 'limit', ''], ...rows.map(shortCells)]
  const lines = cells.map((line) => `| ${line.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`)
  lines.splice(1, 0, '| --- | ---: | --- | ---: | ---: | --- | --- |')
  return lines.join('\n')
}
