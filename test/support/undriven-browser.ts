import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { findChromium } from '../tools/ensure-chromium'
import { QUIET } from './browser'
import { until } from './until'

/** A tab that nobody looks into: what it does, it has to tell its server. */
export interface UndrivenTab {
  /** As the browser freezes a tab in the background; resolves when it is. */
  freeze(): Promise<void>
  /** Brings it to the front. */
  thaw(): Promise<void>
  close(): Promise<void>
}

export interface UndrivenBrowser {
  /** Each tab needs a URL of its own. */
  open(url: string): Promise<UndrivenTab>
  close(): Promise<void>
}

const running = new Set<UndrivenBrowser>()

/**
 * Chromium freezes no page that a debugger is attached to, and test drivers attach to every page. Here one is attached to
 * `chrome://discards` alone, the browser's own list of tabs, which has a button that freezes one.
 */
export async function startUndrivenBrowser(): Promise<UndrivenBrowser> {
  const executablePath = findChromium()
  if (!executablePath) throw new Error('No Chromium: put it on the PATH, or its path into CHROMIUM_PATH')
  const profile = await mkdtemp(join(tmpdir(), 'millrace-browser-'))
  await writeFile(join(profile, 'Local State'), '{"internal_only_uis_enabled":true}')
  const args = [...QUIET, '--headless=new', '--remote-debugging-pipe', `--user-data-dir=${profile}`, 'about:blank']
  const child = spawn(executablePath, args, { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] })
  const exited = once(child, 'exit')
  const send = speak(child.stdio[3] as Writable, child.stdio[4] as Readable)
  const browser: UndrivenBrowser = { open, close }
  running.add(browser)

  const list = await create('chrome://discards')
  const { sessionId } = await send('Target.attachToTarget', { targetId: list, flatten: true })
  await until(() => inList('rows.length > 0'), 'the list of tabs')
  return browser

  async function create(url: string): Promise<string> {
    const { targetId } = await send('Target.createTarget', { url })
    return targetId as string
  }

  async function inList(expression: string): Promise<unknown> {
    const found = `const list = document.querySelector('discards-main').shadowRoot.querySelector('discards-tab')
      const rows = [...list.shadowRoot.querySelectorAll('tbody tr')]`
    const asked = { expression: `(() => { ${found}; return ${expression} })()`, returnByValue: true }
    const { result } = await send('Runtime.evaluate', asked, sessionId as string)
    return (result as { value?: unknown }).value
  }

  async function open(url: string): Promise<UndrivenTab> {
    const targetId = await create(url)
    const row = `rows.find((row) => row.querySelector('.tab-url-cell').innerText.trim() === ${JSON.stringify(url)})`
    return {
      async freeze() {
        // What is seen is not frozen.
        await send('Target.activateTarget', { targetId: list })
        await until(() => inList(`/\\bhidden\\b/.test(${row}?.innerText)`), 'the tab to be hidden')
        await inList(
          `[...${row}.querySelectorAll('.actions-cell > *')].find((link) => /Freeze/.test(link.innerText)).click()`,
        )
        await until(() => inList(`/\\bfrozen\\b/.test(${row}?.innerText)`), 'the tab to be frozen')
      },
      thaw: async () => void (await send('Target.activateTarget', { targetId })),
      close: async () => void (await send('Target.closeTarget', { targetId })),
    }
  }

  async function close(): Promise<void> {
    running.delete(browser)
    void send('Browser.close').catch(() => {})
    await exited
    await rm(profile, { recursive: true, force: true, maxRetries: 5 })
  }
}

/** For `afterEach`. */
export async function closeUndrivenBrowsers(): Promise<void> {
  await Promise.all([...running].map((browser) => browser.close()))
}

type Send = (
  method: string,
  params?: Readonly<Record<string, unknown>>,
  sessionId?: string,
) => Promise<Readonly<Record<string, unknown>>>

/** The DevTools protocol over the browser's pipe: JSON, each message ended by a zero byte. */
function speak(to: Writable, from: Readable): Send {
  const waiting = new Map<number, (answer: { result?: object; error?: { message: string } }) => void>()
  let asked = 0
  let rest = ''
  from.setEncoding('utf8').on('data', (text: string) => {
    const messages = (rest + text).split('\0')
    rest = messages.pop() ?? ''
    for (const message of messages) {
      const answer = JSON.parse(message)
      waiting.get(answer.id)?.(answer)
      waiting.delete(answer.id)
    }
  })
  return (method, params = {}, sessionId) =>
    new Promise((resolve, reject) => {
      const id = ++asked
      waiting.set(id, ({ result, error }) =>
        error ? reject(new Error(`${method}: ${error.message}`)) : resolve(result as never),
      )
      to.write(`${JSON.stringify({ id, method, params, ...(sessionId && { sessionId }) })}\0`)
    })
}
