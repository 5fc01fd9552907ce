import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { entriesOf } from './entries'
import { installProject, type Project, packedManifest } from './project'

let project: Project
let files: string[]
beforeAll(async () => {
  project = await installProject('node')
  const home = join(project.folder, 'node_modules/millrace')
  files = readdirSync(home, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(home.length + 1))
})
afterAll(() => project?.remove())

const read = (file: string) => project.read(join('node_modules/millrace', file))
const adapters = () => entriesOf(packedManifest()).flatMap((entry) => entry.split('/')[1] ?? [])

describe('the tarball', () => {
  test('has what is built, what it is and what it may be used for, and nothing else', () => {
    const others = files.filter((file) => !/^dist\/[\w.-]+\.(js|cjs|d\.ts|d\.cts|map)$/.test(file))
    expect(others.sort()).toEqual(['CHANGELOG.md', 'LICENSE', 'README.md', 'package.json'])
    expect(files).toContain('dist/millrace.global.js')
  })

  test('names no file that it does not have', () => {
    const named = JSON.stringify(packedManifest()).match(/(?<="\.\/)dist\/[^"]+/g) ?? []
    expect(named.length).toBeGreaterThan(8)
    expect(named.filter((file) => !files.includes(file))).toEqual([])
  })

  test('has the source of every line that its maps lead to', () => {
    const maps = files.filter((file) => file.endsWith('.map'))
    expect(maps.length).toBeGreaterThan(3)
    for (const file of maps) {
      const { sources, sourcesContent = [] } = JSON.parse(read(file)) as {
        sources: string[]
        sourcesContent?: unknown[]
      }
      expect(sourcesContent.filter((text) => typeof text === 'string')).toHaveLength(sources.length)
    }
  })

  test('tells nobody where it was built', () => {
    for (const file of files) expect(read(file)).not.toContain(process.cwd())
  })
})

describe('each adapter in the tarball', () => {
  test.each(['js', 'cjs'])('reaches the core by its name and holds nothing of it: .%s', (extension) => {
    expect(adapters().length).toBeGreaterThan(1)
    for (const name of adapters()) {
      const code = read(`dist/${name}.${extension}`)
      const imported = new Set([...code.matchAll(/\b(?:from|import|require)\s*\(?"([^"]+)"/g)].map(([, from]) => from))
      const peer = packedManifest().peerDependencies?.[name] ? [name] : []
      expect([...imported].sort()).toEqual(['millrace', ...peer].sort())
      const { sources } = JSON.parse(read(`dist/${name}.${extension}.map`)) as { sources: string[] }
      expect(sources.filter((source) => !source.startsWith(`../src/${name}/`))).toEqual([])
    }
  })

  test('for React marks its two builds as of the client', () => {
    // A directive counts before any statement; another one may stand before it.
    const marked = ['js', 'cjs'].filter((extension) =>
      /^("use strict";\s*)?"use client"/.test(read(`dist/react.${extension}`)),
    )
    expect(marked).toEqual(['js', 'cjs'])
  })
})
