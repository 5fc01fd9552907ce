import { resolve } from 'node:path'
import type { Page } from 'playwright-core'
import { afterEach, describe, expect, test } from 'vitest'
import { closeBrowsers, servePages, startBrowser } from '../support/browser'
import { closeServers, type RecordedRequest, startStream } from '../support/http-server'
import { until } from '../support/until'

afterEach(closeBrowsers)
afterEach(closeServers)

/** What the page's own script leaves to be read from here. */
interface Life {
  ids: number[]
  states: { status: string; pausedBy?: string }[]
  polls: { status: string; pausedBy?: string }[]
  restored: number
}

const SCRIPT = `
  window.life = { ids: [], states: [], polls: [], restored: 0 }
  addEventListener('pageshow', (event) => { if (event.persisted) life.restored += 1 })
  window.client = Millrace.createClient({ environment: 'test', backoff: { base: 50, cap: 100 } })
  const told = (list) => ({ status, pausedBy }) => list.push({ status, pausedBy })
  if (location.search !== '?poll')
    client.subscribe('/stream', { next: ({ id }) => life.ids.push(Number(id)), state: told(life.states) })
  if (location.search === '?poll')
    client.subscribe(Millrace.defineChannel({ key: 'p', snapshot: '/poll', interval: 200 }), { state: told(life.polls) })
`

/** A browser with one page of ours, and a journal that replays by \`Last-Event-ID\`. */
async function live({ bfcache = false, query = '' } = {}) {
  const writers = new Set<(text: string) => void>()
  let last = 0
  const server = await servePages(
    {
      '/': '<!doctype html><link rel="icon" href="/icon"><script src="/millrace.global.js"></script><script src="/script.js"></script>',
      '/away': '<!doctype html><link rel="icon" href="/icon">away',
      '/script.js': SCRIPT,
      '/icon': '',
    },
    {
      folder: resolve('dist'),
      handler({ url, headers }, response) {
        if (url === '/poll') return response.writeHead(200, { 'content-type': 'application/json' }).end('{"n":1}')
        if (url === '/plain') return response.writeHead(200).end('plain')
        if (!url.startsWith('/stream')) return response.writeHead(404).end()
        startStream(response)
        const write = (text: string) => response.write(text)
        writers.add(write)
        response.once('close', () => writers.delete(write))
        const known = headers['last-event-id']
        if (known !== undefined) for (let id = Number(known) + 1; id <= last; id += 1) write(frame(id))
      },
    },
  )
  const browser = await startBrowser({ bfcache })
  const page = await browser.openPage(server.url(`/${query}`))
  const asked = (path: string): RecordedRequest[] => server.requests.filter(({ url }) => url === path)
  const read = (): Promise<Life> => page.evaluate(() => (window as never as { life: Life }).life)
  return {
    browser,
    page,
    asked,
    read,
    server,
    get open() {
      return writers.size
    },
    append(count = 1) {
      for (let n = 0; n < count; n += 1) {
        last += 1
        for (const write of writers) write(frame(last))
      }
      return last
    },
    isLive: () => until(async () => (await read()).states.at(-1)?.status === 'live', 'a live stream'),
    /** Fails unless all events are there, each once and in order. */
    async hasAll() {
      const all = Array.from({ length: last }, (_, n) => n + 1)
      await until(async () => (await read()).ids.at(-1) === last, 'the last event')
      expect((await read()).ids).toEqual(all)
    },
  }

  function frame(id: number): string {
    return `id: ${id}\ndata: ${id}\n\n`
  }
}

/**
 * What a page is told when it is frozen, and when it goes on. Chromium itself freezes hidden pages alone, over CDP too,
 * and the driver keeps every page visible: so the events are sent by hand, and what a freeze does to a fetch stream (it
 * never moves again) is not part of this.
 */
const tell = (page: Page, event: 'freeze' | 'resume') =>
  page.evaluate((type) => document.dispatchEvent(new Event(type)), event)

describe('a page that is left and comes back', { timeout: 90_000 }, () => {
  test('from the back/forward cache replaces its stream, and has every event once', async () => {
    const at = await live({ bfcache: true })
    await at.isLive()
    at.append(3)
    await at.hasAll()
    await at.page.goto(at.server.url('/away'))
    await until(() => at.open === 0, 'the stream of a page in the cache to be closed')
    at.append(4)
    // A page from the cache loads nothing, so nothing tells of its load.
    await at.page.goBack({ waitUntil: 'commit' })
    await until(async () => (await at.read()).restored === 1, 'the page to be restored')
    await at.hasAll()
    at.append(2)
    await at.hasAll()
    expect(at.asked('/stream').map(({ headers }) => headers['last-event-id'])).toEqual([undefined, '3'])
    expect(at.browser.errors).toEqual([])
  })

  test('from a freeze closes its stream at its beginning, replaces it at its end, and has every event once', async () => {
    const at = await live()
    await at.isLive()
    at.append(3)
    await at.hasAll()
    await tell(at.page, 'freeze')
    await until(() => at.open === 0, 'the stream of a frozen page to be closed')
    at.append(5)
    await tell(at.page, 'resume')
    await at.hasAll()
    at.append(1)
    await at.hasAll()
    const { states } = await at.read()
    expect(states.map(({ pausedBy }) => pausedBy)).toContain('hidden')
    expect(states.at(-1)).toMatchObject({ status: 'live' })
    expect(at.asked('/stream')).toHaveLength(2)
  })

  test('from several freezes in a row makes one attempt for each', async () => {
    const at = await live()
    await at.isLive()
    for (let round = 1; round <= 3; round += 1) {
      at.append(2)
      await at.hasAll()
      await tell(at.page, 'freeze')
      await until(() => at.open === 0)
      at.append(2)
      await tell(at.page, 'resume')
      await at.hasAll()
      expect(at.asked('/stream')).toHaveLength(1 + round)
    }
  })
})

/** Playwright keeps every tab visible: this is what a page sees of a tab in the background. */
const show = (page: Page, state: 'hidden' | 'visible') =>
  page.evaluate((next) => {
    Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => next })
    document.dispatchEvent(new Event('visibilitychange'))
  }, state)

test('a hidden page polls no more, and asks at once when it is seen again', { timeout: 90_000 }, async () => {
  const at = await live({ query: '?poll' })
  await until(() => at.asked('/poll').length >= 3, 'three polls')
  await show(at.page, 'hidden')
  expect((await at.read()).polls.at(-1)).toMatchObject({ status: 'paused', pausedBy: 'hidden' })
  const timers = await at.page.evaluate(
    () => (window as never as { client: { stats(): { timers: unknown[] } } }).client.stats().timers,
  )
  expect(timers).toEqual([])
  const before = at.asked('/poll').length
  await show(at.page, 'visible')
  await until(() => at.asked('/poll').length > before)
  expect((await at.read()).polls.at(-1)!.pausedBy).toBeUndefined()
})

test('a hidden page keeps its stream', { timeout: 90_000 }, async () => {
  const at = await live()
  await at.isLive()
  await show(at.page, 'hidden')
  at.append(3)
  await at.hasAll()
  expect(at.asked('/stream')).toHaveLength(1)
})

test('offline pauses with a name, online makes one attempt in place of what may be dead', {
  timeout: 90_000,
}, async () => {
  const at = await live()
  await at.isLive()
  at.append(2)
  await at.hasAll()
  await at.browser.context.setOffline(true)
  await until(async () => (await at.read()).states.at(-1)?.pausedBy === 'offline', 'a pause')
  expect((await at.read()).states.at(-1)).toMatchObject({ status: 'paused', pausedBy: 'offline' })
  await at.browser.context.setOffline(false)
  await until(() => at.asked('/stream').length === 2)
  at.append(3)
  await at.hasAll()
  expect(at.asked('/stream')).toHaveLength(2)
  expect((await at.read()).states.map(({ status }) => status)).not.toContain('failed')
})

const threeLiveThreeWaiting = [...Array(3).fill('live undefined'), ...Array(3).fill('paused stream-limit')]

test('a fifth stream waits with a name, so that a plain request still gets through', { timeout: 90_000 }, async () => {
  const at = await live()
  await at.isLive()
  await at.page.evaluate(() => {
    const { client } = window as never as {
      client: { subscribe(url: string, observer: object): { state: { status: string; pausedBy: string } } }
    }
    const all = [2, 3, 4, 5, 6, 7].map((n) => client.subscribe(`/stream?n=${n}`, {}))
    Object.assign(window, { all: () => all.map(({ state: { status, pausedBy } }) => `${status} ${pausedBy}`) })
  })
  // A slot is a lock, so its answer takes a turn of the browser's; which of the six asked first is not said.
  const statuses = () => at.page.evaluate(() => (window as never as { all(): string[] }).all().sort())
  await until(async () => expect(await statuses()).toEqual(threeLiveThreeWaiting) ?? true, 'three live, three waiting')
  await until(() => at.open === 4, 'four streams')
  const answer = await at.page.evaluate(() =>
    Promise.race([
      fetch('/plain').then((response) => response.text()),
      new Promise((resolve) => setTimeout(resolve, 5_000, 'nothing')),
    ]),
  )
  expect(answer).toBe('plain')
  expect(at.open).toBe(4)
})
