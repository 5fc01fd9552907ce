import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import vm from 'node:vm'
import * as parser from 'eventsource-parser'
import ts from 'typescript'

const root = fileURLToPath(new URL('../../', import.meta.url))
const fromHere = createRequire(import.meta.url)
const SHARED =
  'fetch Headers Request Response URL AbortController AbortSignal Event EventTarget MessageEvent DOMException TextDecoder TextEncoder ReadableStream BroadcastChannel performance structuredClone queueMicrotask setTimeout clearTimeout console'

export type Realm = Record<string, unknown>
export type Loaded = typeof import('millrace') & {
  readonly react: typeof import('millrace/react')
  readonly vue: typeof import('millrace/vue')
}

/** A platform of its own, with what a page has in it; `change` takes away, or breaks, some of that. */
export function createRealm(more: Realm, change: (realm: Realm) => void): Realm {
  const realm = vm.createContext({ ...more }) as Realm
  for (const name of SHARED.split(' ')) realm[name] = (globalThis as Realm)[name]
  change(realm)
  return realm
}

/** What is tested, the sources or what is built of them, as that platform sees it: its globals, and none but them. */
export function loadInto(realm: Realm, isBuilt: boolean): Loaded {
  const loaded = new Map<string, object>()
  const from = (name: string): object => {
    if (name === 'eventsource-parser') return parser
    if (!/^millrace(\/|$)/.test(name)) return fromHere(name)
    const entry = name.slice('millrace/'.length)
    return load(join(root, isBuilt ? `dist/${entry || 'index'}.cjs` : `src/${entry && `${entry}/`}index.ts`))
  }
  return { ...from('millrace'), react: from('millrace/react'), vue: from('millrace/vue') } as Loaded

  function load(file: string): object {
    const known = loaded.get(file)
    if (known) return known
    const module = { exports: {} }
    loaded.set(file, module.exports)
    const run = vm.runInContext(`(function (module, exports, require) {${compiled(file)}\n})`, realm, {
      filename: file,
    })
    const inside = (name: string) => (name.startsWith('.') ? load(`${join(dirname(file), name)}.ts`) : from(name))
    run(module, module.exports, inside)
    loaded.set(file, module.exports)
    return module.exports
  }
}

const texts = new Map<string, string>()
function compiled(file: string): string {
  let text = texts.get(file)
  if (text === undefined) {
    const compilerOptions = { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.CommonJS }
    const source = readFileSync(file, 'utf8')
    text = file.endsWith('.ts') ? ts.transpileModule(source, { compilerOptions }).outputText : source
    texts.set(file, text)
  }
  return text
}
