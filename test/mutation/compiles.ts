import { dirname, resolve } from 'node:path'
import ts from 'typescript'

const { config } = ts.readConfigFile('tsconfig.json', ts.sys.readFile)
const { options, fileNames } = ts.parseJsonConfigFileContent(config, ts.sys, dirname(resolve('tsconfig.json')))
const host = ts.createCompilerHost(options)
const parsed = new Map<string, ts.SourceFile | undefined>()
let before: ts.Program | undefined

/** Whether the compiler would let this text pass in place of the file; `npm test` runs it too, so it kills as a test does. */
export function compiles(file: string, text: string): boolean {
  const changed = resolve(file)
  const getSourceFile: ts.CompilerHost['getSourceFile'] = (name, target) => {
    if (resolve(name) === changed) return ts.createSourceFile(name, text, target, true)
    if (!parsed.has(name)) parsed.set(name, host.getSourceFile(name, target))
    return parsed.get(name)
  }
  const program = ts.createProgram(fileNames, options, { ...host, getSourceFile }, before)
  before = program
  return program.getSemanticDiagnostics(program.getSourceFile(changed)).length === 0
}
