import { statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { launchChromium } from './chromium.ts'
import { startDemo } from './server.ts'

// `npm run picture`: the picture of the README, taken from the demo at work.
const width = 1200
const file = fileURLToPath(new URL('picture.png', import.meta.url))
const demo = await startDemo({ port: 0 })
const browser = await launchChromium()
try {
  const page = await browser.newPage({ viewport: { width, height: 1800 } })
  await page.goto(demo.url)
  // All is live, the lines are as long as they get, and a crawl is half-way.
  await page.locator('#crawl[data-status="complete"]').waitFor({ timeout: 60_000 })
  await page.click('#crawl-start')
  await page.mouse.move(0, 0)
  await page.waitForFunction(() => Number(document.getElementById('crawl-count')?.textContent) > 80)
  for (const panel of ['board', 'ticker', 'crawl', 'in-react', 'in-vue'])
    await page.locator(`#${panel}[data-status="live"]`).waitFor()

  const last = await page.locator('#frameworks').boundingBox()
  if (!last) throw new Error('The three frameworks are not on the page')
  const height = Math.ceil(last.y + last.height) + 14
  await page.screenshot({ path: file, clip: { x: 0, y: 0, width, height } })
  console.log(`${file}: ${Math.round(statSync(file).size / 1000)} kB`)
} finally {
  await browser.close()
  await demo.close()
}
