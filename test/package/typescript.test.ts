import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { coreEntriesOf, entriesOf } from './entries'
import { installProject, type Project, packedManifest } from './project'

let project: Project
beforeAll(async () => {
  project = await installProject('typescript')
})
afterAll(() => project?.remove())

const NODE = { module: 'node16', target: 'es2022' }
const BUNDLER = { module: 'esnext', moduleResolution: 'bundler', target: 'es2022' }
const DOM = { lib: ['es2022', 'dom', 'dom.iterable'], types: [] as string[] }
const STRICT = { strict: true, skipLibCheck: false, noEmit: true }
const STRICTEST = {
  ...{ exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, noPropertyAccessFromIndexSignature: true },
  ...{ verbatimModuleSyntax: true, isolatedModules: true, noImplicitOverride: true },
}

/** Rejects with what the compiler says, of the declarations that were installed too. */
function compile(files: Record<string, string>, compilerOptions: object): Promise<string> {
  for (const [file, text] of Object.entries(files)) project.write(file, text)
  project.write('tsconfig.json', JSON.stringify({ compilerOptions, files: Object.keys(files) }))
  return project.run('node_modules/.bin/tsc', ['-p', '.'])
}

const importAll = (entries: readonly string[]) =>
  entries.map((entry, n) => `import * as entry${n} from '${entry}'\nexport { entry${n} }\n`).join('')

describe('the package and its peers', () => {
  test('load, every entry as ESM and as CommonJS', async () => {
    const entries = entriesOf(packedManifest())
    expect(entries.length).toBeGreaterThan(coreEntriesOf(packedManifest()).length)
    project.write('load.mjs', entries.map((entry) => `await import('${entry}')\n`).join(''))
    project.write('load.cjs', entries.map((entry) => `require('${entry}')\n`).join(''))
    expect(await project.run('node', ['load.mjs'])).toBe('')
    expect(await project.run('node', ['load.cjs'])).toBe('')
  })
})

describe('what a user writes', () => {
  const use = () => project.read('use.ts')
  const all = () => importAll(entriesOf(packedManifest()))

  test('is typed with `module: node16`, in ESM and in CommonJS', async () => {
    const files = { 'all.mts': all(), 'all.cts': all(), 'use.mts': use(), 'use.cts': use() }
    await compile(files, { ...NODE, ...DOM, ...STRICT })
  })

  test('is typed with `moduleResolution: bundler`', async () => {
    await compile({ 'all.ts': all(), 'use.ts': use() }, { ...BUNDLER, ...DOM, ...STRICT })
  })

  test('is typed with the strictest options', async () => {
    await compile({ 'all.ts': all(), 'use.ts': use() }, { ...BUNDLER, ...DOM, ...STRICT, ...STRICTEST })
  })

  test('is typed in Node without the DOM, where declarations are not checked', async () => {
    const files = { 'use.mts': withoutDom(use()) }
    await compile(files, { ...NODE, ...STRICT, lib: ['es2022'], types: ['node'], skipLibCheck: true })
  })

  test('is told of every mistake in it', async () => {
    const wrong = use().replaceAll('// @ts-expect-error', '//')
    const complaint = compile({ 'wrong.ts': wrong }, { ...BUNDLER, ...DOM, ...STRICT })
    await expect(complaint).rejects.toThrow(/wrong\.ts.*TS2769[^]*wrong\.ts.*TS2322/)
  })
})

const withoutDom = (text: string) =>
  text.replace(/^import \{ bind .*$/m, '').replace(/^export function show[^]*?^}$/m, '')
