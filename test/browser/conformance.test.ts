import { afterAll } from 'vitest'
import { testInBrowser } from '../conformance/in-browser'
import { closeBrowsers, startBrowser } from '../support/browser'

afterAll(closeBrowsers)

testInBrowser('Chromium', async (url) => {
  const page = await (await startBrowser()).openPage(url)
  return (expression) => page.evaluate(expression)
})
