import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, posix, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { describe, expect, test } from 'vitest'

const SRC = fileURLToPath(new URL('../src', import.meta.url))

/** Path within src -> text. */
type House = Record<string, string>

const house: House = Object.fromEntries(
  readdirSync(SRC, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.tsx?$/.test(entry.name))
    .map((entry) => {
      const path = join(entry.parentPath, entry.name)
      return [relative(SRC, path).replaceAll('\\', '/'), readFileSync(path, 'utf8')]
    }),
)

/** The rooms, from the ground up: an arrow goes to a lower floor, or stays in its room. */
const FLOORS = [['primitives'], ['stream', 'network'], ['sources'], ['registry'], ['client'], ['']]
const ADAPTERS = ['vanilla', 'react', 'vue', 'devtools', 'testing', 'cli']
/** The files of the top floor. */
const TOP = /^(index|reconnecting-event-source|view)\.ts$/

const THE_CLOCK = 'primitives/clock.ts'
const THE_SENDER = 'network/send.ts'

const roomOf = (path: string): string => (path.includes('/') ? path.slice(0, path.indexOf('/')) : '')
const floorOf = (room: string): number => FLOORS.findIndex((rooms) => rooms.includes(room))

function parse(path: string, text: string): ts.SourceFile {
  const kind = path.endsWith('x') ? ts.ScriptKind.TSX : ts.ScriptKind.TS
  return ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true, kind)
}

function walk(node: ts.Node, visit: (node: ts.Node) => void): void {
  visit(node)
  ts.forEachChild(node, (child) => walk(child, visit))
}

interface Import {
  from: string
  /** Erased when compiled: it makes no cycle at run time, but it is an arrow all the same. */
  typeOnly: boolean
}

/** What a file imports or exports from elsewhere, `import()` and `import type` included. */
function importsOf(path: string, text: string): Import[] {
  const found: Import[] = []
  walk(parse(path, text), (node) => {
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) {
      const from = node.moduleSpecifier
      if (!from || !ts.isStringLiteral(from)) return
      const typeOnly = ts.isExportDeclaration(node) ? node.isTypeOnly : (node.importClause?.isTypeOnly ?? false)
      found.push({ from: from.text, typeOnly })
    }
    if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument) && ts.isStringLiteral(node.argument.literal))
      found.push({ from: node.argument.literal.text, typeOnly: true })
    if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      const [from] = node.arguments
      found.push({ from: from && ts.isStringLiteralLike(from) ? from.text : 'a computed module', typeOnly: false })
    }
  })
  return found
}

/** The file of the house that a relative import names. */
function resolve(files: House, importer: string, from: string): string | undefined {
  const base = posix.join(dirname(importer), from)
  return [`${base}.ts`, `${base}.tsx`, `${base}/index.ts`, base].find((path) => path in files)
}

/** Arrows that run upwards, sideways, or into an adapter. */
function wrongArrows(files: House): string[] {
  const wrong: string[] = []
  for (const [path, text] of Object.entries(files)) {
    const room = roomOf(path)
    const isAdapter = ADAPTERS.includes(room)
    if (!isAdapter && floorOf(room) < 0) wrong.push(`${path}: a room that is not on the plan`)
    if (room === '' && !TOP.test(path)) wrong.push(`${path}: a file of the top floor that is not on the plan`)
    for (const { from } of importsOf(path, text)) {
      if (!from.startsWith('.')) {
        if (/^millrace/.test(from) && !isAdapter) wrong.push(`${path} -> ${from}: only adapters speak of the package`)
        if (from.startsWith('node:') && !isAdapter) wrong.push(`${path} -> ${from}: a browser has no such module`)
        continue
      }
      const target = resolve(files, path, from)
      if (!target) wrong.push(`${path} -> ${from}: no such file`)
      else if (isAdapter) {
        if (roomOf(target) !== room) wrong.push(`${path} -> ${target}: an adapter knows only the package`)
      } else if (ADAPTERS.includes(roomOf(target))) wrong.push(`${path} -> ${target}: upwards, into an adapter`)
      else if (roomOf(target) !== room && floorOf(roomOf(target)) >= floorOf(room))
        wrong.push(`${path} -> ${target}: upwards or sideways`)
    }
  }
  return wrong
}

/** Circles of imports that are there at run time; with types, of all. */
function cycles(files: House, withTypes = false): string[] {
  const found: string[] = []
  const done = new Set<string>()
  const visit = (path: string, trail: readonly string[]): void => {
    if (trail.includes(path)) {
      found.push([...trail.slice(trail.indexOf(path)), path].join(' -> '))
      return
    }
    if (done.has(path)) return
    for (const { from, typeOnly } of importsOf(path, files[path]!)) {
      const target = from.startsWith('.') && (withTypes || !typeOnly) ? resolve(files, path, from) : undefined
      if (target) visit(target, [...trail, path])
    }
    done.add(path)
  }
  for (const path of Object.keys(files)) visit(path, [])
  return found
}

/** `now` of `Date.now`, `performance.now`; the whole name of anything else. */
const TIME: Record<string, readonly string[]> = {
  Date: ['now'],
  performance: ['now'],
  Math: ['random'],
  crypto: ['getRandomValues', 'randomUUID'],
}
const TIMERS = new Set([
  'setTimeout',
  'setInterval',
  'setImmediate',
  'clearTimeout',
  'clearInterval',
  'requestAnimationFrame',
  'cancelAnimationFrame',
  'requestIdleCallback',
])
const FORBIDDEN = new Set(['eval', 'innerHTML', 'outerHTML', 'insertAdjacentHTML', 'document.write', 'new Function'])
const UNLOADS = new Set(['unload', 'beforeunload', 'onunload', 'onbeforeunload'])

/** Time, timers, randomness, `fetch` and what is never used, by where it stands in the code; comments are none. */
function usesOf(path: string, text: string): string[] {
  const uses: string[] = []
  walk(parse(path, text), (node) => {
    const name = nameOf(node)
    if (name && !isDeclaredHere(node)) uses.push(name)
    if (ts.isStringLiteralLike(node) && UNLOADS.has(node.text)) uses.push(node.text)
    if (ts.isNewExpression(node) && node.expression.getText() === 'Function') uses.push('new Function')
    if (ts.isNewExpression(node) && node.expression.getText() === 'Date' && !node.arguments?.length)
      uses.push('new Date')
  })
  return uses
}

function nameOf(node: ts.Node): string | undefined {
  if (ts.isPropertyAccessExpression(node) || ts.isElementAccessExpression(node)) {
    const object = node.expression.getText().replace(/^(globalThis|window|self)\./, '')
    const member = ts.isPropertyAccessExpression(node)
      ? node.name.text
      : ts.isStringLiteralLike(node.argumentExpression)
        ? node.argumentExpression.text
        : ''
    if (TIME[object]?.includes(member) || FORBIDDEN.has(`${object}.${member}`)) return `${object}.${member}`
    if (['globalThis', 'window', 'self'].includes(object) && (TIMERS.has(member) || member === 'fetch')) return member
    return FORBIDDEN.has(member) || UNLOADS.has(member) ? member : undefined
  }
  if (!ts.isIdentifier(node)) return undefined
  const { text, parent } = node
  // A member's own name was looked at with its object.
  if (ts.isPropertyAccessExpression(parent) && parent.name === node) return undefined
  if (TIMERS.has(text) || text === 'eval') return text
  const isCalled = ts.isCallExpression(parent) && parent.expression === node
  return text === 'fetch' && isCalled ? text : undefined
}

/** A type, a property, a parameter or a declaration of that name is no use of the global. */
function isDeclaredHere(node: ts.Node): boolean {
  const { parent } = node
  return (
    ts.isTypeQueryNode(parent) ||
    ts.isTypeReferenceNode(parent) ||
    ((ts.isPropertyAssignment(parent) ||
      ts.isPropertySignature(parent) ||
      ts.isMethodSignature(parent) ||
      ts.isMethodDeclaration(parent) ||
      ts.isBindingElement(parent) ||
      ts.isParameter(parent)) &&
      parent.name === node)
  )
}

const isTime = (use: string): boolean => TIMERS.has(use) || use === 'new Date' || use.split('.')[0]! in TIME

/** `file: use` for each use that the house rules forbid at that place. */
function misplaced(files: House): string[] {
  const wrong: string[] = []
  for (const [path, text] of Object.entries(files)) {
    for (const use of usesOf(path, text)) {
      if (isTime(use) ? path !== THE_CLOCK : use === 'fetch' ? path !== THE_SENDER : true) wrong.push(`${path}: ${use}`)
    }
  }
  return wrong
}

describe('the house', () => {
  test('has rooms, and all of them are looked at', () => {
    expect(Object.keys(house).length).toBeGreaterThan(40)
    const rooms = new Set(Object.keys(house).map(roomOf))
    for (const room of ['primitives', 'stream', 'network', 'sources', 'registry', 'client', ''])
      expect(rooms).toContain(room)
    const arrows = Object.entries(house).flatMap(([path, text]) => importsOf(path, text))
    expect(arrows.length).toBeGreaterThan(100)
  })

  test('has arrows that run downwards only, and adapters that know only the package', () => {
    expect(wrongArrows(house)).toEqual([])
  })

  test('has no circle of imports', () => {
    expect(cycles(house)).toEqual([])
  })

  test('has a network without a circle, in types too', () => {
    const network = Object.entries(house).filter(([path]) => /^(network|primitives)\//.test(path))
    expect(cycles(Object.fromEntries(network), true).filter((circle) => circle.includes('network/'))).toEqual([])
  })

  test('has its time, its timers and its randomness in the clock alone, and calls fetch at one place alone', () => {
    expect(misplaced(house)).toEqual([])
    expect(usesOf(THE_CLOCK, house[THE_CLOCK]!)).toEqual(
      expect.arrayContaining(['Date.now', 'Math.random', 'setTimeout', 'requestAnimationFrame']),
    )
    expect(usesOf(THE_SENDER, house[THE_SENDER]!)).toContain('fetch')
  })
})

describe('the checker', () => {
  const good: House = {
    'primitives/clock.ts': 'export const now = () => Date.now()',
    'network/send.ts': "import { now } from '../primitives/clock'\nexport const go = () => fetch(String(now()))",
    'client/create-client.ts': "import { go } from '../network/send'\nexport { go }",
    'index.ts': "export { go } from './client/create-client'",
    'vanilla/index.ts': "import { go } from 'millrace'\nexport { bind } from './bind'\ngo()",
    'vanilla/bind.ts': 'export const bind = 1',
  }

  test('finds nothing wrong with a house in order', () => {
    expect(wrongArrows(good)).toEqual([])
    expect(cycles(good)).toEqual([])
    expect(misplaced(good)).toEqual([])
  })

  test.each<[string, House, string]>([
    ['upwards', { 'primitives/a.ts': "import '../network/send'" }, 'primitives/a.ts -> network/send.ts: upwards'],
    ['upwards in a type', { 'primitives/a.ts': "import type { go } from '../index'" }, 'primitives/a.ts -> index.ts'],
    ['upwards in import()', { 'primitives/a.ts': "export const a = () => import('../index')" }, 'index.ts: upwards'],
    ['upwards in an import type', { 'primitives/a.ts': "export type A = import('../index').B" }, 'index.ts: upwards'],
    ['upwards in a re-export', { 'primitives/a.ts': "export * from '../index'" }, 'index.ts: upwards'],
    ['sideways', { 'stream/a.ts': "import '../network/send'" }, 'stream/a.ts -> network/send.ts: upwards or sideways'],
    ['from the core into an adapter', { 'client/a.ts': "import '../vanilla/index'" }, 'into an adapter'],
    ['from an adapter into the core', { 'vanilla/bind.ts': "import '../index'" }, 'knows only the package'],
    ['from the core to the package', { 'client/a.ts': "import 'millrace'" }, 'only adapters speak of the package'],
    ['to a module of Node', { 'client/a.ts': "import 'node:fs'" }, 'a browser has no such module'],
    ['into nothing', { 'client/a.ts': "import './missing'" }, 'no such file'],
    ['from a room that is not on the plan', { 'utils/a.ts': '' }, 'a room that is not on the plan'],
    ['from a file that is not on the plan', { 'helper.ts': '' }, 'top floor that is not on the plan'],
  ])('finds an arrow %s', (_, broken, message) => {
    expect(wrongArrows({ ...good, ...broken })).toEqual([expect.stringContaining(message)])
  })

  test('finds a circle, and takes types for none', () => {
    const a = { 'registry/a.ts': "import './b'", 'registry/b.ts': "import './c'" }
    expect(cycles({ ...a, 'registry/c.ts': "import './a'" })).toEqual([
      'registry/a.ts -> registry/b.ts -> registry/c.ts -> registry/a.ts',
    ])
    const typed = { ...a, 'registry/c.ts': "import type { A } from './a'" }
    expect(cycles(typed)).toEqual([])
    expect(cycles(typed, true)).toHaveLength(1)
  })

  test.each([
    ['setTimeout(run, 1)', 'setTimeout'],
    ['const later = setTimeout', 'setTimeout'],
    ['globalThis.setInterval(run, 1)', 'setInterval'],
    ["window['setTimeout'](run)", 'setTimeout'],
    ['const at = Date.now()', 'Date.now'],
    ['const at = new Date()', 'new Date'],
    ['const { at } = { at: performance.now() }', 'performance.now'],
    ['const pick = Math.random', 'Math.random'],
    ['crypto.randomUUID()', 'crypto.randomUUID'],
    ['requestAnimationFrame(run)', 'requestAnimationFrame'],
    ["fetch('/')", 'fetch'],
    ["globalThis.fetch('/')", 'fetch'],
    ["addEventListener('beforeunload', run)", 'beforeunload'],
    ["addEventListener('unload', run)", 'unload'],
    ['window.onbeforeunload = run', 'onbeforeunload'],
    ['element.innerHTML = text', 'innerHTML'],
    ["document.write('text')", 'document.write'],
    ['eval(text)', 'eval'],
    ['new Function(text)', 'new Function'],
  ])('finds `%s`', (code, use) => {
    expect(misplaced({ ...good, 'registry/a.ts': code })).toEqual([`registry/a.ts: ${use}`])
  })

  test.each([
    '// setTimeout(run, 1); Date.now(); fetch("/")',
    '/** `innerHTML`, eval() */',
    "const text = 'setTimeout Date.now() innerHTML'",
    'type Fetch = typeof fetch',
    'interface Options { fetch: typeof fetch; setTimeout(ms: number): void }',
    'const options = { fetch: own, setTimeout: 1 }',
    'client.fetch(url)',
    'settings.fetch',
    'clock.now()',
    'const at = new Date(1)',
    'Math.max(1, 2)',
  ])('takes no offence at `%s`', (code) => {
    expect(misplaced({ ...good, 'registry/a.ts': code })).toEqual([])
  })
})
