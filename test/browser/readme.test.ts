import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { servePages, startBrowser, type TestBrowser } from '../support/browser'
import { closeServers, startStream } from '../support/http-server'
import { snippetsOf } from '../support/snippets'
import { until } from '../support/until'

/** The README's snippets for a page without a build, as they stand. The others are run by `test/recipes/readme.test.tsx`. */

const [whole, hash, integrity] = snippetsOf('README.md').filter(({ name }) => name.startsWith('The script tag'))

let browser: TestBrowser
beforeAll(async () => {
  browser = await startBrowser()
})
afterAll(() => browser?.close())
afterEach(closeServers)

const streams: Record<string, string> = {
  '/api/prices': 'event: volume\ndata: {"last":1}\n\nevent: price\ndata: {"last":7.5}\n\n',
  '/api/users/stream': 'id: 1\nevent: joined\ndata: Cleo\n\nid: 2\nevent: left\ndata: Bob\n\n',
}

test('a page shows what it declares, and nothing to complain of', async () => {
  const server = await servePages(
    { '/': `${whole!.code}<link rel="icon" href="data:,">` },
    {
      folder: resolve('dist'),
      handler({ url }, response) {
        if (url === '/api/users') return response.writeHead(200, { 'last-event-id': '0' }).end('["Ada","Bob"]')
        startStream(response).write(streams[url] ?? ':\n\n')
      },
    },
  )
  const page = await browser.openPage(server.url())
  await until(async () => (await page.textContent('output')) === '7.5', 'the price')
  await until(async () => (await page.textContent('#users')) === 'Ada, Cleo', 'the users')
  expect(await page.getAttribute('output', 'data-millrace-status')).toBe('live')
  await page.close()
  expect(browser.errors).toEqual([])
})

test('the file is taken by its hash, as the command computes it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-readme-'))
  mkdirSync(join(folder, 'node_modules'))
  symlinkSync(resolve('.'), join(folder, 'node_modules/millrace'))
  const computed = execFileSync('sh', ['-c', hash!.code], { cwd: folder, encoding: 'utf8' }).trim()
  rmSync(folder, { recursive: true })
  const [address = ''] = /https:[^"]+/.exec(integrity!.code) ?? []
  await browser.context.route(address, (route) =>
    route.fulfill({
      body: readFileSync('dist/millrace.global.js'),
      headers: { 'content-type': 'text/javascript', 'access-control-allow-origin': '*' },
    }),
  )
  const tag = integrity!.code.replace('…', computed)
  expect(tag).not.toBe(integrity!.code)
  const server = await servePages({ '/': `<!doctype html><link rel="icon" href="data:,">${tag}` })
  const page = await browser.openPage(server.url())
  expect(await page.evaluate('typeof Millrace.mount')).toBe('function')
  expect(browser.errors).toEqual([])
})
