import { existsSync } from 'node:fs'
import type { Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Example, serveExample } from '../../examples/serve-example.ts'
import { startBrowser, type TestBrowser } from '../support/browser'
import { until } from '../support/until'

let browser: TestBrowser
let example: Example
let page: Page

beforeAll(async () => {
  if (!existsSync('dist/react.js')) throw new Error('The example uses dist/react.js: run `npm run build`.')
  browser = await startBrowser()
})
afterAll(() => browser?.close())
beforeEach(async () => {
  example = await serveExample('react', { port: 0 })
  page = await browser.openPage(example.url)
})
afterEach(async () => {
  await page?.close()
  await example?.close()
})

const text = (selector: string) => page.locator(selector).first().textContent()
const connections = async (): Promise<{ board: number; ticker: number }> =>
  (await (await fetch(`${example.demo.url}api/server`)).json()).connections
const statuses = () => page.locator('.status').allTextContents()
const goTo = (name: string) => page.getByRole('button', { name, exact: true }).click()

describe('the example in React', { timeout: 90_000 }, () => {
  test('shows live data on one connection per source, in StrictMode, without a complaint', async () => {
    await until(async () => (await statuses()).join() === 'live,live', { within: 20_000 })
    expect(await connections()).toMatchObject({ board: 1, ticker: 1 })

    const users = async () => {
      const response = await fetch(`${example.demo.url}api/board/users`)
      return ((await response.json()) as { users: { name: string }[] }).users
        .map(({ name }) => name)
        .sort()
        .join()
    }
    const shown = async () =>
      (await page.locator('.people li').evaluateAll((all) => all.map((li) => li.lastChild!.textContent!.trim())))
        .sort()
        .join()
    await until(async () => (await shown()) === (await users()), 'the board to be what the server says')
    const before = await text('#ticker output')
    await until(async () => (await text('#ticker output')) !== before)
    expect(await page.locator('.grains li').count()).toBe(8)
    await until(async () => (await text('#connections'))?.startsWith('1 + 1'))
    await until(async () => (await text('#visitors'))?.includes('came last'), { within: 15_000 })
    expect(browser.errors).toEqual([])
  })

  test('keeps its connections through route changes, and gives them back', async () => {
    await until(async () => (await statuses()).join() === 'live,live', { within: 20_000 })
    for (const name of ['Board', 'Mill', 'Ticker', 'Mill', 'Board', 'Ticker', 'Mill']) {
      await goTo(name)
      // What is known is shown at once.
      expect(await statuses()).toEqual(name === 'Mill' ? ['live', 'live'] : ['live'])
      expect(await connections()).toMatchObject({ board: 1, ticker: 1 })
    }
    await goTo('Board')
    await until(async () => (await connections()).ticker === 0, 'the ticker that nobody shows to be left')
    expect((await connections()).board).toBe(1)
    await page.goto('about:blank')
    await until(async () => (await connections()).board === 0)
    expect(browser.errors).toEqual([])
  })

  test('notices a connection that died behind a proxy, says so, and comes back', async () => {
    await until(async () => (await statuses()).join() === 'live,live', { within: 20_000 })
    await goTo('Ticker')
    await fetch(`${example.demo.url}api/faults/drop`, { method: 'POST' })
    await until(async () => (await statuses()).join() === 'reconnecting', { within: 15_000 })
    await until(async () => (await statuses()).join() === 'live', { within: 15_000 })
    expect((await connections()).ticker).toBe(1)
  })
})
