import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Demo } from '../../examples/demo/server.ts'
import { startExample } from '../../examples/script-tag/start.ts'
import { startBrowser, type TestBrowser } from '../support/browser'
import { until } from '../support/until'

let browser: TestBrowser
let example: Demo
beforeAll(async () => {
  example = await startExample({ port: 0 })
  browser = await startBrowser()
})
afterAll(async () => {
  await browser?.close()
  await example?.close()
})

test('one HTML file shows live data, on one connection for each source, and nothing to complain of', async () => {
  const page = await browser.openPage(example.url)
  const outputs = () => page.locator('output').allTextContents()
  const counters = async () => (await fetch(new URL('/api/server', example.url))).json()
  await until(() => page.locator('[data-millrace-status="live"]').count(), {
    accept: (live) => live === 5,
    what: 'five elements that are live',
  })
  await until(async () => (await outputs()).every((text) => text !== '…'))
  const [, price] = await outputs()
  expect(Number(price)).toBeGreaterThan(0)
  await until(async () => (await outputs())[1] !== price, 'another price')
  await until(async () => {
    const people = await page.locator('#people li').count()
    return people > 0 && (await page.locator('#count').textContent()) === `${people} people`
  })
  expect(await counters()).toMatchObject({ connections: { board: 1, ticker: 1 }, snapshots: 1 })
  expect(browser.errors).toEqual([])
  await page.goto('about:blank')
  await until(async () => Object.values((await counters()).connections).every((count) => count === 0))
})
