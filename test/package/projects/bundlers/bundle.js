// node bundle.js <bundler> <entry>: what is in the bundle of `entry`, as { bytes, lines }. `bytes` is minified, where the
// bundler can; `lines` are those of the readable bundle, by the file of millrace's src that they came from. Peers are left out.
import { existsSync, readFileSync } from 'node:fs'
import { SourceMap } from 'node:module'
import { fileURLToPath } from 'node:url'
import { build as esbuild } from 'esbuild'
import { rollup } from 'rollup'
import { build as vite } from 'vite'

const [bundler, entry] = process.argv.slice(2)

const bundlers = {
  async esbuild(minify) {
    const { outputFiles } = await esbuild({
      entryPoints: [entry],
      ...{ bundle: true, format: 'esm', write: false, outdir: 'out', sourcemap: 'external', minify },
      ...{ external: ['react', 'vue'], logLevel: 'error' },
    })
    const [map, code] = outputFiles
    return { code: code.text, map: JSON.parse(map.text) }
  },
  async rollup() {
    const bundle = await rollup({ input: entry, logLevel: 'silent', plugins: [resolved, mapped] })
    const { output } = await bundle.generate({ format: 'esm', sourcemap: true, inlineDynamicImports: true })
    return output[0]
  },
  async vite(minify) {
    const result = await vite({
      configFile: false,
      logLevel: 'error',
      plugins: [mapped],
      build: {
        ...{ write: false, sourcemap: true, minify: minify && 'oxc' },
        ...{ target: 'esnext', rolldownOptions: { input: entry, preserveEntrySignatures: 'strict' } },
      },
    })
    return result.output[0]
  },
}

/** Rollup looks up no packages by itself. */
const resolved = {
  name: 'resolved',
  resolveId: (id) => (id === 'millrace' ? fileURLToPath(import.meta.resolve(id)) : null),
}

/** With the maps of what is bundled, so that the bundle's own lead to the sources. esbuild does so by itself. */
const mapped = {
  name: 'mapped',
  load: (id) =>
    existsSync(`${id}.map`)
      ? { code: readFileSync(id, 'utf8'), map: JSON.parse(readFileSync(`${id}.map`, 'utf8')) }
      : null,
}

const lines = {}
const { code, map } = await bundlers[bundler](false)
// An empty bundle has none.
const origins = map && new SourceMap(map)
for (const [n, line] of code.split('\n').entries()) {
  const source = origins?.findEntry(n, line.length - line.trimStart().length).originalSource
  if (!source) continue
  const file = source.replace(/^.*\/(?=src\/|eventsource-parser\/)/, '')
  lines[file] = [...(lines[file] ?? []), line]
}
const { code: minified } = await bundlers[bundler](true)
console.log(JSON.stringify({ bytes: minified.length, lines }))
