import { startBrowser } from '../support/browser'
import { ensureChromium } from '../tools/ensure-chromium'
import type { Engine } from './engine'

/** Over the DevTools protocol. The driver keeps every tab visible. */
export async function startChromium(): Promise<Engine> {
  ensureChromium()
  const { context, openPage, close } = await startBrowser({ bfcache: true })
  return {
    name: 'Chromium',
    version: context.browser()?.version() ?? '',
    async openPage(url) {
      const page = await openPage(url)
      return {
        evaluate: (expression) => page.evaluate(expression),
        navigate: async (next) => void (await page.goto(next)),
        // A page from the cache loads nothing, so nothing tells of its load.
        back: async () => void (await page.goBack({ waitUntil: 'commit' })),
        reload: async () => void (await page.reload()),
        close: () => page.close(),
      }
    },
    close,
  }
}
