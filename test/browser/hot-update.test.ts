import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import react from '@vitejs/plugin-react'
import vue from '@vitejs/plugin-vue'
import type { Page } from 'playwright-core'
import { createServer, type Plugin, type ViteDevServer } from 'vite'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { block, type Feed, startFeed } from '../behaviour/channels/watch'
import { startBrowser, type TestBrowser } from '../support/browser'
import { closeServers } from '../support/http-server'
import { until } from '../support/until'

/** The same page, whose channel is a module of its own. */
const CHANNEL = `
  import { defineChannel } from 'millrace'
  export const turns = defineChannel({
    key: 'turns', stream: '/api/stream', initial: '', reduce: (state, { data }) => data + ' first',
  })`
const withModule = (files: Record<string, string>): Record<string, string> => ({
  ...Object.fromEntries(
    Object.entries(files).map(([name, text]) => [
      name,
      text
        .replace("import { defineChannel } from 'millrace'", "import { turns } from './turns.js'")
        .replace("const turns = defineChannel({ key: 'turns', stream: '/api/stream' })", '')
        .replace("defineChannel({ key: 'turns', stream: '/api/stream' })", 'turns'),
    ]),
  ),
  'turns.js': CHANNEL,
  // Vite takes over that this is a test.
  'main.js': `
    import { configure } from 'millrace'
    configure({ environment: 'development' })
    ${files['main.js']}`,
})

/** A page of one component, whose file makes its channel too: each edit makes it anew. */
const projects = {
  React: {
    plugins: [react()],
    component: 'Wheel.jsx',
    files: {
      'main.js': `
        import { stats } from 'millrace'
        import { createElement, StrictMode } from 'react'
        import { createRoot } from 'react-dom/client'
        window.stats = stats
        import { Wheel } from './Wheel.jsx'
        createRoot(document.getElementById('app')).render(createElement(StrictMode, {}, createElement(Wheel)))`,
      'Wheel.jsx': `
        import { defineChannel } from 'millrace'
        import { useChannel } from 'millrace/react'
        import { useState } from 'react'
        const turns = defineChannel({ key: 'turns', stream: '/api/stream' })
        export function Wheel() {
          const [clicks, setClicks] = useState(0)
          const { data, status } = useChannel(turns)
          return <button onClick={() => setClicks(clicks + 1)}>{'first'} {status} {data} {clicks}</button>
        }`,
    },
  },
  Vue: {
    plugins: [vue()],
    component: 'Wheel.vue',
    files: {
      'main.js': `
        import { stats } from 'millrace'
        import { createApp } from 'vue'
        import Wheel from './Wheel.vue'
        window.stats = stats
        createApp(Wheel).mount('#app')`,
      'Wheel.vue': `
        <script setup>
        import { defineChannel } from 'millrace'
        import { useChannel } from 'millrace/vue'
        import { ref } from 'vue'
        const clicks = ref(0)
        const { data, status } = useChannel(defineChannel({ key: 'turns', stream: '/api/stream' }))
        </script>
        <template>
          <button @click="clicks += 1">{{ 'first' }} {{ status }} {{ data }} {{ clicks }}</button>
        </template>`,
    },
  },
} satisfies Record<string, { plugins: (Plugin | Plugin[])[]; component: string; files: Record<string, string> }>

let browser: TestBrowser
let feed: Feed
let folder: string
let vite: ViteDevServer | undefined
let page: Page
beforeAll(async () => {
  if (!existsSync('dist/react.js')) throw new Error('The pages use dist: run `npm run build`.')
  browser = await startBrowser()
})
afterAll(() => browser?.close())
afterEach(async () => {
  await page?.close()
  await vite?.close()
  await closeServers()
  await rm(folder, { recursive: true, force: true })
})

async function open({
  plugins,
  files,
}: {
  plugins: (Plugin | Plugin[])[]
  files: Record<string, string>
}): Promise<void> {
  feed = await startFeed()
  folder = await mkdtemp(join(tmpdir(), 'millrace-hot-'))
  await symlink(resolve('node_modules'), join(folder, 'node_modules'))
  await write(
    'index.html',
    '<!doctype html><link rel="icon" href="data:," /><div id="app"></div><script type="module" src="/main.js"></script>',
  )
  for (const [name, text] of Object.entries(files)) await write(name, text)
  vite = await createServer({
    root: folder,
    configFile: false,
    cacheDir: join(folder, 'cache'),
    logLevel: 'error',
    plugins,
    resolve: {
      alias: [
        { find: /^millrace$/, replacement: resolve('dist/index.js') },
        { find: /^millrace\/([^/]+)$/, replacement: resolve('dist/$1.js') },
      ],
    },
    server: { host: '127.0.0.1', port: 0, fs: { strict: false }, proxy: { '/api': feed.server.origin } },
  })
  await vite.listen()
  page = await browser.openPage(vite.resolvedUrls?.local[0] ?? '')
}

const write = (name: string, text: string) => writeFile(join(folder, name), text)
const shown = async () => (await page.locator('button').textContent())?.replace(/\s+/g, ' ').trim()
const shows = (text: string) =>
  until(shown, { accept: (seen) => seen === text, what: `the page to show "${text}"`, within: 20_000 })

/**
 * Saves a file with its texts exchanged, and waits for what comes of it in the page. Vite's watcher drops a change that comes
 * soon after another, or while the machine is busy: whoever edits then saves again.
 */
async function edit(name: string, texts: Record<string, string>, what: string, arrived: () => unknown): Promise<void> {
  let text = await readFile(join(folder, name), 'utf8')
  for (const [from, to] of Object.entries(texts)) {
    expect(text).toContain(from)
    text = text.replaceAll(from, to)
  }
  let savedAt = Number.NEGATIVE_INFINITY
  const hasArrived = async () => {
    if (performance.now() > savedAt + 2_000) {
      await write(name, text)
      savedAt = performance.now()
    }
    return arrived()
  }
  await until(hasArrived, { what, within: 30_000 })
}

describe.each(Object.entries(projects))('a component in %s that is edited while its page is open', (_, project) => {
  test('keeps its state and its connection', { timeout: 90_000 }, async () => {
    await open(project)
    await until(() => page.locator('button').count(), { what: 'the component', within: 30_000 })
    await until(() => feed.open === 1)
    feed.write(block(1))
    await shows('first live 1 0')
    for (let n = 0; n < 3; n += 1) await page.locator('button').click()
    await shows('first live 1 3')
    await page.evaluate('window.isTheSame = true')

    for (const [n, [from, to]] of [
      ['first', 'second'],
      ['second', 'third'],
      ['third', 'fourth'],
    ].entries()) {
      const before = `${to} live ${n + 1} 3`
      await edit(project.component, { [from!]: to! }, before, async () => (await shown()) === before)
      // What was subscribed before is there no more, and what is there now hears.
      feed.write(block(n + 2))
      await shows(`${to} live ${n + 2} 3`)
    }
    const subscribers = () => page.evaluate<number>('window.stats().subscriptions.active')
    expect(await subscribers()).toBe(1)

    // Its logic changes: React keeps the state all the same, Vue makes the component anew.
    const texts = { 'useChannel(': 'useChannel(null ?? ', fourth: 'fifth' }
    await edit(project.component, texts, 'the last edit', async () => (await shown())?.startsWith('fifth live 4'))
    expect(await subscribers()).toBe(1)
    expect(await page.evaluate('window.isTheSame')).toBe(true)
    expect(feed.streamRequests).toHaveLength(1)
    expect(feed.open).toBe(1)
    expect(browser.errors).toEqual([])
  })

  test('moves over to another target and another reducer of its channel, without a reload', {
    timeout: 90_000,
  }, async () => {
    await open({ ...project, files: withModule(project.files) })
    await until(() => feed.open === 1, { what: 'the stream', within: 30_000 })
    feed.write(block(1))
    await shows('first live 1 first 0')
    await page.evaluate('window.isTheSame = true')

    await edit('turns.js', { "data + ' first'": "data + ' second'" }, 'the new reducer', async () => {
      // Until the edit has reached the page, what comes is folded as before.
      feed.write(block(2))
      return (await shown())?.includes('2 second')
    })
    await until(async () => (await shown())?.startsWith('first live'), { within: 20_000 })

    await edit(
      'turns.js',
      { '/api/stream': '/api/stream?anew' },
      'the new stream alone',
      () => feed.streamRequests.at(-1)?.url.endsWith('?anew') && feed.open === 1,
    )
    feed.write(block(3))
    await until(async () => (await shown())?.includes('3 second'), { what: 'an event of it', within: 20_000 })
    expect(await page.evaluate('window.isTheSame')).toBe(true)
    expect(browser.errors).toEqual([])
  })
})
