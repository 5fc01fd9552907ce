import { fileURLToPath } from 'node:url'

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url))

/** The parts of the page that are made with a framework: the path that a page asks for, and where it begins. */
export const frameworks: Record<string, string> = {
  '/in-react.js': path('frameworks/in-react.jsx'),
  '/in-vue.js': path('frameworks/in-vue.js'),
}

const bundles: Record<string, Promise<string>> = {}

/** One of them, bundled in memory: once for all demos of a process. */
export function bundled(name: string): Promise<string> {
  bundles[name] ??= bundle(name)
  return bundles[name]
}

/** With a copy of the SDK of its own: as applications have it that meet on a page. */
async function bundle(name: string): Promise<string> {
  // Loaded here: who wants only the server need not wait for a bundler.
  const { build } = await import('vite')
  const { default: vue } = await import('@vitejs/plugin-vue')
  const built = await build({
    root: path('frameworks'),
    configFile: false,
    logLevel: 'error',
    plugins: [vue()],
    // Whatever the server runs in: the page is given what users are given.
    define: { 'process.env.NODE_ENV': '"production"' },
    oxc: { jsx: { runtime: 'automatic', development: false } },
    resolve: {
      alias: [
        { find: /^millrace$/, replacement: path('../../dist/index.js') },
        { find: /^millrace\/([^/]+)$/, replacement: path('../../dist/$1.js') },
      ],
    },
    build: {
      write: false,
      modulePreload: false,
      rollupOptions: { input: frameworks[name]!, external: ['/channels.js'] },
    },
  })
  const [{ output }] = [built].flat() as unknown as [{ output: [{ code: string }] }]
  return output[0].code
}
