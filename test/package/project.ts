import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inject } from 'vitest'
import type { Manifest } from './entries'

/** A project of somebody who has installed `millrace`, in a folder of its own where nothing else can be found. */
export interface Project {
  readonly folder: string
  /** Runs a program of the project to its end. Rejects with what it printed unless it ends well. */
  run(program: string, args?: readonly string[], options?: RunOptions): Promise<string>
  /** Starts a program that is to run on; `remove` ends it, if nobody else did. */
  start(program: string, args?: readonly string[], options?: RunOptions): Running
  /** Writes a file into it. */
  write(file: string, text: string): void
  read(file: string): string
  remove(): Promise<void>
}

export interface RunOptions {
  env?: Record<string, string>
  /** ms until it is ended. Default 120,000. */
  within?: number
}

export interface Running {
  readonly child: ChildProcess
  /** All that it has printed, to both of its outputs. */
  readonly output: string
  /** Resolves with the exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>
}

/** The package.json in the tarball. */
export function packedManifest(): Manifest {
  const text = execFileSync('tar', ['-xzOf', inject('tarball'), 'package/package.json'], { encoding: 'utf8' })
  return JSON.parse(text) as Manifest
}

/**
 * Copies `projects/<name>` and installs there what its lock file names, and the tarball. Without a lock file, in `add`,
 * are packages that depend on the machine.
 */
export async function installProject(name: string, add: Record<string, string> = {}): Promise<Project> {
  const folder = mkdtempSync(join(tmpdir(), `millrace-${name}-`))
  const children = new Set<Running>()
  cpSync(join(import.meta.dirname, 'projects', name), folder, { recursive: true })
  cpSync('.npmrc', join(folder, '.npmrc'))
  const project: Project = {
    folder,
    run,
    start,
    write,
    read: (file) => readFileSync(join(folder, file), 'utf8'),
    remove,
  }
  const packages = [inject('tarball'), ...Object.entries(add).map(([alias, wanted]) => `${alias}@${wanted}`)]
  try {
    await run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', ...packages], { within: 300_000 })
  } catch (error) {
    await remove()
    throw error
  }
  return project

  async function run(program: string, args: readonly string[] = [], options: RunOptions = {}): Promise<string> {
    const running = start(program, args, options)
    const ended = await running.ended
    if (ended === 0) return running.output
    throw new Error(`${program} ${args.join(' ')} ended with ${ended} in ${name}:\n${running.output}`)
  }

  function start(
    program: string,
    args: readonly string[] = [],
    { env = {}, within = 120_000 }: RunOptions = {},
  ): Running {
    const child = spawn(program, args, {
      cwd: folder,
      env: { ...withoutTests(process.env), ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: within,
      killSignal: 'SIGKILL',
    })
    let output = ''
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text
      })
    const ended = new Promise<number | NodeJS.Signals>((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (code, signal) => resolve(code ?? (signal as NodeJS.Signals)))
    })
    const running: Running = {
      child,
      ended,
      get output() {
        return output
      },
    }
    children.add(running)
    // Its failure is told to who waits for it.
    ended.catch(() => {}).finally(() => children.delete(running))
    return running
  }

  function write(file: string, text: string): void {
    writeFileSync(join(folder, file), text)
  }

  async function remove(): Promise<void> {
    for (const { child } of children) child.kill('SIGKILL')
    await Promise.allSettled([...children].map(({ ended }) => ended))
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  }
}

/** What vitest and `npm test` say to those they start would make a user's tools behave as in a test. */
function withoutTests(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const { NODE_ENV, NODE_OPTIONS, TEST, VITEST, DEV, PROD, MODE, SSR, BASE_URL, ...rest } = env
  return Object.fromEntries(
    Object.entries(rest).filter(([name]) => !/^(VITEST_|npm_package_|npm_lifecycle_)/.test(name)),
  )
}
