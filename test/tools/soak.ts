import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { arch, cpus, platform, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Figure } from '../support/figures'

// `npm run test:soak [file ...]`: the long tests, and test/RESULTS.md from what they measured. A section that did not run
// this time keeps what it said before.
const results = fileURLToPath(new URL('../RESULTS.md', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'millrace-soak-'))
const file = join(folder, 'figures.jsonl')

const files = process.argv.slice(2).map((name) => JSON.stringify(name))
const { status } = spawnSync(`vitest run --project soak ${files.join(' ')}`, {
  shell: true,
  stdio: ['ignore', 'inherit', 'inherit'],
  env: { ...process.env, MILLRACE_FIGURES: file },
})
if (existsSync(file)) {
  const figures = readFileSync(file, 'utf8').trim().split('\n')
  writeResults(figures.map((line) => JSON.parse(line) as Figure))
}
rmSync(folder, { recursive: true, force: true })
process.exitCode = status ?? 1

function writeResults(figures: readonly Figure[]): void {
  const sections = readSections()
  for (const section of new Set(figures.map((each) => each.section))) {
    const rows = new Map(figures.filter((each) => each.section === section).map(({ name, value }) => [name, value]))
    sections.set(section, `${machine()}\n\n| | |\n| --- | --- |\n${[...rows].map(rowOf).join('\n')}`)
  }
  const bodies = [...sections].sort().map(([section, body]) => `\n## ${section}\n\n${body}\n`)
  writeFileSync(results, `# Results\n\nWritten by \`npm run test:soak\`, never by hand.\n${bodies.join('')}`)
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

function rowOf([name, value]: [string, string]): string {
  return `| ${name} | ${value} |`.replaceAll('\n', ' ')
}
