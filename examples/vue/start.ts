import { fileURLToPath, pathToFileURL } from 'node:url'
import { createServer } from 'vite'
import { type Demo, startDemo } from '../demo/server.ts'

// For this repository alone: the page beside the server of the demo, with the package that has just been built.
const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url))

export interface Example {
  readonly url: string
  readonly demo: Demo
  close(): Promise<void>
}

/** @param options.port 0 picks a free one. Default 5173. */
export async function startExample({ port = 5173 }: { port?: number } = {}): Promise<Example> {
  const demo = await startDemo({ port: 0 })
  process.env.API = demo.url
  const vite = await createServer({
    root: path('.'),
    logLevel: 'warn',
    resolve: {
      alias: [
        { find: /^millrace$/, replacement: path('../../dist/index.js') },
        { find: /^millrace\/vue$/, replacement: path('../../dist/vue.js') },
      ],
    },
    server: { port, host: '127.0.0.1', fs: { allow: [path('../..')] } },
  })
  await vite.listen()
  return {
    url: vite.resolvedUrls!.local[0]!,
    demo,
    async close() {
      await vite.close()
      await demo.close()
    },
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const example = await startExample({ port: Number(process.env.PORT ?? 5173) })
  console.log(`The Vue example runs at ${example.url}`)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => example.close())
}
