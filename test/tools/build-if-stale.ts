import { execSync } from 'node:child_process'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'

// Examples and benchmarks run the built package: build it where it is missing or older than what it is built from.
const sources = ['src', 'package.json', 'tsconfig.json', 'tsup.config.ts'].flatMap(changeTimes)
const built = existsSync('dist/index.js') && existsSync('dist/millrace.global.js') ? changeTimes('dist') : []

if (built.length === 0 || Math.max(...sources) > Math.min(...built)) {
  console.log('Building dist ...')
  execSync('npm run --silent build', { stdio: ['ignore', 'inherit', 'inherit'] })
}

function changeTimes(path: string): number[] {
  const status = statSync(path)
  if (!status.isDirectory()) return [status.mtimeMs]
  return readdirSync(path).flatMap((name) => changeTimes(join(path, name)))
}
