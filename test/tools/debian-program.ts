import { execFileSync } from 'node:child_process'
import { accessSync, constants, existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** A program that tests drive, and the Debian package that brings it. */
export interface Program {
  /** For a sentence: "The tests need Chromium". */
  readonly name: string
  /** Names on the PATH, the first that is there is taken. */
  readonly commands: readonly string[]
  readonly debianPackage: string
  /** An environment variable that may name the program's file. */
  readonly variable: string
}

/** What the variable names, or the first of the commands on the PATH. */
export function findProgram({ commands, variable }: Program): string | undefined {
  const named = process.env[variable]
  if (named) return isExecutable(named) ? named : undefined
  const folders = (process.env.PATH ?? '').split(delimiter).filter(Boolean)
  return commands.flatMap((name) => folders.map((folder) => join(folder, name))).find(isExecutable)
}

/** Finds programs, and on Debian as root installs those that are missing first. Fails with one sentence of how to. */
export function ensurePrograms(...programs: readonly Program[]): string[] {
  const missing = programs.filter((program) => !findProgram(program))
  for (const { variable } of missing)
    if (process.env[variable]) throw new Error(`${variable} is ${process.env[variable]}: no program is there.`)
  if (missing.length > 0 && existsSync('/etc/debian_version') && process.getuid?.() === 0) install(missing)
  return programs.map((program) => findProgram(program) ?? fail(program))
}

function install(programs: readonly Program[]): void {
  try {
    aptGet('update', '-q')
    aptGet('install', '-q', '-y', ...programs.map(({ debianPackage }) => debianPackage))
  } catch (cause) {
    fail(programs[0]!, cause)
  }
}

export function aptGet(...args: string[]): void {
  execFileSync('apt-get', args, {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  })
}

function fail({ name, debianPackage, variable }: Program, cause?: unknown): never {
  throw new Error(
    `The tests need ${name}: install it (on Debian or Ubuntu, \`sudo apt-get install ${debianPackage}\`) or set ${variable} to the program.`,
    { cause },
  )
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}
