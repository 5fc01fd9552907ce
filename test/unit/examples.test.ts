import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import ts from 'typescript'
import { describe, expect, test } from 'vitest'
import { snippetsOf } from '../support/snippets'

/** The examples of the README, of the guides and of the TSDoc: a newcomer copies them as they stand, so they have to compile. */

interface Example {
  readonly name: string
  /** `ts` or `tsx`. */
  readonly language: string
  /** Where a reader puts it, if others import it by that name. */
  readonly file?: string | undefined
  readonly code: string
}

function fromMarkdown(page: string, folder = '.'): Example[] {
  return snippetsOf(page)
    .filter(({ language }) => /^(tsx?|vue)$/.test(language))
    .map(({ name, language, file, code }) => ({
      name: `${page}: ${name}`,
      language: language === 'vue' ? 'ts' : language,
      file: join(folder, file ?? `${name}.${language === 'vue' ? 'ts' : language}`),
      // Of a component for Vue its script: what the template reads is run elsewhere.
      code: language === 'vue' ? (/<script.*>\n([\s\S]*)<\/script>/.exec(code)?.[1] ?? '') : code,
    }))
}

function fromComments(file: string): Example[] {
  const text = readFileSync(file, 'utf8')
  return [...text.matchAll(/ \* ```(tsx?)\n([\s\S]*?) \* ```/g)].map(([, language = '', code = ''], index) => ({
    name: `${file} ${index + 1}`,
    language,
    code: code.replace(/^ *\* ?/gm, ''),
  }))
}

/** What the compiler says of the examples, by name. */
function compile(examples: readonly Example[]): Map<string, string[]> {
  const { config } = ts.readConfigFile('tsconfig.json', ts.sys.readFile)
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, process.cwd())
  const files = new Map(
    examples.map(({ name, language, code, file }, index) => [
      resolve(file ?? `example-${index}.${language}`),
      { name, code: `${code}\nexport {}\n` },
    ]),
  )
  const host = ts.createCompilerHost(options)
  const { fileExists, getSourceFile } = host
  host.fileExists = (path) => files.has(path) || fileExists(path)
  host.getSourceFile = (path, version) => {
    const example = files.get(path)
    return example ? ts.createSourceFile(path, example.code, version) : getSourceFile(path, version)
  }
  const program = ts.createProgram(
    [...files.keys()],
    { ...options, types: ['node'], isolatedDeclarations: false, declaration: false },
    host,
  )
  const said = new Map<string, string[]>(examples.map(({ name }) => [name, []]))
  for (const [path, { name }] of files) {
    const source = program.getSourceFile(path)
    for (const { messageText } of [
      ...program.getSyntacticDiagnostics(source),
      ...program.getSemanticDiagnostics(source),
    ])
      said.get(name)?.push(ts.flattenDiagnosticMessageText(messageText, '\n'))
  }
  return said
}

const examples = [
  ...fromMarkdown('README.md'),
  ...fromMarkdown('examples/guides/what-a-server-must-send.md', 'examples/recipes/servers'),
  ...fromMarkdown('examples/guides/testing-a-component.md', 'examples/guides'),
  ...readdirSync('src', { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.tsx?$/.test(name))
    .flatMap((name) => fromComments(join('src', name))),
  { name: 'a wrong one', language: 'ts', code: "import { getClient } from 'millrace'\ngetClient().subscribe(1)" },
]
const said = compile(examples)

describe('an example compiles', () => {
  test.each(examples.filter(({ name }) => name !== 'a wrong one').map(({ name }) => name))('%s', (name) => {
    expect(said.get(name)).toEqual([])
  })

  test('and a wrong one does not', () => {
    expect(said.get('a wrong one')).toHaveLength(1)
  })

  test.each([
    'createClient',
    'defineChannel',
    'getClient',
    'configure',
    'subscribe',
    'coordinatedFetch',
    'json',
    'events',
    'stats',
    'bind',
    'mount',
    'createMillrace',
    'useClient',
    'useChannel',
    'useEvents',
    'useJson',
    'useStats',
  ])('of %s stands beside it', (name) => {
    expect(
      examples.filter((example) => example.name.startsWith('src') && new RegExp(`\\b${name}[<(]`).test(example.code)),
    ).not.toEqual([])
  })
})
