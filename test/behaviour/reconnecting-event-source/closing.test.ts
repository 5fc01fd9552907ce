import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, test } from 'vitest'
import { closeServers, startServer, startStream, type TestServer } from '../../support/http-server'
import { until, untilEvent, within } from '../../support/until'
import { closeSources, record } from './recorder'

afterEach(closeSources)
afterEach(closeServers)

/** Reconnects often enough that a source which was not closed would have by then. */
async function manyReconnects(): Promise<void> {
  const server = await startServer((_, response) => startStream(response).end('data: a\n\n'))
  const other = record(server.url())
  await until(() => other.errors.length >= 10)
}

/** Streams, not sockets: when Node's fetch is aborted it opens a spare connection that stays idle for seconds. */
const nothingOpen = (server: TestServer) =>
  until(() => server.openStreams, { accept: (open) => open === 0, what: 'no open stream' })

describe('close()', () => {
  test('from the open handler lets no event through', async () => {
    const server = await startServer((_, response) => startStream(response).write('data: a\n\n'))
    const recording = record(server.url())
    recording.source.onopen = () => recording.source.close()
    await until(() => recording.opens === 1)
    await nothingOpen(server)
    await manyReconnects()
    expect(recording).toMatchObject({ opens: 1, messages: [], errors: [] })
    expect(server.requests).toHaveLength(1)
  })

  test('from a message handler lets the next event of the same chunk not through', async () => {
    const server = await startServer((_, response) => startStream(response).write('data: a\n\ndata: b\n\ndata: c\n\n'))
    const recording = record(server.url())
    recording.source.onmessage = () => recording.source.close()
    await until(() => recording.messages.length > 0)
    await nothingOpen(server)
    await manyReconnects()
    expect(recording).toMatchObject({ data: ['a'], errors: [] })
    expect(server.requests).toHaveLength(1)
  })

  test('from a message handler lets the end of the same chunk go by without an error', async () => {
    const server = await startServer((_, response) => startStream(response).end('data: a\n\n'))
    const recording = record(server.url())
    recording.source.onmessage = () => recording.source.close()
    await until(() => recording.messages.length > 0)
    await manyReconnects()
    expect(recording.errors).toEqual([])
    expect(server.requests).toHaveLength(1)
  })

  test('from an error handler stops the reconnecting', async () => {
    const server = await startServer((_, response) => response.writeHead(503).end())
    const recording = record(server.url())
    recording.source.onerror = () => recording.source.close()
    await until(() => recording.errors.length > 0)
    await manyReconnects()
    expect(recording.errors).toHaveLength(1)
    expect(server.requests).toHaveLength(1)
    expect(recording.source.readyState).toBe(recording.source.CLOSED)
  })

  test('before the answer came closes the connection', async () => {
    const server = await startServer(() => {})
    const recording = record(server.url())
    await until(() => server.requests.length > 0)
    recording.source.close()
    await nothingOpen(server)
    await manyReconnects()
    expect(recording).toMatchObject({ opens: 0, messages: [], errors: [] })
    expect(server.requests).toHaveLength(1)
  })

  test('in the same turn as the constructor sends no request', async () => {
    const server = await startServer((_, response) => startStream(response))
    const recording = record(server.url())
    recording.source.close()
    await manyReconnects()
    expect(server.openStreams).toBe(0)
    expect(recording).toMatchObject({ opens: 0, errors: [] })
  })

  test('while the headers are being made sends no request', async () => {
    const server = await startServer((_, response) => startStream(response))
    let give = (_: HeadersInit) => {}
    const recording = record(server.url(), {
      headers: () =>
        new Promise<HeadersInit>((resolve) => {
          give = resolve
        }),
    })
    await manyReconnects()
    recording.source.close()
    give({ authorization: 'late' })
    await manyReconnects()
    expect(server.requests).toEqual([])
    expect(recording.errors).toEqual([])
  })

  test('while it waits for the next attempt sends no more', async () => {
    const server = await startServer((_, response) => response.writeHead(503).end())
    const { source } = record(server.url(), { backoff: { base: 20, jitter: 'none' } })
    await untilEvent(source, 'error')
    source.close()
    await manyReconnects()
    expect(server.requests).toHaveLength(1)
  })

  test('dispatches nothing itself, and may be called again', async () => {
    const server = await startServer((_, response) => startStream(response))
    const recording = record(server.url())
    await until(() => recording.opens === 1)
    recording.source.close()
    recording.source.close()
    expect(recording.errors).toEqual([])
    expect(recording.source.readyState).toBe(recording.source.CLOSED)
    await nothingOpen(server)
  })

  test('of one leaves another on the same address alone', async () => {
    const server = await startServer((_, response) => {
      startStream(response)
      const timer = setInterval(() => response.write('data: a\n\n'), 5)
      response.once('close', () => clearInterval(timer))
    })
    const [one, other] = [record(server.url()), record(server.url())]
    await until(() => one.opens === 1 && other.opens === 1)
    one.source.close()
    const before = other.messages.length
    await until(() => other.messages.length > before + 3)
    await until(() => server.openStreams === 1)
    expect(other.errors).toEqual([])
  })
})

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
