import { type Browser, chromium } from 'playwright-core'
import { findChromium } from '../../test/tools/ensure-chromium.ts'

/** The installed Chromium without a window, and without its calls to servers elsewhere. */
export function launchChromium(): Promise<Browser> {
  const executablePath = findChromium()
  if (!executablePath) throw new Error('Chromium is missing: install it, or set CHROMIUM_PATH to the program.')
  return chromium.launch({
    executablePath,
    args: [
      ...['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
      ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
    ],
  })
}
