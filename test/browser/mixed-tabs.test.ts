import { fileURLToPath } from 'node:url'
import type { Page } from 'playwright-core'
import { build } from 'vite'
import { afterEach, expect, test } from 'vitest'
import { closeBrowsers } from '../support/browser'
import { closeServers } from '../support/http-server'
import { startTabs } from '../support/tabs'
import { until } from '../support/until'

afterEach(closeBrowsers)
afterEach(closeServers)

const FRAMEWORKS = ['react', 'vue', 'vanilla'] as const
const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url))

/** One script of a page, with all that it imports. */
async function bundle(name: string): Promise<string> {
  const output = await build({
    configFile: false,
    logLevel: 'error',
    define: { 'process.env.NODE_ENV': '"production"' },
    resolve: {
      alias: [
        { find: /^millrace$/, replacement: path('../../dist/index.js') },
        { find: /^millrace\/([^/]+)$/, replacement: path('../../dist/$1.js') },
      ],
    },
    build: { write: false, lib: { entry: path(`mixed-pages/${name}.ts`), formats: ['iife'], name: 'page' } },
  })
  const [first] = [output].flat()
  const [chunk] = first && 'output' in first ? first.output : []
  if (!chunk || !('code' in chunk)) throw new Error(`No script came of ${name}`)
  return chunk.code
}

test('8 tabs of React, Vue and plain scripts share one connection per source, and none misses an event', {
  timeout: 90_000,
}, async () => {
  const pages: Record<string, string> = {}
  for (const name of FRAMEWORKS) {
    pages[`/${name}`] = `<!doctype html><link rel="icon" href="/icon"><body><script src="/${name}.js"></script>`
    pages[`/${name}.js`] = await bundle(name)
  }
  const world = await startTabs({ pages })
  const tabs: Page[] = []
  for (let n = 0; n < 8; n += 1)
    tabs.push(await world.browser.openPage(world.server.url(`/${FRAMEWORKS[n % FRAMEWORKS.length]}`)))
  const rolesOf = (page: Page) => page.evaluate('client.stats().channels.map(({ role }) => role)') as Promise<string[]>
  await until(async () => (await Promise.all(tabs.map(rolesOf))).flat(), {
    accept: (roles) => roles.length === 16 && roles.filter((role) => role === 'leader').length === 2,
    what: 'a leader of each source',
    within: 20_000,
  })

  // From any tab, while all the others listen.
  for (const page of tabs) expect(await page.evaluate('fetch("/plain").then((answer) => answer.text())')).toBe('plain')

  for (let n = 0; n < 20; n += 1) world.append(25)
  const { last } = world
  const all = Array.from({ length: last }, (_, n) => n + 1)
  for (const page of tabs) {
    await until(() => page.evaluate(`ids.at(-1) === ${last}`), `event ${last}`)
    expect(await page.evaluate('ids')).toEqual(all)
    await until(
      async () => (await page.locator('output').textContent()) === `${last} events, the last ${last}, polled ${last}`,
      'what the page shows',
    )
  }
  expect(world.asked('/stream')).toHaveLength(1)
  expect(world.mostOpen).toBe(1)

  // One poller: as many requests as its interval has room for, not eight times as many.
  const before = world.asked('/poll').length
  const start = performance.now()
  await until(() => world.asked('/poll').length >= before + 4, 'four polls')
  expect(world.asked('/poll').length - before).toBeLessThanOrEqual(Math.ceil((performance.now() - start) / 300) + 1)
  expect(world.browser.errors).toEqual([])
})
