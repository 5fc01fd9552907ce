import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { startBrowser, type TestBrowser } from '../support/browser'
import { closeServers } from '../support/http-server'
import { until } from '../support/until'
import { adaptersOf } from './entries'
import { startLiveServer } from './live-server'
import { installProject, packedManifest } from './project'

const adapters = adaptersOf(packedManifest())
let browser: TestBrowser
beforeAll(async () => {
  browser = await startBrowser()
})
afterAll(() => browser?.close())
afterEach(closeServers)

describe('a page built by Vite', () => {
  test.each(adapters)('with %s, shows live data in two components on one connection', async (framework) => {
    const project = await installProject(`vite-${framework}`)
    try {
      await project.run('node_modules/.bin/vite', ['build'])
      const live = await startLiveServer(join(project.folder, 'dist'))
      const said = browser.errors.length
      const page = await browser.openPage(live.server.url())
      const shown = page.locator('.visitors')
      await until(async () => (await page.locator('.visitors[title=live]').count()) === 2)
      expect(await shown.allTextContents()).toEqual(['', ''])
      live.send('anna')
      live.send('ben')
      await until(async () => (await shown.allTextContents()).join(' ') === 'anna,ben anna,ben')
      expect(live.connections).toBe(1)
      expect(browser.errors.slice(said)).toEqual([])
      await page.close()
    } finally {
      await project.remove()
    }
  })
})
