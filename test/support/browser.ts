import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { extname, join, normalize } from 'node:path'
import { type BrowserContext, chromium, type Page } from 'playwright-core'
import { findChromium } from '../tools/ensure-chromium'
import { type Handler, startServer, type TestServer } from './http-server'

export interface TestBrowser {
  /** Opens a tab. All tabs share one profile, and with it storage, locks and channels. */
  openPage(url: string): Promise<Page>
  /** Uncaught errors and `console.error` of all tabs so far. */
  readonly errors: readonly string[]
  readonly context: BrowserContext
  close(): Promise<void>
}

const running = new Set<TestBrowser>()

/** Chromium looks up hosts of its maker at every start unless told not to; a test speaks with the loopback alone. */
export const QUIET = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/** The system's Chromium with a new profile. `bfcache` lets pages be kept when they are left, as users' browsers do. */
export async function startBrowser({ bfcache = false, args = [] as readonly string[] } = {}): Promise<TestBrowser> {
  const executablePath = findChromium()
  if (!executablePath) throw new Error('No Chromium: put it on the PATH, or its path into CHROMIUM_PATH')
  const profile = await mkdtemp(join(tmpdir(), 'millrace-browser-'))
  const context = await chromium.launchPersistentContext(profile, {
    executablePath,
    headless: true,
    args: [...QUIET, ...args],
    ignoreDefaultArgs: bfcache ? ['--disable-back-forward-cache'] : [],
  })
  const errors: string[] = []
  context.on('weberror', (event) => errors.push(String(event.error().stack ?? event.error())))
  context.on('console', (message) => {
    if (message.type() === 'error') errors.push(message.text())
  })

  const browser: TestBrowser = { openPage, errors, context, close }
  running.add(browser)
  return browser

  async function openPage(url: string): Promise<Page> {
    const page = await context.newPage()
    await page.goto(url)
    return page
  }

  async function close(): Promise<void> {
    running.delete(browser)
    await context.close()
    await rm(profile, { recursive: true, force: true, maxRetries: 5 })
  }
}

/** For `afterEach`. */
export async function closeBrowsers(): Promise<void> {
  await Promise.all([...running].map((browser) => browser.close()))
}

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
}

/**
 * Serves pages given as text by their path (`{ '/': '<!doctype html>...' }`), then the files of `folder`; what neither
 * has goes to `handler`, which may stream.
 */
export function servePages(
  pages: Record<string, string>,
  { folder, handler }: { folder?: string; handler?: Handler } = {},
): Promise<TestServer> {
  return startServer(async (request, response, raw) => {
    const path = decodeURIComponent(new URL(request.url, 'http://localhost').pathname)
    const body = pages[path] ?? (folder && (await readIn(folder, path)))
    const type = TYPES[extname(path)] ?? TYPES['.html']
    if (body !== undefined) response.writeHead(200, { 'content-type': type }).end(body)
    else if (handler) await handler(request, response, raw)
    else response.writeHead(404).end()
  })
}

async function readIn(folder: string, path: string): Promise<Buffer | undefined> {
  try {
    // Normalised from the root, so that no `..` leaves the folder.
    return await readFile(join(folder, normalize(join('/', path))))
  } catch {
    return undefined
  }
}
