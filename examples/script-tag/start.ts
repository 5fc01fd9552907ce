import { readFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { pathToFileURL } from 'node:url'
import { type Demo, startDemo } from '../demo/server.ts'
import { script } from '../demo/static.ts'

const files: Record<string, [type: string, file: URL]> = {
  '/': ['text/html; charset=utf-8', new URL('index.html', import.meta.url)],
  '/millrace.global.js': ['text/javascript; charset=utf-8', script],
}

/** The page, beside what the server of the demo answers. */
export function startExample({ port = 4174 }: { port?: number } = {}): Promise<Demo> {
  return startDemo({ port, serve })
}

function serve(path: string, response: ServerResponse): boolean {
  const [type, file] = files[path] ?? []
  if (file) response.writeHead(200, { 'Content-Type': type, 'Cache-Control': 'no-cache' }).end(readFileSync(file))
  return file !== undefined
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const example = await startExample({ port: Number(process.env.PORT ?? 4174) })
  console.log(`The page without a build runs at ${example.url}`)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => example.close())
}
