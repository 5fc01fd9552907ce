import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, test } from 'vitest'
import { closeServers, startServer, startStream } from '../../support/http-server'
import { until, within } from '../../support/until'

afterEach(closeServers)

describe('the process', () => {
  const folder = fileURLToPath(new URL('.', import.meta.url))
  const root = fileURLToPath(new URL('../../../', import.meta.url))
  const children = new Set<ChildProcess>()
  afterEach(() => {
    for (const child of children) child.kill('SIGKILL')
    children.clear()
  })

  function run(project: string, ...args: string[]): { child: ChildProcess; output: () => string } {
    // Node itself, not the program `tsx`: that one starts another process, which would outlive it.
    const child = spawn(process.execPath, ['--import', 'tsx', `${folder}exits.child.ts`, ...args], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, TSX_TSCONFIG_PATH: `test/tsconfig${project === 'dist' ? '.dist' : ''}.json` },
    })
    children.add(child)
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk) => {
        output += chunk
      })
    }
    return { child, output: () => output }
  }

  test('ends by itself once every source is closed or has failed', async ({ task }) => {
    const server = await startServer(({ url }, response) => {
      if (url.startsWith('/stream')) startStream(response).write('data: a\n\n')
      else if (url.startsWith('/down')) response.writeHead(503).end()
      else if (url.startsWith('/gone')) response.writeHead(404).end('gone')
      else if (url.startsWith('/done')) response.writeHead(204).end()
      // Everything else hangs.
    })
    const closed = run(task.file.projectName ?? '', server.origin, 'close')
    const kept = run(task.file.projectName ?? '', server.origin, 'keep')
    const [code] = await within(12_000, once(closed.child, 'exit'), 'the end of the process').catch((error) => {
      throw new Error(`${error.message}; it said: ${closed.output()}`)
    })
    expect({ code, output: closed.output() }).toEqual({ code: 0, output: 'all seen\n' })

    await until(kept.output, { accept: (output) => output.includes('all seen'), within: 12_000 })
    expect(kept.child.exitCode).toBeNull()
  })
})
