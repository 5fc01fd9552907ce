import { spawnSync } from 'node:child_process'
import { pathToFileURL } from 'node:url'
import { ensurePrograms, findProgram, type Program } from './debian-program'

const chromium: Program = {
  name: 'Chromium',
  commands: ['chromium', 'chromium-browser', 'google-chrome'],
  debianPackage: 'chromium',
  variable: 'CHROMIUM_PATH',
}

/** The Chromium that the browser tests drive: `CHROMIUM_PATH`, or the first one on the PATH. */
export const findChromium = (): string | undefined => findProgram(chromium)

/** Finds Chromium, and on Debian as root installs it first where it is missing. */
export const ensureChromium = (): string => ensurePrograms(chromium)[0]!

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  try {
    const found = ensureChromium()
    const { stdout } = spawnSync(found, ['--version'], { encoding: 'utf8' })
    console.log(`${found}: ${(stdout ?? '').trim()}`)
  } catch (error) {
    console.error(error instanceof Error ? error.message : error)
    process.exitCode = 1
  }
}
