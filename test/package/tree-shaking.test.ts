import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { entriesOf } from './entries'
import { installProject, type Project, packedManifest } from './project'

let project: Project
beforeAll(async () => {
  project = await installProject('bundlers')
})
afterAll(() => project?.remove())

interface Bundle {
  /** Minified, where the bundler can. */
  readonly bytes: number
  /** Of the readable bundle, by the source that they came from. */
  readonly lines: Record<string, string[]>
}

async function bundle(bundler: string, code: string): Promise<Bundle> {
  project.write('entry.js', code)
  return JSON.parse(await project.run('node', ['bundle.js', bundler, join(project.folder, 'entry.js')]))
}

/** What of these sources can run. A constant that a bundler is not sure enough about to drop can not. */
const codeOf = ({ lines }: Bundle, sources: RegExp) =>
  Object.entries(lines)
    .filter(([source]) => sources.test(source))
    .flatMap(([source, found]) => found.filter((line) => /[()]/.test(line)).map((line) => `${source}: ${line.trim()}`))

const without = (lines: Bundle['lines'], sources: RegExp) =>
  Object.fromEntries(Object.entries(lines).filter(([source]) => !sources.test(source)))

const ADAPTERS = /^src\/(vanilla|react|vue)\//
const CORE = /^(?!src\/(vanilla|react|vue)\/)/
const REGISTRY_AND_SOURCES = /^src\/(registry|sources|client)\//
const NETWORK = /^src\/network\//
const ALL = "export * from 'millrace'"

describe.each(['esbuild', 'rollup', 'vite'])('what %s makes of the package', (bundler) => {
  test('is nothing for an import that nobody uses', async () => {
    expect((await bundle(bundler, "import 'millrace'")).lines).toEqual({})
  })

  test('is the stream alone for `ReconnectingEventSource`', async () => {
    const all = await bundle(bundler, ALL)
    const alone = await bundle(bundler, "export { ReconnectingEventSource } from 'millrace'")
    // What is looked for would be found.
    for (const room of [REGISTRY_AND_SOURCES, NETWORK]) expect(codeOf(all, room).length).toBeGreaterThan(100)
    expect(codeOf(alone, /^src\/reconnecting-event-source/).length).toBeGreaterThan(20)

    expect(codeOf(alone, REGISTRY_AND_SOURCES)).toEqual([])
    expect(codeOf(alone, ADAPTERS)).toEqual([])
    // Of the network it has what calls the platform's `fetch`.
    const network = codeOf(alone, NETWORK)
    expect(network).toContainEqual(expect.stringMatching(/^src\/network\/send\.ts: .* fetch\(input, init\);$/))
    expect(network.filter((line) => !line.startsWith('src/network/send.ts'))).toEqual([])
    expect(network.length).toBeLessThan(15)
    expect(alone.bytes).toBeLessThan(all.bytes / 4)
  })

  /** What else of the client a function of the page brings. */
  const BASE = 'alerts|context|page-client|parts|settings'
  test.each<[name: string, brings: RegExp, most: number]>([
    ['json', new RegExp(`^src/(primitives|network|client/(requests|${BASE}))`), 0.35],
    ['coordinatedFetch', new RegExp(`^src/(primitives|network|client/(requests|${BASE}))`), 0.35],
    // Of the network it has what makes figures, and the defaults.
    ['stats', new RegExp(`^src/(primitives|network/(figures|limits)|client/(stats|switch|${BASE}))`), 0.1],
    ['subscribe', /^(?!src\/client\/stats|src\/(vanilla|react|vue|view|reconnecting-event-source))/, 0.95],
    ['events', /^(?!src\/client\/stats|src\/(vanilla|react|vue|view|reconnecting-event-source))/, 0.95],
  ])('is the part of the client that brings `%s`, alone', async (name, brings, most) => {
    const all = await bundle(bundler, ALL)
    const alone = await bundle(bundler, `export { ${name} } from 'millrace'`)
    expect(codeOf(alone, /^src\/client\/page-client/).length).toBeGreaterThan(2)
    expect(codeOf({ ...alone, lines: without(alone.lines, brings) }, /^src\//)).toEqual([])
    expect(alone.bytes / all.bytes).toBeLessThan(most)
  })

  test('is less than a kilobyte for `MillraceError`', async () => {
    const { bytes, lines } = await bundle(bundler, "export { MillraceError } from 'millrace'")
    expect(codeOf({ bytes, lines }, /^(?!src\/primitives\/errors\.ts)/)).toEqual([])
    expect(bytes).toBeGreaterThan(200)
    expect(bytes).toBeLessThan(1_000)
  })
})

describe('every entry together', () => {
  test('has one copy of the core', async () => {
    const core = await bundle('esbuild', ALL)
    const entries = entriesOf(packedManifest())
    const all = await bundle('esbuild', entries.map((entry) => `export * from '${entry}'\n`).join(''))
    expect(codeOf(all, ADAPTERS).length).toBeGreaterThan(20)
    expect(sizes(all)).toEqual(sizes(core))
    expect(codeOf(core, CORE).length).toBeGreaterThan(1_000)
  })
})

/** Lines by source: two copies would be twice as many, and names may be others where two entries have the same. */
const sizes = (bundle: Bundle) =>
  Object.fromEntries(
    Object.keys(bundle.lines)
      .filter((source) => CORE.test(source))
      .map((source) => [source, codeOf({ ...bundle, lines: { [source]: bundle.lines[source]! } }, CORE).length]),
  )
