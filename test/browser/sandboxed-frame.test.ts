import { readFileSync } from 'node:fs'
import { afterEach, expect, test } from 'vitest'
import { closeBrowsers, servePages, startBrowser } from '../support/browser'
import { closeServers, startStream } from '../support/http-server'
import { until } from '../support/until'

afterEach(closeBrowsers)
afterEach(closeServers)

test('a frame in a sandbox has no origin, and so neither locks nor storage: it serves itself', async () => {
  const script = readFileSync('dist/millrace.global.js', 'utf8')
  const frame = `<!doctype html><p data-millrace="/stream"></p><script>${script}</script><script>
    const client = Millrace.getClient()
    const seen = { roles: [] }
    const stream = Millrace.defineChannel({ key: 'stream', stream: '/stream' })
    Millrace.subscribe(stream, { state: ({ data, role }) => (seen.data = data, seen.roles.push(role)) })
    client.json('/json').then((json) => (seen.json = json))
    navigator.locks.request('any', () => {}).catch(({ name }) => (seen.locks = name))
    Millrace.mount()
  </script>`
  const server = await servePages(
    { '/': '<!doctype html><iframe sandbox="allow-scripts" src="/frame.html"></iframe>', '/frame.html': frame },
    {
      handler({ url }, response) {
        response.setHeader('access-control-allow-origin', '*')
        if (url === '/stream') startStream(response).write('id: 1\ndata: {"n":1}\n\n')
        else if (url === '/json') response.setHeader('content-type', 'application/json').end('{"n":1}')
        else response.writeHead(204).end()
      },
    },
  )
  const browser = await startBrowser()
  const page = await browser.openPage(server.url('/'))
  const inside = page.frames()[1]!
  const seen = await until(() => inside.evaluate('seen.data && seen.json && seen.locks && seen') as Promise<object>)
  expect(seen).toMatchObject({ data: { n: 1 }, json: { n: 1 }, locks: 'SecurityError' })
  expect((seen as { roles: unknown[] }).roles.at(-1)).toBe('solo')
  expect(await inside.locator('p').textContent()).toBe('{"n":1}')
  expect(browser.errors).toEqual([])
})
