import { fileURLToPath } from 'node:url'
import { build } from 'vite'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type EngineName, expectedOf, players, titleOf } from './case'
import { cases } from './cases'
import type { Logs } from './page'
import { startServers } from './servers'

/** Opens a page on that URL; what it resolves with evaluates an expression there, and waits for its promise. */
export type OpenPage = (url: string) => Promise<(expression: string) => Promise<unknown>>

const HTML = '<!doctype html><link rel="icon" href="data:,"><script src="/conformance.js"></script>'

/** Plays all cases side by side, and declares two tests for each: of the browser's own `EventSource` and of ours. */
export function testInBrowser(engine: EngineName, open: OpenPage): void {
  describe(`in ${engine}`, () => {
    let logs: Logs
    const closing: (() => Promise<void>)[] = []
    beforeAll(async () => {
      const servers = await startServers(cases, { '/': HTML, '/conformance.js': await bundle() })
      closing.push(servers.close)
      const evaluate = await open(servers.origins.same)
      logs = (await evaluate(`runAll(${JSON.stringify(servers.origins)})`)) as Logs
    }, 60_000)
    afterAll(() => Promise.all(closing.map((close) => close())))

    const tests = players.flatMap((player) => cases.map((each) => [player, titleOf(each), each] as const))
    test.each(tests)('%s, %s', (player, title, each) => {
      expect(logs[title]![player]).toEqual(expectedOf(each, player, engine))
    })
  })
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
