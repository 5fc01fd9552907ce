import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { Stryker } from '@stryker-mutator/core'
import type { Figure } from '../support/figures'
import { writeResults } from '../tools/results'
import { compiles } from './compiles'
import { subjects } from './subjects'

// `npm run test:mutation [file ...]`: changes the sources in every small way and sees whether a test, or the compiler,
// notices. One file after the other. Fails if a mutant lives on that subjects.ts does not explain, or if it explains one
// that does not.

const wanted = process.argv.slice(2)
const isWanted = (name: string) => wanted.length === 0 || wanted.some((part) => `src/${name}.ts`.includes(part))
const names = Object.keys(subjects).filter(isWanted)
if (names.length === 0) throw new Error(`Expected part of a file in test/mutation/subjects.ts, got ${wanted}`)
for (const name of names) {
  const { total, refused, survivors } = await mutate(name)
  const explained = Object.keys(subjects[name]!)
  const isExplained = (line: string) =>
    explained.includes(line) && survivors.indexOf(line) === survivors.lastIndexOf(line)
  for (const line of survivors.filter((each) => !isExplained(each))) report(name, 'survives', line)
  for (const line of explained) if (!survivors.includes(line)) report(name, 'is killed, or gone', line)
  const reasons = survivors.filter(isExplained).map((line) => subjects[name]![line]!)
  const parts = [
    `killed ${total - survivors.length} of ${total}`,
    refused > 0 && `${refused} of them by the compiler`,
    reasons.length > 0 && `equivalent: ${reasons.length}. ${[...new Set(reasons)].join(' ')}`,
    survivors.length > reasons.length && `not explained: ${survivors.length - reasons.length}`,
  ]
  const figure: Figure = { section: 'Mutation', name: `src/${name}.ts`, value: parts.filter(Boolean).join('; ') }
  console.log(figure.value)
  writeResults([figure], (row) => Object.keys(subjects).some((each) => row === `src/${each}.ts`))
}

type Mutants = Awaited<ReturnType<Stryker['runMutationTest']>>
type Position = Mutants[number]['location']['start']

async function mutate(name: string) {
  const file = `src/${name}.ts`
  // Read by vitest.config.ts in Stryker's own process. Its option `testFiles` never activates what runs at import.
  process.env.MILLRACE_MUTATION_TESTS = `test/unit/{,tab-}${basename(name)}.test.ts`
  console.log(`\n=== ${file} ===\n`)
  const mutants: Mutants = await new Stryker({
    mutate: [file],
    testRunner: 'vitest',
    vitest: { configFile: 'test/mutation/vitest.config.ts', related: false },
    coverageAnalysis: 'perTest',
    concurrency: 1,
    ignorePatterns: ['dist', 'examples', 'test/package', 'test/bench'],
    reporters: ['dots'],
    logLevel: 'warn',
  } as ConstructorParameters<typeof Stryker>[0]).runMutationTest()
  const lives = mutants.filter(({ status }) => status !== 'Killed' && status !== 'Timeout')
  const source = readFileSync(file, 'utf8')
  const lines = source.split('\n')
  const offset = ({ line, column }: Position) =>
    lines.slice(0, line - 1).reduce((sum, { length }) => sum + length + 1, column - 1)
  const survivors: string[] = []
  for (const { location, replacement } of lives) {
    const before = source.slice(0, offset(location.start))
    const after = source.slice(offset(location.end))
    if (!compiles(file, before + replacement + after)) continue
    // What the line would read, or the lines.
    const line = `${before.slice(before.lastIndexOf('\n') + 1)}${replacement}${after.split('\n', 1)[0]}`
    survivors.push(line.replace(/\s+/g, ' ').trim())
  }
  return { total: mutants.length, refused: lives.length - survivors.length, survivors }
}

function report(name: string, what: string, line: string): void {
  console.error(`src/${name}.ts: ${what}: ${line}`)
  process.exitCode = 1
}
