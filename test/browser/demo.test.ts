import { existsSync } from 'node:fs'
import type { Browser, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { launchChromium } from '../../examples/demo/chromium.ts'
import { type Demo, startDemo } from '../../examples/demo/server.ts'
import { until } from '../support/until.ts'

type Stream = 'board' | 'ticker' | 'crawl'
const streams: Stream[] = ['board', 'ticker', 'crawl']

let browser: Browser
let demo: Demo
let page: Page
let errors: string[]

beforeAll(async () => {
  if (!existsSync('dist/millrace.global.js'))
    throw new Error('The page uses dist/millrace.global.js: run `npm run build`.')
  browser = await launchChromium()
})
afterAll(() => browser?.close())

beforeEach(async () => {
  demo = await startDemo({ port: 0 })
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } })
  page = await context.newPage()
  errors = listenForErrors(page)
  await page.addInitScript(recordHistory)
  await page.goto(demo.url)
})
afterEach(async () => {
  await page?.context().close()
  await demo?.close()
})

describe('the demo page', { timeout: 90_000 }, () => {
  it('comes alive: three streams, one connection each, and nothing to complain of', async () => {
    await allAre('live')
    await eventually(async () => expect((await counters()).connections).toEqual({ board: 1, ticker: 1, crawl: 1 }))

    await theBoardIsRight()
    await changes('the prices', () => page.locator('#ticker .price').allTextContents())
    expect(await page.locator('#ticker .line').count()).toBe(8)
    await until(() => page.locator('output[data-millrace]').textContent(), 'a name in the line that is HTML alone')
    await eventually(async () => expect(await text('#race-connections')).toBe('1'))

    // That the machine is busy is not the page's doing.
    expect((await alerts()).filter((alert) => !alert.includes('pressure'))).toEqual([])
    expect(await text('[data-stat="health"]')).toBe('healthy')
    expect(errors).toEqual([])
  })

  it('draws the prices of each frame', async () => {
    await allAre('live')
    const line = () =>
      page
        .locator('#ticker .line')
        .first()
        .evaluate((canvas: HTMLCanvasElement) => canvas.toDataURL())
    await changes('the line', line)
    await changes('the line, again', line)
  })

  it('turns 300 more wheels on the one connection, which goes when the page is left', async () => {
    await allAre('live')
    for (let n = 0; n < 6; n++) await page.click('#add-wheels')
    expect(await text('#race-subscribers')).toBe('307')
    await eventually(async () => expect(Number(await vital('board', 'subscribers'))).toBeGreaterThan(300))
    // Two more polls of the counters, so that a connection too many would have been seen.
    const { uptime } = await counters()
    await until(async () => (await counters()).uptime >= uptime + 2)
    expect((await counters()).connections.board).toBe(1)
    expect(await text('#race-connections')).toBe('1')

    for (let n = 0; n < 7; n++) await page.click('#remove-wheels')
    expect(await text('#race-subscribers')).toBe('0')
    expect(await status('board')).toBe('live')

    await page.goto('about:blank')
    await noConnections()
    expect(errors).toEqual([])
  })

  it('completes a crawl once, with counts that only grow, and starts another', async () => {
    await allAre('live')
    await is('crawl', 'complete', 60_000)
    expect(await text('#crawl-count')).toBe('180')
    expect(await text('#crawl-total')).toBe('180')
    expect(await text('#crawl-ends')).toMatch(/^1, after \d+ s$/)
    expect(await text('#crawl-back')).toBe('0')
    const counts = (await history()).crawlCounts
    expect(counts.length).toBeGreaterThan(20)
    expect(counts).toEqual([...counts].sort((a, b) => a - b))
    await eventually(async () => expect((await counters()).connections.crawl).toBe(0))

    await page.click('#crawl-start')
    await is('crawl', 'live')
    await eventually(async () => expect(Number(await text('#crawl-count'))).toBeGreaterThan(10))
    expect(Number(await text('#crawl-count'))).toBeLessThan(180)
    expect((await counters()).connections.crawl).toBe(1)
    expect(errors).toEqual([])
  })

  it('stops everything at the switch, and brings all of it back', async () => {
    await allAre('live')
    await page.getByRole('switch').click()
    await allAre('paused')
    await noConnections()
    expect(await vital('board', 'why')).toBe('the sluice is shut')
    await eventually(async () => expect(await text('#race-connections')).toBe('0'))

    await page.getByRole('switch').click()
    await allAre('live')
    await theBoardIsRight()
    expect(errors).toEqual([])
  })

  it('goes on in a second tab when the first is closed', async () => {
    await allAre('live')
    const second = await page.context().newPage()
    errors.push(...listenForErrors(second))
    await second.goto(demo.url)
    for (const stream of streams) await second.locator(`#${stream}[data-status="live"]`).waitFor()
    expect((await counters()).connections).toEqual({ board: 1, ticker: 1, crawl: 1 })
    await eventually(async () => expect(await second.textContent('#tab-role')).toContain('follows'))
    expect(await text('#tab-role')).toContain('leads')
    await eventually(async () => expect(await text('#tab-count')).toBe('2'))

    await second.click('#reload-leader')
    await eventually(async () => expect(await second.textContent('#tab-role')).toContain('leads'))
    await eventually(async () => expect(await text('#tab-role')).toContain('follows'))
    await allAre('live')
    await eventually(async () => expect((await counters()).connections).toEqual({ board: 1, ticker: 1, crawl: 1 }))

    await page.close()
    page = second
    await eventually(async () => expect((await counters()).connections.board).toBe(1))
    await is('board', 'live')
    await is('ticker', 'live')
    await theBoardIsRight()
    expect(errors).toEqual([])
  })
})

describe('React, Vue and the script tag', { timeout: 90_000 }, () => {
  const panels = ['#in-react', '#in-vue', '#in-script']
  /** Of each of the three panels, at the same moment. */
  const inEach = (selector: string) =>
    page.evaluate(
      ([selector, ...panels]) =>
        panels.map((panel) =>
          [...document.querySelectorAll(`${panel} ${selector}`)].map((node) => node.textContent!.trim()),
        ),
      [selector, ...panels],
    )
  const allSay = (expected: string, within = 15_000) =>
    until(async () => (await inEach('.status')).join() === [expected, expected, expected].join(), {
      what: `all three to be ${expected}`,
      within,
    })

  it('show the same on the same connections, one for each source', async () => {
    await allSay('live')
    await eventually(async () => {
      const { users } = (await (await fetch(`${demo.url}api/board/users`)).json()) as { users: { name: string }[] }
      const here = users.map(({ name }) => name)
      expect(await inEach('.person')).toEqual([here, here, here])
      expect(await inEach('.figure strong')).toEqual(Array(3).fill([`${here.length}`]))
    }, 15_000)
    await changes('the price of oats', () => inEach('dd'))
    expect((await counters()).connections).toMatchObject({ board: 1, ticker: 1 })
    await eventually(async () => {
      const said = await inEach('[data-show="open"]')
      expect(said).toEqual(Array(3).fill(['1 board, 1 exchange']))
    })
    // Three copies of the bundle, one client: everybody's subscribers are in one book.
    const labels = await page.evaluate<string[]>(
      "Millrace.getClient().stats().channels.find(({ key }) => key === 'board').subscribers.map(({ label }) => label)",
    )
    expect(labels).toEqual(expect.arrayContaining(['useChannel board', 'InVue', 'board panel']))
    expect(errors).toEqual([])
  })

  it('fail together, are back together, and pause together', async () => {
    await allSay('live')
    await inflict('missing')
    await allSay('failed')
    await page.click('#heal')
    await eventually(async () => expect(await text('#weather')).toBe('The server is well.'))
    await page.click('#board [data-show="try-again"]')
    await allSay('live')
    await page.getByRole('switch').click()
    await allSay('paused')
    await page.getByRole('switch').click()
    await allSay('live')
    await eventually(async () => expect((await counters()).connections).toMatchObject({ board: 1 }))
    expectOnlyNetworkErrors()
  })

  it('leave and join by the keyboard, each alone, and open nothing for it', async () => {
    await allSay('live')
    const { snapshots } = await counters()
    for (const [at, panel] of panels.entries()) {
      const button = page.locator(`${panel} button`)
      await button.focus()
      await page.keyboard.press('Enter')
      await eventually(async () =>
        expect((await inEach('.status')).flat()).toEqual(panels.map((_, n) => (n === at ? 'idle' : 'live'))),
      )
      expect(await page.locator(panel).getAttribute('data-stale')).toBe('true')
      expect(await button.textContent()).toMatch(/^\s*Join\s+with (React|Vue|the script tag)\s*$/)
      await page.keyboard.press('Enter')
      await allSay('live')
    }
    expect(await counters()).toMatchObject({ connections: { board: 1, ticker: 1 }, snapshots })
    expect(errors).toEqual([])
  })
})

describe('what the field did', { timeout: 90_000 }, () => {
  beforeEach(async () => {
    await allAre('live')
    await listenToEvents()
  })

  it('drops all connections: back within seconds, and nothing is lost', async () => {
    await inflict('drop')
    for (const stream of streams) await went(stream, 'live', 'reconnecting', 'live')
    await theBoardIsRight()
    await eventually(async () => expect((await counters()).connections).toEqual({ board: 1, ticker: 1, crawl: 1 }))
    await everyEventCameOnce('board', 'ticker')
    expect(await text('#crawl-back')).toBe('0')
    expectOnlyNetworkErrors()
  })

  it('answers 503: counts down to the next attempt, polls what has a snapshot, and is back when the server is', async () => {
    await inflict('unavailable')
    await is('ticker', 'reconnecting')
    await until(() => vital('ticker', 'retry'), {
      accept: (retry) => /^in \d+\.\d s$/.test(retry),
      what: 'a countdown',
    })
    expect(Number(await vital('ticker', 'attempt'))).toBeGreaterThan(0)
    expect(await vital('ticker', 'data')).toMatch(/^stale, /)
    await eventually(async () => expect(await vital('ticker', 'error')).toContain('503'))
    await is('board', 'polling', 20_000)
    await theBoardIsRight()

    await is('ticker', 'live', 60_000)
    await is('board', 'live', 60_000)
    await went('crawl', 'reconnecting', 'live')
    expect(await vital('ticker', 'attempt')).toBe('0')
    await theBoardIsRight()
    const { snapshots, uptime } = await counters()
    await until(async () => (await counters()).uptime >= uptime + 6, {
      within: 20_000,
      what: 'longer than a poll takes',
    })
    expect((await counters()).snapshots).toBe(snapshots)
    await everyEventCameOnce('board')
    expectOnlyNetworkErrors()
  })

  it('goes silent: noticed without an error from the network, and replaced', async () => {
    await inflict('silent')
    await went('ticker', 'live', 'reconnecting', 'live')
    await went('board', 'live', 'reconnecting', 'live')
    await theBoardIsRight()
    await everyEventCameOnce('board')
    expectOnlyNetworkErrors()
  })

  it('is restarted: the page finds out, and shows what the new server knows', async () => {
    const port = Number(new URL(demo.url).port)
    await demo.close()
    for (const stream of streams) await is(stream, 'reconnecting')
    demo = await startDemo({ port })
    await is('board', 'live', 60_000)
    await theBoardIsRight()
    await is('ticker', 'live', 60_000)
    await changes('the prices', () => page.locator('#ticker .price').allTextContents())
    expectOnlyNetworkErrors()
  })

  it('answers 404: fails at once in words, and tries again when told to', async () => {
    await inflict('missing')
    await allAre('failed')
    for (const stream of streams) {
      expect(await vital(stream, 'error')).toMatch(new RegExp(`/api/${stream}/.*404`))
      expect((await history()).statuses[stream]).toEqual(expect.arrayContaining(['failed']))
    }
    await page.click('#heal')
    await eventually(async () => expect(await text('#weather')).toBe('The server is well.'))
    for (const stream of streams) await page.click(`#${stream} [data-show="try-again"]`)
    await allAre('live')
    await theBoardIsRight()
    expectOnlyNetworkErrors()
  })

  it('replays too much: what is known is dropped', async () => {
    await eventually(async () => expect(Number(await text('#crawl-count'))).toBeGreaterThan(20))
    await inflict('forgetful')
    for (const stream of streams) await went(stream, 'live', 'reconnecting', 'live')
    for (const stream of streams) {
      await eventually(async () => expect(figure(await vital(stream, 'duplicates'))).toBeGreaterThan(0))
    }
    await theBoardIsRight()
    await everyEventCameOnce('board', 'ticker')
    expect(await text('#crawl-back')).toBe('0')
    expectOnlyNetworkErrors()
  })

  it('sends garbage: counted and told, and not shown where there is a schema', async () => {
    await inflict('garbage')
    for (const stream of streams) {
      await eventually(async () => {
        const [invalid = 0, ignored = 0] = (await vital(stream, 'invalid')).split(', ').map(figure)
        expect(invalid).toBeGreaterThanOrEqual(2)
        expect(ignored).toBeGreaterThanOrEqual(1)
      })
      expect(await status(stream)).toBe('live')
    }
    await theBoardIsRight()
    await everyEventCameOnce('board', 'ticker')
    expect((await alerts()).some((alert) => alert.includes('invalid-event'))).toBe(true)
    // The line that is HTML alone has no schema: it shows what comes, as text.
    expect(await page.locator('img').count()).toBe(0)
    expect(errors).toEqual([])
  })

  it('floods: 10,000 prices at once, and all goes on', async () => {
    await inflict('flood')
    await eventually(async () =>
      expect(figure((await vital('ticker', 'rate')).split(', ')[0]!)).toBeGreaterThan(10_000),
    )
    await everyEventCameOnce('board', 'ticker')
    expect(await status('ticker')).toBe('live')
    expect((await history()).statuses.ticker).not.toContain('reconnecting')
    await changes('the prices', () => page.locator('#ticker .price').allTextContents())
    await theBoardIsRight()
    expect(errors).toEqual([])
  })

  it('runs away: at most 100 of 400 requests reach the server, and an alert names who asked', async () => {
    await page.click('#runaway-start')
    await eventually(async () => expect(await text('#runaway-refused')).toBe('300'))
    await eventually(async () => expect(await text('#runaway-reached')).toBe('100'))
    expect(await text('#runaway-asked')).toBe('400')
    expect((await counters()).sessions).toBe(100)
    expect(await text('#runaway-verdict')).toContain('useSessions')
    expect((await alerts()).find((alert) => alert.includes('runaway'))).toContain('useSessions')

    // The three streams have not noticed.
    await theBoardIsRight()
    for (const stream of streams) expect((await history()).statuses[stream]).not.toContain('reconnecting')
    expect(errors).toEqual([])
  })
})

describe('the page as such', { timeout: 90_000 }, () => {
  it('fits a width of 375 px', async () => {
    await page.setViewportSize({ width: 375, height: 812 })
    await allAre('live')
    for (let n = 0; n < 6; n++) await page.click('#add-wheels')
    await inflict('garbage')
    await until(async () => (await alerts()).length > 0)
    await inflict('missing')
    await allAre('failed')
    await page.locator('#in-react[data-status="failed"]').waitFor()
    await page.locator('#in-vue[data-status="failed"]').waitFor()
    const width = () => page.evaluate(() => document.documentElement.scrollWidth)
    expect(await width()).toBe(375)
  })

  it('shows where the keyboard is', async () => {
    await allAre('live')
    const seen = new Set<string>()
    for (let n = 0; n < 6; n++) {
      await page.keyboard.press('Tab')
      const [name = '', outline = ''] = await page.evaluate(() => {
        const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement!)
        return [document.activeElement!.textContent!.trim(), `${outlineStyle} ${outlineWidth}`]
      })
      expect(outline).toBe('solid 3px')
      seen.add(name)
    }
    expect(seen.size).toBe(6)
  })

  it('allows no script and no style but its own files', async () => {
    const answer = await fetch(demo.url)
    expect(answer.headers.get('content-security-policy')).toBe("default-src 'self'")
    expect(await answer.text()).not.toMatch(/<style|<script>|\sstyle=|\son\w+=/)
    for (const name of ['in-react', 'in-vue']) {
      const bundle = await fetch(`${demo.url}${name}.js`)
      expect(bundle.headers.get('content-security-policy')).toBe("default-src 'self'")
    }
  })
})

// What the page shows

const text = async (selector: string) => (await page.locator(selector).textContent())?.trim()
const vital = (stream: Stream, name: string) =>
  page.locator(`#${stream} [data-show="${name}"]`).evaluate((node) => node.textContent ?? '')
const status = (stream: Stream) => vital(stream, 'status')
const alerts = () => page.locator('#alerts li').allTextContents()
const figure = (shown: string) => Number(shown.replaceAll(',', ''))

const inflict = (fault: string) => page.click(`[data-fault="${fault}"]`)

async function is(stream: Stream, expected: string, within = 15_000): Promise<void> {
  await until(() => status(stream), {
    accept: (seen) => seen === expected,
    what: `the ${stream} to be ${expected}`,
    within,
  })
}

async function allAre(expected: string, within?: number): Promise<void> {
  for (const stream of streams) await is(stream, expected, within)
}

/** Waits until the status has passed through these, in this order. */
async function went(stream: Stream, ...expected: string[]): Promise<void> {
  await until(async () => (await history()).statuses[stream], {
    accept: (seen = []) => {
      let at = 0
      for (const each of seen) if (each === expected[at]) at += 1
      return at === expected.length
    },
    what: `the ${stream} to go ${expected.join(', ')}`,
    within: 40_000,
  })
}

/** Waits until an assertion holds. */
async function eventually(assertion: () => Promise<unknown>, within = 15_000): Promise<void> {
  await until(() => assertion().then(() => true), { within, what: 'an assertion' })
}

async function changes(what: string, read: () => Promise<unknown>): Promise<void> {
  const before = JSON.stringify(await read())
  await until(async () => JSON.stringify(await read()) !== before, `${what} to change`)
}

/** Everybody whom the server has on the board is on the page, and nobody else. */
async function theBoardIsRight(): Promise<void> {
  await eventually(async () => {
    const { users } = (await (await fetch(`${demo.url}api/board/users`)).json()) as { users: { name: string }[] }
    const shown = await page.locator('#board .person > :last-child').allTextContents()
    expect(shown.sort()).toEqual(users.map(({ name }) => name).sort())
  }, 15_000)
}

// What the server has counted

interface Counters {
  uptime: number
  connections: Record<Stream, number>
  snapshots: number
  sessions: number
}

async function counters(): Promise<Counters> {
  return (await (await fetch(`${demo.url}api/server`)).json()) as Counters
}

async function noConnections(): Promise<void> {
  await eventually(async () => expect((await counters()).connections).toEqual({ board: 0, ticker: 0, crawl: 0 }))
}

// What happened in between

interface History {
  statuses: Partial<Record<Stream, string[]>>
  crawlCounts: number[]
}

const history = () => page.evaluate(() => (window as unknown as { seen: History }).seen)

/** Subscribes once more, and keeps the number of each event: the demo's ids are those of its journal, `run-number`. */
async function listenToEvents(): Promise<void> {
  await page.evaluate(`
    window.heard = { board: [], ticker: [] }
    for (const stream of ['board', 'ticker'])
      Millrace.subscribe('/api/' + stream + '/stream', ({ id }) => id && heard[stream].push(Number(id.split('-')[1])))
  `)
}

/** Each event that was heard follows the one before: none is missing, doubled or late. */
async function everyEventCameOnce(...of: ('board' | 'ticker')[]): Promise<void> {
  for (const stream of of) {
    // On the board more than a second may pass without one.
    const heard = await until(() => page.evaluate<number[]>(`heard.${stream}`), {
      accept: ({ length }) => length > 0,
      what: `an event of the ${stream}`,
    })
    expect(heard).toEqual(heard.map((_, n) => heard[0]! + n))
  }
}

/** Runs in the page, before its scripts: keeps each status and each count that was ever shown. */
function recordHistory(): void {
  const seen: History = { statuses: {}, crawlCounts: [] }
  Object.assign(window, { seen })
  new MutationObserver((changes) => {
    for (const { target } of changes) {
      if (!(target instanceof HTMLElement)) continue
      const { id, dataset } = target
      const statuses = seen.statuses[id as Stream] ?? []
      if (dataset.status && statuses.at(-1) !== dataset.status) {
        seen.statuses[id as Stream] = [...statuses, dataset.status]
      }
      if (id === 'crawl-count') seen.crawlCounts.push(Number(target.textContent))
    }
  }).observe(document, { subtree: true, childList: true, attributeFilter: ['data-status'] })
}

function listenForErrors(page: Page): string[] {
  const found: string[] = []
  page.on('console', (message) => message.type() === 'error' && found.push(message.text()))
  page.on('pageerror', (error) => found.push(error.stack ?? error.message))
  return found
}

/** A browser logs each request that a fault spoiled. Nothing else may be wrong. */
function expectOnlyNetworkErrors(): void {
  expect(errors.filter((error) => !/^Failed to load resource: /.test(error))).toEqual([])
}
