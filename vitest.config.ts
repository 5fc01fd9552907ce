import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url))

/** `millrace` and `millrace/name`, for tests and for the entries that import each other, from one place. */
export const fromSource = {
  alias: [
    { find: /^millrace$/, replacement: path('src/index.ts') },
    { find: /^millrace\/([^/]+)$/, replacement: path('src/$1/index.ts') },
  ],
}
const fromDist = {
  alias: [
    { find: /^millrace$/, replacement: path('dist/index.js') },
    { find: /^millrace\/([^/]+)$/, replacement: path('dist/$1.js') },
  ],
}

/** The React before: react-dom of 18 brings no `react` of its own along. */
const reactEighteen = [
  { find: /^react(\/.*)?$/, replacement: 'react-18$1' },
  { find: /^react-dom(\/.*)?$/, replacement: 'react-dom-18$1' },
]
/** The oldest Vue that the adapter promises to work with, in place of the newest. */
const withVue33 = {
  alias: [
    { find: /^vue$/, replacement: 'vue-3.3' },
    { find: /^vue\/(.+)$/, replacement: 'vue-3.3/$1' },
    ...fromSource.alias,
  ],
}

/** Tests that know only the public API, and so run against the sources and against what is published. */
const publicTests = ['test/{laws,field-reports,behaviour,conformance,hostile,types,recipes}/**/*.test.{ts,tsx}']

/** After the projects of the earlier groups, so many files at a time. */
const inGroup = (groupOrder: number, maxWorkers: number) => ({ maxWorkers, sequence: { groupOrder } })

export default defineConfig({
  test: {
    // More than one wait of `until`, so that what fails says for what it waited.
    testTimeout: 45_000,
    hookTimeout: 30_000,
    retry: 0,
    // Most of them wait for a server, and leave the machine alone meanwhile.
    maxWorkers: '100%',
    projects: [
      {
        extends: true,
        resolve: fromSource,
        test: { name: 'unit', include: ['test/unit/**/*.test.{ts,tsx}', 'test/*.test.ts'] },
      },
      { extends: true, resolve: fromSource, test: { name: 'public', include: publicTests } },
      {
        extends: true,
        resolve: withVue33,
        test: { name: 'vue-3.3', include: ['test/behaviour/vue/**/*.test.ts', 'test/behaviour/view/vue.test.ts'] },
      },
      { extends: true, resolve: fromDist, test: { name: 'dist', include: publicTests } },
      {
        extends: true,
        resolve: { alias: [...fromSource.alias, ...reactEighteen] },
        test: {
          name: 'react-18',
          include: ['test/{behaviour,field-reports}/**/*.test.tsx'],
          setupFiles: [path('test/support/react-18.ts')],
        },
      },
      {
        extends: true,
        resolve: fromSource,
        test: { name: 'browser', include: ['test/browser/**/*.test.ts'], testTimeout: 90_000, ...inGroup(1, 2) },
      },
      {
        extends: true,
        resolve: fromSource,
        // Of `browser`, what shows that the library works in a real page, and in two tabs. For `npm test`.
        test: { name: 'page', include: ['test/browser/{script-tag,sharing}.test.ts'], ...inGroup(1, 2) },
      },
      {
        extends: true,
        resolve: fromSource,
        test: { name: 'faults', include: ['test/faults/**/*.test.ts'], ...inGroup(1, 2) },
      },
      {
        extends: true,
        resolve: fromSource,
        test: {
          name: 'soak',
          include: ['test/{soak,engines}/**/*.test.ts'],
          testTimeout: 30 * 60_000,
          execArgv: ['--expose-gc'],
          ...inGroup(2, 1),
        },
      },
      {
        extends: true,
        test: {
          name: 'package',
          include: ['test/package/*.test.ts'],
          globalSetup: [path('test/package/pack.ts')],
          testTimeout: 60_000,
          // An installation, from a registry and not from npm's cache.
          hookTimeout: 5 * 60_000,
          ...inGroup(3, 2),
        },
      },
    ],
  },
})
