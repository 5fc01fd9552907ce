import { execFileSync, execSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

// What is published must work where nothing but its peers is installed: unpacks the tarball into an empty project, loads every
// entry as ESM and as CommonJS, and compiles files that import them all, with the declarations checked too.
const project = mkdtempSync(join(tmpdir(), 'millrace-package-'))
try {
  const files = unpack()
  const entries = entryNames()
  linkPeers()
  write('package.json', '{ "private": true }')

  write('load.mjs', entries.map((entry) => `await import('${entry}')`).join('\n'))
  write('load.cjs', entries.map((entry) => `require('${entry}')`).join('\n'))
  node('load.mjs')
  node('load.cjs')

  const imports = entries.map((entry, n) => `import * as entry${n} from '${entry}'\nexport { entry${n} }`).join('\n')
  write('types.mts', imports)
  write('types.cts', imports)
  const compilerOptions = {
    ...{ module: 'nodenext', target: 'es2022', lib: ['es2022', 'dom', 'dom.iterable'], types: [] },
    ...{ strict: true, skipLibCheck: false, noEmit: true },
  }
  write('tsconfig.json', JSON.stringify({ compilerOptions, files: ['types.mts', 'types.cts'] }))
  node(resolve('node_modules/typescript/bin/tsc'))

  console.log(
    `${entries.join(', ')}: load and compile with only their peers installed. In the tarball:\n${files.join('\n')}`,
  )
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
} finally {
  rmSync(project, { recursive: true, force: true })
}

function unpack(): string[] {
  const command = `npm pack --json --ignore-scripts --pack-destination "${project}"`
  const packed = execSync(command, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  const [tarball] = JSON.parse(packed) as { filename: string; files: { path: string; size: number }[] }[]
  if (!tarball) throw new Error('npm pack made no tarball')
  mkdirSync(home(), { recursive: true })
  execFileSync('tar', ['-xzf', join(project, tarball.filename), '-C', home(), '--strip-components=1'])
  return tarball.files.map(({ path, size }) => `  ${path} ${size} B`)
}

/** `millrace` and `millrace/name`, of each entry in `exports` that has types, and so is a module. */
function entryNames(): string[] {
  const { exports } = JSON.parse(readFileSync(join(home(), 'package.json'), 'utf8')) as { exports: object }
  return Object.entries(exports)
    .filter(([, target]) => typeof target === 'object')
    .map(([subpath]) => subpath.replace(/^\./, 'millrace'))
}

/** The frameworks that adapters are for, as a user has them. */
function linkPeers(): void {
  const { peerDependencies } = JSON.parse(readFileSync(join(home(), 'package.json'), 'utf8'))
  for (const peer of Object.keys(peerDependencies))
    symlinkSync(resolve('node_modules', peer), join(project, 'node_modules', peer), 'dir')
}

function home(): string {
  return join(project, 'node_modules/millrace')
}

function write(file: string, text: string): void {
  writeFileSync(join(project, file), `${text}\n`)
}

function node(...args: string[]): void {
  execFileSync(process.execPath, args, { cwd: project, stdio: ['ignore', 'inherit', 'inherit'] })
}
