import { afterAll, afterEach, beforeAll, beforeEach, describe } from 'vitest'
import type { EngineName } from '../conformance/case'
import { figure } from '../support/figures'
import { closeServers } from '../support/http-server'
import { serveTabs, type Tab, tabOf } from '../support/tabs'
import { startChromium } from './chromium'
import type { Engine, EnginePage } from './engine'
import { startFirefox } from './firefox'
import { startWebKit } from './webkit'

export type EngineTab = Tab<EnginePage>

/** A server of the test's own, and with it an origin of its own, in a browser that was started for all tests. */
export type World = Awaited<ReturnType<typeof serveTabs>> & {
  readonly engine: Engine
  openTab(query?: string): Promise<EngineTab>
}

export const engines = [
  ['Chromium', startChromium],
  ['Firefox', startFirefox],
  ['WebKit', startWebKit],
] as const

/** An installation, where one is missing. */
export const START_WITHIN = 10 * 60_000

/** Declares the tests once for each engine, and counts those that pass. */
export function inEachEngine(
  what: string,
  declare: (name: EngineName, engine: () => Engine) => void,
  among: readonly (typeof engines)[number][] = engines,
): void {
  describe.each(among)(`${what} in %s`, (name, start) => {
    let engine: Engine
    let passed = 0
    let all = 0
    beforeAll(async () => {
      engine = await start()
    }, START_WITHIN)
    afterAll(async () => {
      figure('Engines', `${name} ${engine.version}: ${what}`, `${passed} of ${all}`)
      await engine.close()
    })
    beforeEach(() => {
      all += 1
    })
    afterEach(({ task }) => {
      if (task.result?.state === 'pass') passed += 1
    })
    declare(name, () => engine)
  })
}

/** The same with tabs on servers of each test's own. No tab may have an error that nobody caught. */
export function withTabsInEachEngine(
  what: string,
  declare: (at: (options?: { ids?: boolean; greets?: boolean }) => Promise<World>) => void,
  among?: Parameters<typeof inEachEngine>[2],
): void {
  const withTabs = (_: EngineName, running: () => Engine) => {
    const tabs = new Set<EngineTab>()
    afterEach(closeServers)
    afterEach(async () => {
      const errors: string[] = []
      for (const { page, run } of tabs) {
        errors.push(...(await run<string[]>('window.errors ?? []')))
        await page.close()
      }
      tabs.clear()
      if (errors.length > 0) throw new Error(`Nobody caught ${errors.join(', ')}`)
    })
    declare(async (options) => {
      const engine = running()
      const world = await serveTabs({ greets: true, ...options })
      return Object.assign(world, {
        engine,
        async openTab(query = '') {
          const page = await engine.openPage(world.server.url(`/${query}`))
          const tab: EngineTab = tabOf({
            ...page,
            close: () => {
              tabs.delete(tab)
              return page.close()
            },
          })
          tabs.add(tab)
          return tab
        },
      })
    })
  }
  inEachEngine(what, withTabs, among)
}

export const inQuery = (name: string, value: unknown): string => `${name}=${encodeURIComponent(JSON.stringify(value))}`
