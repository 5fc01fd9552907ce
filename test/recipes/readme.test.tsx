import '../support/dom'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import type { ComponentType, ReactNode } from 'react'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { type Component, createApp } from 'vue'
import { compileScript, parse } from 'vue/compiler-sfc'
import { closeServers, type Handler, startServer, startStream } from '../support/http-server'
import { openPage, removeSnippets, run } from '../support/snippet-page'
import { type Snippet, snippetsOf } from '../support/snippets'
import { until } from '../support/until'

// After there is a document: react-dom looks for it when it is loaded.
const { createRoot } = await import('react-dom/client')

/** The README's snippets do what it says of them, as they stand: each is run in a page, at the address of a real server. */

interface Run {
  /** What the page shows or logs in the end. */
  readonly sees: readonly string[]
  /** What the reader has around it. */
  readonly before?: string
  readonly after?: string
  readonly inside?: (component: ReactNode) => ReactNode
  /** What a user does. */
  readonly act?: () => void
}

const query = new QueryClient()

const runs: Record<string, Run> = {
  'Channels 1': { sees: ['page { url: ', '2 of 2', 'finished'] },
  'React 1': { sees: ['AdaCleo', '2'] },
  'Vue 1': { sees: ['AdaCleo'] },
  'Vue 2': {
    sees: ['Show Ada crawl 7', '2 done at a load of 0.5', 'finished { done: 2 }'],
    act: () => document.querySelector('button')?.click(),
  },
  'Requests 1': { sees: ['200 2'] },
  'Requests 2': { sees: ['/api/me 200'], after: "void getClient().json('/api/me')" },
  'ReconnectingEventSource 1': { sees: ['7 {"last":7.5}'], after: 'export { source }' },
  'Errors and alerts 1': {
    sees: ['This is gone.'],
    after: `
      import { getClient } from 'millrace'
      getClient().json('/api/nothing').catch((error) => console.log(wordsFor(error)))`,
  },
  'Coming from 1': { sees: ['{ last: 7.5 }'], after: 'export { before }' },
  'Coming from 2': { sees: ['{ last: 7.5 }'], after: 'export { after }' },
  'Coming from 3': { sees: ['{ last: 7.5 }'] },
  'Coming from 4': { sees: ['8,848 m'] },
  'Coming from 5': { sees: ['8,848 m'] },
  'Coming from 6': { sees: ['8.5'], after: 'export { Before }' },
  'Coming from 7': { sees: ['8.5'], after: 'export { After }' },
  'Coming from 8': {
    sees: ['2 online'],
    after: 'export { Before }',
    inside: (component) => <QueryClientProvider client={query}>{component}</QueryClientProvider>,
  },
  'Coming from 9': { sees: ['2 online'], after: 'export { After }' },
}

/** What no page runs, and what proves it instead. */
const elsewhere: Record<string, string> = {
  'The first sixty seconds 1': 'test/package/pack.ts installs it',
  'The first sixty seconds 2': 'below',
  'The first sixty seconds 3': 'below',
  'The first sixty seconds 4': 'below',
  'The first sixty seconds 5': 'below',
  'The first sixty seconds 6': 'below: its scripts',
  'The script tag 1': 'test/browser/readme.test.ts',
  'The script tag 2': 'test/browser/readme.test.ts',
  'The script tag 3': 'test/browser/readme.test.ts',
  'The house 1': 'test/architecture.test.ts: a drawing',
}

const event = (type: string, data: unknown, id?: number) =>
  `${id ? `id: ${id}\n` : ''}${type && `event: ${type}\n`}data: ${JSON.stringify(data)}\n\n`

const json: Record<string, unknown> = {
  '/api/users': ['Ada', 'Bob'],
  '/api/me': { name: 'Ada' },
  '/api/load': 0.5,
  '/api/report': 'All is well.',
}
const streams: Record<string, string> = {
  '/api/users/stream': event('joined', 'Cleo', 3) + event('left', 'Bob', 4),
  '/api/crawl/7/stream': event('page', { url: '/2', done: 2, total: 2 }, 1) + event('finished', { done: 2 }, 2),
  '/api/prices': event('price', { last: 7.5 }, 7) + event('', { last: 8.5 }, 8),
  '/api/answers': event('', '8,848 m') + event('done', 'bye'),
}

/** What the snippets ask for. */
const answer: Handler = ({ url, headers }, response) => {
  if (url in json)
    return response
      .writeHead(200, { 'content-type': 'application/json', 'last-event-id': '2' })
      .end(JSON.stringify(json[url]))
  if (!(url in streams)) return response.writeHead(404).end()
  const events = streams[url]!.split(/(?<=\n\n)/)
  const known = events.findIndex((text) => text.startsWith(`id: ${headers['last-event-id']}\n`))
  startStream(response).write(events.slice(known + 1).join(''))
}

const closings: (() => unknown)[] = []

afterEach(async () => {
  for (const close of closings.splice(0).reverse()) await close()
})
afterEach(closeServers)
afterAll(removeSnippets)

/** Components that a snippet exports. */
function mount(
  language: string,
  exported: Record<string, unknown>,
  inside: Run['inside'] = (component) => component,
): void {
  const container = document.createElement('div')
  document.body.append(container)
  if (language === 'vue') {
    const app = createApp(exported.default as Component)
    app.mount(container)
    closings.push(() => app.unmount())
    return
  }
  const components = Object.entries(exported).filter(([name]) => /^[A-Z]/.test(name)) as [string, ComponentType][]
  if (components.length === 0) return
  const root = createRoot(container)
  root.render(inside(components.map(([name, Component]) => <Component key={name} />)))
  closings.push(() => root.unmount())
}

/** What the Vue plugin of a bundler makes of it. */
function compiled({ name, language, code }: Snippet): Omit<Snippet, 'file'> {
  if (language !== 'vue') return { name, language, code }
  const { descriptor, errors } = parse(code)
  expect(errors).toEqual([])
  return { name, language: 'ts', code: compileScript(descriptor, { id: name, inlineTemplate: true }).content }
}

const snippets = snippetsOf('README.md')

test('each snippet has its place in one of the tables above, and each place its snippet', () => {
  const known = [...Object.keys(runs), ...Object.keys(elsewhere)]
  const names = snippets.map(({ name }) => name)
  expect(
    names.filter((name) => !known.includes(name)),
    'new ones: say how they are run',
  ).toEqual([])
  expect(
    known.filter((name) => !names.includes(name)),
    'they are gone, or have moved',
  ).toEqual([])
})

describe('runs as it stands:', () => {
  test.each(snippets.filter(({ name }) => name in runs))('$name', async (snippet) => {
    const { sees, before = '', after = '', act, inside } = runs[snippet.name]!
    const server = await startServer(answer)
    const page = openPage(server.origin)
    closings.push(page.close)
    const { language, code, name } = compiled(snippet)
    const exported = await run({ name, language, code }, `${before}\n${code}\n${after}`)
    closings.push(...Object.values(exported).map((source) => () => (source as Partial<EventSource>).close?.()))
    mount(snippet.language, exported, inside)
    if (act) await until(() => act() ?? true)
    const isSeen = () => sees.every((text) => page.seen.includes(text)) || page.complaints.length > 0
    await until(() => isSeen() || page.seen, { accept: (seen) => seen === true, what: sees.join(', ') })
    expect(page.complaints).toEqual([])
  })
})

describe('The first sixty seconds', () => {
  const [, server, client, , output, scripts] = snippets.filter(({ name }) =>
    name.startsWith('The first sixty seconds'),
  )

  test('are files that one can start', () => {
    expect(readFileSync('examples/first-minute/server.mjs', 'utf8')).toBe(server!.code)
    expect(readFileSync('examples/first-minute/client.mjs', 'utf8')).toBe(client!.code)
  })

  test('show what the README says, also after the server was away', async () => {
    const port = await freePort()
    const at = (code: string) => code.replaceAll('3000', `${port}`)
    const folder = mkdtempSync(join(tmpdir(), 'millrace-readme-'))
    closings.push(() => rmSync(folder, { recursive: true }))
    writeFileSync(join(folder, 'server.mjs'), at(server!.code))
    const first = await serve(folder, port)
    const page = openPage(`http://127.0.0.1:${port}`)
    closings.push(page.close)
    // As in Node, where nobody has used the client before.
    Reflect.deleteProperty(globalThis, Symbol.for('millrace'))
    await run(client!, at(client!.code))
    await until(() => expect(page.logged.slice(0, 3).join('\n')).toBe(output!.code.trim()) ?? true)
    await stop(first)
    await until(() => page.logged.at(-1)?.startsWith('reconnecting'))
    await serve(folder, port)
    await until(() => page.logged.at(-1)?.startsWith('live'))
    // It has no ids: what it lacks is told.
    expect(page.complaints.filter((text) => !text.startsWith('[millrace] gap: '))).toEqual([])
  })

  test('and the commands are there', () => {
    const { scripts: known } = JSON.parse(readFileSync('package.json', 'utf8'))
    for (const { code } of [scripts!, ...snippets])
      for (const [, name] of code.matchAll(/\bnpm run ([\w:]+)/g)) expect(Object.keys(known)).toContain(name)
    for (const [, file] of readFileSync('README.md', 'utf8').matchAll(/\]\((?!http|#)([^)#]+)/g))
      expect(existsSync(file!), file).toBe(true)
  })
})

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

async function serve(folder: string, port: number): Promise<ChildProcess> {
  const child = spawn(process.execPath, ['server.mjs'], { cwd: folder, stdio: ['ignore', 'inherit', 'inherit'] })
  closings.push(() => stop(child))
  await until(async () => (await globalThis.fetch(`http://localhost:${port}/api/users`)).ok)
  return child
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill()
  await once(child, 'exit')
}
