import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import ts from 'typescript'
import { afterEach, describe, expect, test } from 'vitest'
import { allowOrigins } from '../../examples/recipes/cross-origin'
import { closeBrowsers, servePages, startBrowser } from '../support/browser'
import { closeServers, type Handler, startServer, startStream } from '../support/http-server'
import { until } from '../support/until'

afterEach(closeBrowsers)
afterEach(closeServers)

/** The recipe as a browser takes it. */
const RECIPE = ts.transpileModule(readFileSync('examples/recipes/cross-origin.ts', 'utf8'), {
  compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext },
}).outputText

const SCRIPT = `
  import { defineChannel } from 'millrace'
  import { createApiClient } from '/cross-origin.js'
  const api = new URLSearchParams(location.search).get('api')
  window.seen = []
  window.states = []
  window.client = createApiClient(api)
  client.subscribe(
    defineChannel({
      key: 'orders', stream: '/stream', snapshot: '/snapshot', initial: [], share: 'page',
      fromSnapshot: (body) => body.list, reduce: (list, { data }) => [...list, data],
    }),
    { next: ({ data }) => seen.push(data), state: ({ status, data, error }) => states.push({ status, data, error: error?.code }) },
  )
  window.post = () => client.fetch('/orders', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' }).then(({ status }) => status)
`

const PAGE = `<!doctype html><link rel="icon" href="data:,">
  <script type="importmap">{ "imports": { "millrace": "/index.js" } }</script>
  <script type="module" src="/script.js"></script>`

/** An API that knows its users by a cookie, and a page of another origin. `allow`: how it answers across origins. */
async function start(allow: (...given: Parameters<typeof allowOrigins>) => boolean = allowOrigins) {
  const streams = new Set<Parameters<Handler>[1]>()
  const log = ['one']
  const origins: string[] = []
  const api = await startServer((request, response, raw) => {
    if (allow(origins, raw, response)) return
    if (!request.headers.cookie?.includes('session=ann')) return response.writeHead(401).end()
    if (request.url === '/snapshot')
      return response
        .writeHead(200, { 'content-type': 'application/json', 'last-event-id': `${log.length}` })
        .end(JSON.stringify({ list: log }))
    if (request.url === '/orders') return response.writeHead(201).end()
    startStream(response)
    streams.add(response)
    response.once('close', () => streams.delete(response))
    for (let id = Number(request.headers['last-event-id'] ?? 0) + 1; id <= log.length; id += 1) send(response, id)
  })
  const pages = await servePages(
    { '/': PAGE, '/script.js': SCRIPT, '/cross-origin.js': RECIPE },
    { folder: resolve('dist') },
  )
  origins.push(pages.origin)

  const browser = await startBrowser()
  await browser.context.addCookies([{ name: 'session', value: 'ann', url: api.origin, sameSite: 'Lax' }])
  const page = await browser.openPage(pages.url(`/?api=${encodeURIComponent(api.origin)}`))
  type Seen = { status: string; data?: string[]; error?: string }
  return {
    api,
    browser,
    page,
    state: () => page.evaluate('states.at(-1)') as Promise<Seen | undefined>,
    seen: () => page.evaluate('seen') as Promise<string[]>,
    asked: (method: string, path: string) => api.requests.filter((r) => r.method === method && r.url === path),
    add(text: string) {
      log.push(text)
      for (const stream of streams) send(stream, log.length)
    },
    drop() {
      for (const stream of streams) stream.socket?.resetAndDestroy()
    },
  }

  function send(response: Parameters<Handler>[1], id: number): void {
    response.write(`id: ${id}\ndata: "${log[id - 1]}"\n\n`)
  }
}

/** The recipe, with one of its headers left out. */
const without =
  (name: string, value = ''): typeof allowOrigins =>
  (origins, request, response) => {
    const { setHeader, writeHead } = response
    const keep = (given: string) => given.replace(value, '').replace(/, $/, '')
    response.setHeader = (header, given) =>
      header === name && !value
        ? response
        : setHeader.call(response, header, header === name ? keep(`${given}`) : given)
    response.writeHead = ((status: number, headers: Record<string, string> = {}) => {
      const left = headers[name] === undefined ? headers : { ...headers, [name]: keep(headers[name]) }
      return writeHead.call(response, status, left)
    }) as never
    return allowOrigins(origins, request, response)
  }

describe('an API on another origin', () => {
  test('streams with cookies, resumes with Last-Event-ID, and says where its snapshot stands', async () => {
    const { page, browser, state, seen, asked, add, drop } = await start()
    await until(async () => expect(await state()).toEqual({ status: 'live', data: ['one'] }), { within: 20_000 })
    add('two')
    await until(async () => expect(await state()).toMatchObject({ data: ['one', 'two'] }))
    drop()
    add('three')
    await until(async () => expect(await state()).toEqual({ status: 'live', data: ['one', 'two', 'three'] }), {
      within: 20_000,
    })
    expect(await seen()).toEqual(['two', 'three'])
    expect(asked('GET', '/stream').map(({ headers }) => headers['last-event-id'])).toEqual([undefined, '2'])
    expect(asked('OPTIONS', '/stream')).toHaveLength(1)
    expect(asked('GET', '/snapshot')).toHaveLength(1)
    expect(await page.evaluate('post()')).toBe(201)
    expect(asked('OPTIONS', '/orders')).toHaveLength(1)
    expect(browser.errors.filter((text) => /CORS|access control/i.test(text))).toEqual([])
  })

  test('that does not allow Last-Event-ID works until the first reconnection', async () => {
    const { state, asked, drop, add } = await start(without('access-control-allow-headers', 'last-event-id'))
    await until(async () => expect(await state()).toMatchObject({ status: 'live' }), { within: 20_000 })
    add('two')
    await until(async () => expect(await state()).toMatchObject({ data: ['one', 'two'] }))
    drop()
    await until(() => asked('OPTIONS', '/stream').length > 0, { within: 20_000 })
    await until(async () => expect(await state()).toMatchObject({ status: 'reconnecting', error: 'network' }))
    expect(asked('GET', '/stream')).toHaveLength(1)
  })

  test('that does not expose Last-Event-ID hides where its snapshot stands', async () => {
    const { state } = await start(without('access-control-expose-headers', 'last-event-id, '))
    await until(async () => expect(await state()).toMatchObject({ status: 'live', data: ['one', 'one'] }), {
      within: 20_000,
    })
  })

  test('that does not allow credentials is not read at all', async () => {
    const { state } = await start(without('access-control-allow-credentials'))
    await until(async () => expect(await state()).toMatchObject({ error: 'network' }), { within: 20_000 })
  })
})
