import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Figure } from '../support/figures'
import { writeResults } from './results'

// `npm run test:soak [file ...]`: the long tests, and test/RESULTS.md from what they measured.
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
