import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { createServer } from 'vite'
import { type Demo, startDemo } from './demo/server.ts'

export interface Example {
  /** `http://127.0.0.1:5173/` */
  readonly url: string
  /** The server that its streams come from. */
  readonly demo: Demo
  close(): Promise<void>
}

const dist = (file: string) => fileURLToPath(new URL(`../dist/${file}`, import.meta.url))

/** Serves an example as `npm run dev` in its folder would, with this repository's `millrace` and the demo's server. */
export async function serveExample(name: string, { port = 5173 }: { port?: number } = {}): Promise<Example> {
  const demo = await startDemo({ port: 0 })
  const cacheDir = mkdtempSync(join(tmpdir(), 'millrace-example-'))
  const root = fileURLToPath(new URL(name, import.meta.url))
  const vite = await createServer({
    root,
    configFile: resolve(root, 'vite.config.ts'),
    cacheDir,
    logLevel: 'warn',
    resolve: {
      alias: [
        { find: /^millrace$/, replacement: dist('index.js') },
        { find: /^millrace\/([^/]+)$/, replacement: dist('$1.js') },
      ],
    },
    server: { host: '127.0.0.1', port, proxy: { '/api': demo.url } },
  })
  await vite.listen()
  return {
    url: vite.resolvedUrls?.local[0] ?? '',
    demo,
    async close() {
      await demo.close()
      await vite.close()
      rmSync(cacheDir, { recursive: true, force: true })
    },
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const [name = 'react'] = process.argv.slice(2)
  const example = await serveExample(name, { port: Number(process.env.PORT ?? 5173) })
  console.log(`The example runs at ${example.url}`)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => example.close())
}
