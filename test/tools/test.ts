import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

// `npm test`: every check there is, in this order, up to the first that fails.
const reports = mkdtempSync(join(tmpdir(), 'millrace-test-'))
const steps: [name: string, command: string][] = [
  ['Chromium', 'tsx test/tools/ensure-chromium.ts'],
  ['nginx', 'tsx test/tools/ensure-nginx.ts'],
  ['Lint', 'npm run --silent lint'],
  ['Types', 'npm run --silent typecheck'],
  ['Build', 'npm run --silent build'],
  ['Tests of the sources', vitest('sources', 'unit', 'public', 'react-18', 'vue-3.3', 'browser', 'faults')],
  ['Tests of dist', vitest('dist', 'dist')],
  ['Tests of the package', vitest('package', 'package')],
  ['Size', 'npm run --silent size'],
  ['Package: declarations', 'tsc -p test/tsconfig.dist.json'],
  ['Package: publint', 'publint --strict'],
  ['Package: are the types wrong', 'attw --pack . --profile node16 --exclude-entrypoints script'],
]

const failed = steps.find(([name, command]) => {
  console.log(`\n=== ${name} ===\n`)
  return spawnSync(command, { shell: true, stdio: ['ignore', 'inherit', 'inherit'] }).status !== 0
})
if (failed) console.error(`\n=== FAILED: ${failed[0]} (${failed[1]}) ===`)

const totals = [...tally('sources'), ...tally('dist'), ...tally('package')]
console.log(`\n${sum(totals, 'passed')} passed, ${sum(totals, 'failed')} failed`)
rmSync(reports, { recursive: true, force: true })
process.exitCode = failed ? 1 : 0

function vitest(report: string, ...projects: string[]): string {
  const selected = projects.map((project) => `--project ${project}`).join(' ')
  return `vitest run ${selected} --reporter=default --reporter=json --outputFile.json="${reportFile(report)}"`
}

function reportFile(report: string): string {
  return join(reports, `${report}.json`)
}

interface Totals {
  passed: number
  failed: number
}

/** One entry per test file; a file that could not even be loaded counts as one failure. */
function tally(report: string): Totals[] {
  let files: { status: string; assertionResults: { status: string }[] }[]
  try {
    files = JSON.parse(readFileSync(reportFile(report), 'utf8')).testResults
  } catch {
    return [] // the run was not reached, or did not get as far as a report
  }
  return files.map(({ status, assertionResults }) => {
    const count = (outcome: string) => assertionResults.filter((test) => test.status === outcome).length
    const failures = count('failed')
    return { passed: count('passed'), failed: status === 'failed' ? Math.max(1, failures) : failures }
  })
}

function sum(totals: Totals[], key: keyof Totals): number {
  return totals.reduce((total, each) => total + each[key], 0)
}
