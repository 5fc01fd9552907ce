import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { startBrowser, type TestBrowser } from '../support/browser'
import { closeServers } from '../support/http-server'
import { until } from '../support/until'
import { startLiveServer } from './live-server'
import { installProject, type Project, packedManifest } from './project'

let project: Project
let browser: TestBrowser
beforeAll(async () => {
  project = await installProject('node')
  browser = await startBrowser()
})
afterAll(async () => {
  await browser?.close()
  await project?.remove()
})
afterEach(async () => {
  await Promise.all(browser.context.pages().map((page) => page.close()))
  await closeServers()
})

const script = () => packedManifest().exports['./script'] as string

/** A page without a build, over the folder of the installed package. */
async function open(body: string) {
  const icon = '<link rel="icon" href="data:,">'
  const live = await startLiveServer(join(project.folder, 'node_modules/millrace'), {
    '/': `<!doctype html><title>Visitors</title>${icon}<body>${body}`,
  })
  const said = browser.errors.length
  const page = await browser.openPage(live.server.url())
  return { live, page, said: () => browser.errors.slice(said) }
}

describe('a page without a build', () => {
  test('shows live data with the script tag alone, on one connection', async () => {
    const { live, page, said } = await open(
      `<output data-millrace="/stream"></output><output data-millrace="/stream"></output>
       <script src="${script()}"></script><script>Millrace.mount()</script>`,
    )
    await until(async () => (await page.locator('[data-millrace-status=live]').count()) === 2)
    live.send('anna')
    await until(async () => (await page.locator('output').allTextContents()).join() === 'anna,anna')
    expect(live.connections).toBe(1)
    expect(said()).toEqual([])
  })

  test('is one client and one connection with the script tag and the ESM build', async () => {
    const { live, page, said } = await open(
      `<output data-millrace="/stream"></output><p></p>
       <script src="${script()}"></script><script>Millrace.mount()</script>
       <script type="module">
         import { createClient, getClient, subscribe } from '/dist/index.js'
         window.copies = new Set([createClient, Millrace.createClient]).size
         window.clients = new Set([getClient(), Millrace.getClient()]).size
         subscribe('/stream', ({ data }) => document.querySelector('p').textContent = data)
       </script>`,
    )
    await until(async () => (await page.locator('[data-millrace-status=live]').count()) === 1)
    await until(() => page.evaluate(() => 'clients' in window))
    live.send('anna')
    await until(async () => (await page.locator('output, p').allTextContents()).join() === 'anna,anna')
    expect(await page.evaluate(() => [Reflect.get(window, 'copies'), Reflect.get(window, 'clients')])).toEqual([2, 1])
    expect(live.connections).toBe(1)
    expect(said()).toEqual([])
  })
})
