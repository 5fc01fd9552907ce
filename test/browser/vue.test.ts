import { existsSync } from 'node:fs'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Example, startExample } from '../../examples/vue/start.ts'
import { startBrowser, type TestBrowser } from '../support/browser'
import { until } from '../support/until'

let browser: TestBrowser
let example: Example
let page: Page
beforeAll(async () => {
  if (!existsSync('dist/vue.js')) throw new Error('The page uses dist/vue.js: run `npm run build`.')
  example = await startExample({ port: 0 })
  browser = await startBrowser()
  page = await browser.openPage(example.url)
})
afterAll(async () => {
  await browser?.close()
  await example?.close()
})

const text = (selector: string) => page.locator(selector).first().textContent()
const counters = async () => (await fetch(new URL('/api/server', example.demo.url))).json()

test('the example shows live data, on one connection for each source, and nothing to complain of', async () => {
  for (const id of ['board', 'ticker'])
    await until(() => page.locator(`#${id}[data-status="live"]`).count(), { what: `a live ${id}`, within: 20_000 })
  await until(async () => (await page.locator('#ticker tbody tr').count()) === 8)
  const price = await text('.price')
  await until(async () => (await text('.price')) !== price, 'another price')
  await until(async () => (await text('.latest'))?.endsWith('has joined'), 'somebody who joins')
  const { connections, snapshots } = await counters()
  expect(connections).toMatchObject({ board: 1, ticker: 1 })
  expect(snapshots).toBe(1)

  // 20 more components that ask for the board.
  await page.locator('button').click()
  await page.locator('button').click()
  await until(async () => (await page.locator('.count').count()) === 21)
  await until(async () => {
    const counts = await page.locator('.count').allTextContents()
    const people = await page.locator('.person:not(.chip-leave-active)').count()
    return new Set(counts).size === 1 && counts[0] === `${people}`
  }, 'the number of people, 21 times')
  expect(await counters()).toMatchObject({ connections: { board: 1, ticker: 1 }, snapshots: 1 })
  expect(browser.errors).toEqual([])
})

test('the example loses its server, says so, and goes on by itself', async () => {
  await fetch(new URL('/api/faults/drop', example.demo.url), { method: 'POST' })
  await until(() => page.locator('#board[data-status="reconnecting"]').count(), 'the loss')
  expect(await text('#board .status')).toMatch(/Next attempt at/)
  await until(() => page.locator('#board[data-status="live"]').count(), { what: 'the return', within: 15_000 })
  await page.goto('about:blank')
  await until(async () => Object.values((await counters()).connections).every((count) => count === 0))
})
