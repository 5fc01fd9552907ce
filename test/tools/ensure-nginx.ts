import { existsSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { aptGet } from './debian-program'

/** nginx, and the module nchan for it, which the tests of proxies and of other people's servers start as children. */
export const nginx = '/usr/sbin/nginx'
export const nchan = '/usr/lib/nginx/modules/ngx_nchan_module.so'

/** Finds both, and on Debian as root installs them first where they are missing. */
export function ensureNginx(): void {
  if (existsSync(nginx) && existsSync(nchan)) return
  if (!existsSync('/etc/debian_version') || process.getuid?.() !== 0) throw new Error(howToInstall)
  aptGet('update', '-q')
  aptGet('install', '-q', '-y', '--no-install-recommends', 'nginx', 'libnginx-mod-nchan')
  if (!existsSync(nginx) || !existsSync(nchan)) throw new Error(howToInstall)
}

const howToInstall =
  'The tests of proxies need nginx and nchan: install them (on Debian or Ubuntu, `sudo apt-get install nginx libnginx-mod-nchan`).'

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  try {
    ensureNginx()
    console.log(`${nginx}, ${nchan}`)
  } catch (error) {
    console.error(error instanceof Error ? error.message : error)
    process.exitCode = 1
  }
}
