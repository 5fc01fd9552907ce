import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

// `npm test`: what one runs often. `npm run test:all`: every check there is. Stage by stage, up to the first that fails.
const isAll = process.argv[2] === 'all'
const folder = mkdtempSync(join(tmpdir(), 'millrace-test-'))
const report = join(folder, 'report.json')

/** Checks that take no notice of each other, by their names. */
type Stage = Record<string, string>

const sources: Stage = {
  Lint: 'npm run --silent lint',
  Types: 'npm run --silent typecheck',
  Build: 'npm run --silent build',
}
const size: Stage = { Size: 'npm run --silent size' }
const often: Stage[] = [
  { Chromium: 'tsx test/tools/ensure-chromium.ts' },
  sources,
  { Tests: vitest('unit', 'public', 'page') },
  size,
]
const all: Stage[] = [
  { Chromium: 'tsx test/tools/ensure-chromium.ts' },
  { nginx: 'tsx test/tools/ensure-nginx.ts' },
  sources,
  { Tests: vitest('unit', 'public', 'react-18', 'vue-3.3', 'dist', 'browser', 'faults', 'package') },
  {
    ...size,
    'Package: declarations': 'tsc -p test/tsconfig.dist.json',
    'Package: publint': 'publint --strict',
    'Package: are the types wrong': 'attw --pack . --profile node16 --exclude-entrypoints script',
  },
]

let failed: string[] = []
for (const stage of isAll ? all : often) {
  failed = await run(stage)
  if (failed.length > 0) break
}
for (const name of failed) console.error(`\n=== FAILED: ${name} ===`)

const { passed, failures } = tally()
// A check that is no test counts as one.
console.log(`\n${passed} passed, ${Math.max(failures, failed.length)} failed`)
rmSync(folder, { recursive: true, force: true })
process.exitCode = failed.length > 0 ? 1 : 0

function vitest(...projects: string[]): string {
  const selected = projects.map((project) => `--project ${project}`).join(' ')
  return `vitest run ${selected} --reporter=default --reporter=json --outputFile.json="${report}"`
}

/** Runs the checks of a stage side by side, and resolves with the names of those that fail. */
async function run(stage: Stage): Promise<string[]> {
  const checks = Object.entries(stage)
  const alone = checks.length === 1
  const outcomes = await Promise.all(
    checks.map(async ([name, command]) => {
      if (alone) console.log(`\n=== ${name} ===\n`)
      const { isGood, output } = await runOne(command, alone)
      if (!alone) console.log(`\n=== ${name} ===\n\n${output}`)
      return isGood ? [] : [`${name} (${command})`]
    }),
  )
  return outcomes.flat()
}

/** What runs alone is seen as it goes, what runs beside others when it is over. */
function runOne(command: string, alone: boolean): Promise<{ isGood: boolean; output: string }> {
  return new Promise((resolve) => {
    const to = alone ? 'inherit' : 'pipe'
    const child = spawn(command, { shell: true, stdio: ['ignore', to, to] })
    let output = ''
    for (const stream of [child.stdout, child.stderr])
      stream?.setEncoding('utf8').on('data', (text: string) => {
        output += text
      })
    child.once('close', (code) => resolve({ isGood: code === 0, output }))
  })
}

/** A file that could not even be loaded counts as one failure. */
function tally(): { passed: number; failures: number } {
  let files: { status: string; assertionResults: { status: string }[] }[]
  try {
    files = JSON.parse(readFileSync(report, 'utf8')).testResults
  } catch {
    return { passed: 0, failures: 0 } // the run was not reached, or did not get as far as a report
  }
  const totals = { passed: 0, failures: 0 }
  for (const { status, assertionResults } of files) {
    const count = (outcome: string) => assertionResults.filter((test) => test.status === outcome).length
    const failures = count('failed')
    totals.passed += count('passed')
    totals.failures += status === 'failed' ? Math.max(1, failures) : failures
  }
  return totals
}
