import { execFileSync, spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { pathToFileURL } from 'node:url'

/** The Chromium that the browser tests drive: `CHROMIUM_PATH`, or the first one on the PATH. */
export function findChromium(): string | undefined {
  const named = process.env.CHROMIUM_PATH
  if (named) return isExecutable(named) ? named : undefined
  const folders = (process.env.PATH ?? '').split(delimiter).filter(Boolean)
  return ['chromium', 'chromium-browser', 'google-chrome']
    .flatMap((name) => folders.map((folder) => join(folder, name)))
    .find(isExecutable)
}

/** Finds Chromium, and on Debian as root installs it first where it is missing. */
export function ensureChromium(): string {
  const found = findChromium()
  if (found) return found
  if (process.env.CHROMIUM_PATH) throw new Error(`CHROMIUM_PATH is ${process.env.CHROMIUM_PATH}: no program is there.`)
  if (!existsSync('/etc/debian_version') || process.getuid?.() !== 0) throw new Error(howToInstall)
  aptGet('update', '-q')
  aptGet('install', '-q', '-y', 'chromium')
  const installed = findChromium()
  if (!installed) throw new Error(howToInstall)
  return installed
}

const howToInstall =
  'The browser tests need Chromium: install it (on Debian or Ubuntu, `sudo apt-get install chromium`) or set CHROMIUM_PATH to the program.'

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}

export function aptGet(...args: string[]): void {
  execFileSync('apt-get', args, {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  })
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  try {
    const chromium = ensureChromium()
    const { stdout } = spawnSync(chromium, ['--version'], { encoding: 'utf8' })
    console.log(`${chromium}: ${(stdout ?? '').trim()}`)
  } catch (error) {
    console.error(error instanceof Error ? error.message : error)
    process.exitCode = 1
  }
}
