import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, test } from 'vitest'
import { bomb } from '../hostile/bomb'
import { figure } from '../support/figures'
import { closeServers, startServer, startStream } from '../support/http-server'
import { until, within } from '../support/until'
import type { Told } from './hostile.client'

const SECTION = 'Hostile'
const GIGABYTE = Number(process.env.MEGABYTES ?? 1_000) * 1e6
/** MB of heap that the client's process has. */
const HEAP = 96
/** Bytes that it may take beyond what it had before. */
const MOST = 150e6
const PATIENCE = 120_000

const children = new Set<ChildProcess>()
afterEach(() => {
  for (const child of children) child.kill('SIGKILL')
})
afterEach(closeServers)

/** A client in a process of its own, with a heap that a gigabyte does not fit into. */
function startClient(kind: 'stream' | 'snapshot', url: string) {
  const file = fileURLToPath(new URL('hostile.client.ts', import.meta.url))
  const child = fork(file, [kind, url], { execArgv: ['--import', 'tsx', `--max-old-space-size=${HEAP}`] })
  children.add(child)
  let last: Told | undefined
  child.on('message', (told: Told) => {
    last = told
  })
  const ended = once(child, 'exit').then(([code, signal]) => {
    children.delete(child)
    return code ?? signal
  })
  const gone = ended.then((how) => {
    throw new Error(`The client is gone: ${how}. It told ${JSON.stringify(last)}`)
  })
  gone.catch(() => {})
  return {
    /** Waits until what it told last is accepted; fails at once if it is gone. */
    hasTold: (accept: (told: Told) => boolean, what: string): Promise<unknown> =>
      Promise.race([until(() => last !== undefined && accept(last), { what, within: PATIENCE }), gone]),
    /** Asks it to end, and waits until it has; what it told last. */
    async end(): Promise<Told> {
      child.send('end')
      expect(await within(15_000, ended, 'the client to end')).toBe(0)
      return last!
    },
  }
}

/** Writes what `next` makes, as fast as it is read, until it makes nothing more. */
function pour(response: ServerResponse, next: () => string | Buffer | undefined): void {
  const write = (): void => {
    for (let more = true; more && !response.destroyed; ) {
      const chunk = next()
      if (chunk === undefined) return
      more = response.write(chunk)
    }
    if (!response.destroyed) response.once('drain', write)
  }
  write()
}

function isUnharmed(what: string, { peak, before, longestPause }: Told, took: number, more = ''): void {
  figure(
    SECTION,
    what,
    `${more}${Math.round((peak - before) / 1e6)} MB above ${Math.round(before / 1e6)} MB at the worst, with a heap of ${HEAP} MB; ${(took / 1_000).toFixed(1)} s, its event loop never still for over ${Math.ceil(longestPause)} ms`,
  )
  expect(peak - before).toBeLessThan(MOST)
  expect(longestPause).toBeLessThan(5_000)
}

describe(`${GIGABYTE / 1e6} MB of`, () => {
  test.each([
    ['one line without an end', 'data: ', 'x'.repeat(2 ** 16), true],
    ['an id without an end', 'id: ', '1'.repeat(2 ** 16), true],
    ['comments', '', `: ${'x'.repeat(60)}\n`.repeat(1_000), false],
    ['lines that are none', '', `${'x'.repeat(60)}: y\n`.repeat(1_000), false],
    ['data lines of one event', '', `data: ${'x'.repeat(60)}\n`.repeat(1_000), true],
  ])('%s harm no client', async (what, head, body, isTooLarge) => {
    const chunk = Buffer.from(body)
    let sent = 0
    const server = await startServer((_, response) => {
      startStream(response).write(head)
      pour(response, () => {
        if (sent >= GIGABYTE) return undefined
        sent += chunk.length
        return chunk
      })
    })
    const started = performance.now()
    const client = startClient('stream', server.url())
    await client.hasTold(() => sent >= GIGABYTE, 'all to be sent')
    const took = performance.now() - started
    const told = await client.end()
    expect(told.codes).toEqual(isTooLarge ? ['too-large'] : [])
    expect(told).toMatchObject({ heard: 0, wrong: '' })
    if (!isTooLarge) expect(server.requests).toHaveLength(1)
    isUnharmed(what, told, took, isTooLarge ? `cut off ${server.requests.length} times; ` : '')
  })

  test('small events are each told once and in order', async () => {
    let n = 0
    let sent = 0
    const server = await startServer((_, response) =>
      pour(startStream(response), () => {
        if (sent >= GIGABYTE) return undefined
        let text = ''
        while (text.length < 2 ** 16) text += `id: ${++n}\ndata: {"n":${n},"text":"${'x'.repeat(60)}"}\n\n`
        sent += text.length
        return text
      }),
    )
    const started = performance.now()
    const client = startClient('stream', server.url())
    await client.hasTold(({ heard }) => sent >= GIGABYTE && heard >= n, 'every event')
    const took = performance.now() - started
    const told = await client.end()
    expect(told).toMatchObject({ heard: n, wrong: '', codes: [], status: 'live' })
    expect(server.requests).toHaveLength(1)
    isUnharmed('small events', told, took, `${n.toLocaleString('en')} events, each once and in order; `)
  })

  test('zeros in a gzipped stream harm no client, however often it asks', async () => {
    const server = await startServer((_, response) =>
      bomb(startStream(response, { 'content-encoding': 'gzip' }), 'data: ', GIGABYTE / 2 ** 20),
    )
    const started = performance.now()
    const client = startClient('stream', server.url())
    await client.hasTold(() => server.requests.length > 100, 'a hundred connections')
    const took = performance.now() - started
    const told = await client.end()
    expect(told.codes).toEqual(['too-large'])
    isUnharmed('a gzip bomb as a stream', told, took, `cut off ${server.requests.length} times; `)
  })

  test('zeros in a gzipped snapshot are refused', async () => {
    const server = await startServer((_, response) =>
      bomb(response.writeHead(200, { 'content-encoding': 'gzip' }), '"', GIGABYTE / 2 ** 20),
    )
    const started = performance.now()
    const client = startClient('snapshot', server.url())
    await client.hasTold(({ status }) => status === 'failed', 'the refusal')
    const took = performance.now() - started
    await until(() => server.openStreams === 0, 'its connection to be closed')
    const told = await client.end()
    expect(told.codes).toEqual(['too-large'])
    expect(server.requests).toHaveLength(1)
    isUnharmed('a gzip bomb as a snapshot', told, took)
  })
})
