import { readFileSync, rmSync } from 'node:fs'
import { defineConfig, type Options } from 'tsup'
import { integrityOf } from './test/tools/integrity'

const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }

/**
 * What a user imports. A new entry is a line here and in `exports` of package.json; by convention `./name` is built
 * from `src/name/index.ts`.
 */
const entry = {
  index: 'src/index.ts',
  vanilla: 'src/vanilla/index.ts',
  react: 'src/react/index.ts',
  vue: 'src/vue/index.ts',
}

const shared: Options = {
  target: 'es2022',
  // The one dependency is ESM only and small: bundled, so that CommonJS users need nothing else. See LICENSE.
  noExternal: ['eventsource-parser'],
  // tsup's tree shaking would run rollup over the output and strip directives such as 'use client'.
  treeshake: false,
  removeNodeProtocol: false,
  silent: true,
}

// Not tsup's `clean`: the builds below run side by side, and one would clean away what the other has written.
rmSync('dist', { recursive: true, force: true })

const library: Options = {
  ...shared,
  // Neither Node's nor a browser's: esbuild leaves `process.env.NODE_ENV` to the user's bundler.
  platform: 'neutral',
  // Entries reach the core by its public name, and so share the one copy that the page has.
  external: [/^millrace(\/|$)/, 'react'],
  // Declarations that we show but do not install are copied in.
  dts: { entry, resolve: ['@standard-schema/spec'] },
  sourcemap: true,
}

export default defineConfig([
  // What tabs take is a chunk, and an entry for its name alone: a page may preload it.
  { ...library, format: ['esm'], entry: { ...entry, tabs: 'src/sources/tabs/parts.ts' } },
  { ...library, format: ['cjs'], entry },
  {
    ...shared,
    entry: { millrace: 'src/vanilla/global.ts' },
    format: ['iife'],
    platform: 'browser',
    // Some 6 % smaller than what esbuild makes of it.
    minify: 'terser',
    banner: { js: `/*! millrace ${version} | MIT | with eventsource-parser, (c) Espen Hovlandsdal, MIT */` },
    outExtension: () => ({ js: '.global.js' }),
    async onSuccess() {
      const script = 'dist/millrace.global.js'
      console.log(`${script} integrity="${integrityOf(readFileSync(script))}"`)
    },
  },
])
