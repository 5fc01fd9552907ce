import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { arch, cpus, platform } from 'node:os'
import { fileURLToPath } from 'node:url'
import type { Figure } from '../support/figures'

const results = fileURLToPath(new URL('../RESULTS.md', import.meta.url))

/**
 * Writes test/RESULTS.md from what a run measured. A section that did not run this time keeps what it said before, and
 * so does a row of one that did, if `keeps` says that it is of something else.
 */
export function writeResults(figures: readonly Figure[], keeps: (name: string) => boolean = () => false): void {
  const sections = readSections()
  for (const section of new Set(figures.map((each) => each.section))) {
    const measured = figures.filter((each) => each.section === section)
    const rows = new Map(rowsOf(sections.get(section)).filter(([name]) => keeps(name)))
    for (const { name, value } of measured) rows.set(name, value)
    sections.set(section, `${machine()}\n\n| | |\n| --- | --- |\n${[...rows].map(rowOf).join('\n')}`)
  }
  const bodies = [...sections].sort().map(([section, body]) => `\n## ${section}\n\n${body}\n`)
  const by = 'Written by `npm run test:soak` and `npm run test:mutation`, never by hand.'
  writeFileSync(results, `# Results\n\n${by}\n${bodies.join('')}`)
}

/** What an earlier run has written, by its headings. */
function readSections(): Map<string, string> {
  const before = existsSync(results) ? readFileSync(results, 'utf8') : ''
  const [, ...parts] = before.split('\n## ')
  return new Map(parts.map((part) => [part.slice(0, part.indexOf('\n')), part.slice(part.indexOf('\n')).trim()]))
}

function machine(): string {
  const day = new Date().toISOString().slice(0, 10)
  return `${day}, Node ${process.versions.node}, ${platform()} ${arch()}, ${cpus().length} cores.`
}

function rowsOf(body = ''): [name: string, value: string][] {
  const rows = body.matchAll(/^\| (.+?) \| (.+) \|$/gm)
  return Array.from(rows, ([, name, value]) => [name!, value!] as [string, string]).slice(1)
}

function rowOf([name, value]: [string, string]): string {
  return `| ${name} | ${value} |`.replaceAll('\n', ' ')
}
