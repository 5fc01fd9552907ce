import { readFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { extname } from 'node:path'

/** The script-tag build, which `npm run build` makes. */
export const script: URL = new URL('../../dist/millrace.global.js', import.meta.url)

/** A path of the page and the file behind it. Nothing else is served. */
const files: Record<string, URL> = {
  '/millrace.global.js': script,
  ...Object.fromEntries(
    [
      ...[
        'index.html',
        'demo.css',
        'wheel.svg',
        'demo.js',
        'channels.js',
        'counters.js',
        'schema.js',
        'panel.js',
        'board.js',
      ],
      ...[
        'ticker.js',
        'sparkline.js',
        'crawl.js',
        'race.js',
        'faults.js',
        'runaway.js',
        'ledger.js',
        'motion.js',
        'tabs.js',
        'text.js',
      ],
    ].map((name) => [name === 'index.html' ? '/' : `/${name}`, new URL(`page/${name}`, import.meta.url)]),
  ),
}

const types: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
}

/** Answers with a file of the page; `false` if the path is none of them. */
export function serveFile(path: string, response: ServerResponse): boolean {
  const file = files[path]
  if (!file) return false
  response
    .writeHead(200, {
      'Content-Type': types[extname(file.pathname)] ?? 'application/octet-stream',
      'Cache-Control': 'no-cache',
      'Content-Security-Policy': "default-src 'self'",
      'X-Content-Type-Options': 'nosniff',
    })
    .end(readFileSync(file))
  return true
}
