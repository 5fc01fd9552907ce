import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { startBrowser, type TestBrowser } from '../support/browser'
import { closeServers } from '../support/http-server'
import { until } from '../support/until'
import { type LiveServer, startLiveServer } from './live-server'
import { installProject, type Project } from './project'

let project: Project
let live: LiveServer
let browser: TestBrowser
const telemetry = { NEXT_TELEMETRY_DISABLED: '1' }

beforeAll(async () => {
  project = await installProject('next')
  live = await startLiveServer()
  browser = await startBrowser()
})
afterAll(async () => {
  await browser?.close()
  await project?.remove()
})
afterEach(closeServers)

describe('the App Router of Next.js', () => {
  test('builds, renders in silence on the server and goes live in the browser', { timeout: 150_000 }, async () => {
    // Absolute, so that a server that wanted to could open it.
    const env = { ...telemetry, NEXT_PUBLIC_STREAM: live.server.url('/stream') }
    await project.run('node_modules/.bin/next', ['build'], { env })
    expect(live.server.requests).toEqual([])

    const port = await freePort()
    const next = project.start(
      'node',
      ['node_modules/next/dist/bin/next', 'start', '-H', '127.0.0.1', '-p', `${port}`],
      {
        env,
      },
    )
    const url = `http://127.0.0.1:${port}/`
    await until(async () => (await fetch(url)).ok, { what: 'Next.js to answer', within: 60_000 })
    for (let request = 0; request < 5; request += 1) {
      const html = await (await fetch(url)).text()
      expect(html).toContain('<main id="visitors" title="made on the server">')
      expect(html.match(/<p class="visitors" title="connecting">nobody yet<\/p>/g)).toHaveLength(2)
    }
    expect(live.server.requests).toEqual([])
    expect(live.server.openSockets).toBe(0)

    const page = await browser.openPage(url)
    const shown = page.locator('.visitors')
    await until(async () => (await page.locator('.visitors[title=live]').count()) === 2, { within: 30_000 })
    live.send('anna')
    const all = 'nobody yet,anna'
    await until(async () => (await shown.allTextContents()).join(' ') === `${all} ${all}`)
    expect(live.connections).toBe(1)
    // Hydration that does not match is told there.
    expect(browser.errors).toEqual([])
    expect(next.output).not.toMatch(/error|warn/i)
    next.child.kill()
    await next.ended
  })
})

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}
