import { readFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { extname } from 'node:path'
import { bundled, frameworks } from './frameworks.ts'

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
        'script-tag.js',
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
  if (file) answer(response, extname(file.pathname), readFileSync(file))
  else if (path in frameworks) void serveBundle(path, response)
  return file !== undefined || path in frameworks
}

async function serveBundle(path: string, response: ServerResponse): Promise<void> {
  try {
    answer(response, '.js', await bundled(path))
  } catch (error) {
    response.writeHead(500).end()
    console.error(error)
  }
}

function answer(response: ServerResponse, type: string, body: string | Buffer): void {
  response
    .writeHead(200, {
      'Content-Type': types[type] ?? 'application/octet-stream',
      'Cache-Control': 'no-cache',
      'Content-Security-Policy': "default-src 'self'",
      'X-Content-Type-Options': 'nosniff',
    })
    .end(body)
}
