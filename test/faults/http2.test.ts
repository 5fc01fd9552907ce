import { resolve } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { closeBrowsers, servePages, startBrowser } from '../support/browser'
import { closeServers, startStream } from '../support/http-server'
import { closeNginx, startNginx } from '../support/nginx'
import { until } from '../support/until'

afterEach(closeBrowsers)
afterEach(closeNginx)
afterEach(closeServers)

/** More than the six connections that a browser opens to an origin over HTTP/1.1. */
const STREAMS = 12

const PAGE = `<!doctype html><link rel="icon" href="data:,"><script src="/millrace.global.js"></script><script>
  window.client = Millrace.createClient({ environment: 'test' })
  window.channels = Array.from({ length: ${STREAMS} }, (_, n) => Millrace.defineChannel({ key: n, stream: '/stream/' + n }))
  window.alerts = []
  client.on('alert', ({ code }) => alerts.push(code))
  for (const channel of channels) client.subscribe(channel, {})
</script>`

/** A page of that many streams, and how many requests reach the server meanwhile. */
async function start({ tls }: { tls: boolean }) {
  let open = 0
  const server = await servePages(
    { '/': PAGE },
    {
      folder: resolve('dist'),
      handler({ url }, response) {
        if (!url.startsWith('/stream/')) return response.writeHead(200).end('plain')
        startStream(response).write('id: 1\ndata: 1\n\n')
        open += 1
        response.once('close', () => {
          open -= 1
        })
      },
    },
  )
  const nginx = await startNginx(`location / { proxy_buffering off; proxy_pass ${server.origin}; }`, { tls })
  const browser = await startBrowser({ args: ['--ignore-certificate-errors'] })
  const page = await browser.openPage(nginx.url())
  return {
    open: () => open,
    statuses: () =>
      page.evaluate('channels.map((channel) => client.getState(channel).pausedBy ?? client.getState(channel).status)'),
    alerts: () => page.evaluate('alerts'),
    plain: () => page.evaluate('fetch("/plain").then((answer) => answer.text())'),
    protocol: () => page.evaluate('performance.getEntriesByType("navigation")[0].nextHopProtocol'),
  }
}

test('over HTTP/2, which nginx speaks, twelve streams of a page are open at once and leave room for a request', async () => {
  const { open, statuses, alerts, plain, protocol } = await start({ tls: true })
  await until(async () => expect(await statuses()).toEqual(Array(STREAMS).fill('live')), { within: 20_000 })
  expect(open()).toBe(STREAMS)
  expect(await protocol()).toBe('h2')
  expect(await plain()).toBe('plain')
  expect(await alerts()).toEqual([])
})

test('over HTTP/1.1 four are, the others wait for a slot and say so, and a request is answered', async () => {
  const { open, statuses, alerts, plain, protocol } = await start({ tls: false })
  const expected = [...Array(4).fill('live'), ...Array(STREAMS - 4).fill('stream-limit')]
  await until(async () => expect([...((await statuses()) as string[])].sort()).toEqual(expected), { within: 20_000 })
  expect(open()).toBe(4)
  expect(await protocol()).toBe('http/1.1')
  expect(await plain()).toBe('plain')
  expect(await alerts()).toContain('stream-limit')
})
