import { fileURLToPath } from 'node:url'
import { build } from 'vite'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Engine, titleOf } from './case'
import { cases } from './cases'
import type { Logs } from './page'
import { startServers } from './servers'

/** Opens a page on that URL; what it resolves with evaluates an expression there, and waits for its promise. */
export type OpenPage = (url: string) => Promise<(expression: string) => Promise<unknown>>

const HTML = '<!doctype html><link rel="icon" href="data:,"><script src="/conformance.js"></script>'

/** Declares a test for each case, of the browser's own `EventSource` and ours side by side. */
export function testInBrowser(engine: Engine, open: OpenPage): void {
  describe(`in ${engine}, the browser's EventSource and ours`, () => {
    let logs: Logs
    const closing: (() => Promise<void>)[] = []
    beforeAll(async () => {
      const servers = await startServers(cases, { '/': HTML, '/conformance.js': await bundle() })
      closing.push(servers.close)
      const evaluate = await open(servers.origins.same)
      logs = (await evaluate(`runAll(${JSON.stringify(servers.origins)})`)) as Logs
    }, 60_000)
    afterAll(() => Promise.all(closing.map((close) => close())))

    test.each(cases.map((each) => [titleOf(each), each] as const))('%s', (title, { expected, differs }) => {
      expect(logs[title]).toEqual({
        browser: valueOr(differs?.browsers, engine, expected),
        ours: valueOr(differs, 'ours', expected),
      })
    })
  })
}

function valueOr(given: object | undefined, key: string, otherwise: unknown): unknown {
  return given && key in given ? (given as Record<string, unknown>)[key] : otherwise
}

/** The page's script: the cases, and the library from its sources. */
async function bundle(): Promise<string> {
  const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url))
  const result = await build({
    configFile: false,
    logLevel: 'error',
    resolve: { alias: [{ find: /^millrace$/, replacement: path('../../src/index.ts') }] },
    build: {
      write: false,
      minify: false,
      lib: { entry: path('page.ts'), formats: ['iife'], name: 'conformance' },
    },
  })
  const [built] = [result].flat()
  if (!built || !('output' in built)) throw new Error('Expected vite to build one bundle')
  return built.output[0].code
}
