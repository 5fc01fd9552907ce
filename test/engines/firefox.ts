import puppeteer from 'puppeteer-core'
import { ensurePrograms, type Program } from '../tools/debian-program'
import type { Engine } from './engine'

const firefox: Program = {
  name: 'Firefox',
  commands: ['firefox', 'firefox-esr'],
  debianPackage: 'firefox-esr',
  variable: 'FIREFOX_PATH',
}

/** Over WebDriver BiDi. Each page has a window of its own, so that all are seen. */
export async function startFirefox(preferences: Record<string, unknown> = {}): Promise<Engine> {
  const [executablePath] = ensurePrograms(firefox)
  const browser = await puppeteer.launch({
    browser: 'firefox',
    protocol: 'webDriverBiDi',
    executablePath: executablePath!,
    headless: true,
    extraPrefsFirefox: preferences,
  })
  return {
    name: 'Firefox',
    version: (await browser.version()).replace(/^\D*/, ''),
    async openPage(url) {
      const page = await browser.newPage({ type: 'window' })
      await page.goto(url)
      return {
        async evaluate(expression) {
          // As text: the protocol leaves out what an answer holds a second time.
          const json = await page.evaluate(`Promise.resolve(${expression}).then((value) => JSON.stringify(value))`)
          return json === undefined ? undefined : JSON.parse(json as string)
        },
        navigate: async (next) => void (await page.goto(next)),
        back: async () => void (await page.goBack({ waitUntil: [] })),
        reload: async () => void (await page.reload()),
        close: () => page.close(),
      }
    },
    close: () => browser.close(),
  }
}
