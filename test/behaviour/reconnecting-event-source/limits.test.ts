import type { ServerResponse } from 'node:http'
import { afterEach, describe, expect, test } from 'vitest'
import { closeServers, startServer, startStream, type TestServer } from '../../support/http-server'
import { until } from '../../support/until'
import { closeSources, record } from './recorder'

afterEach(closeSources)
afterEach(closeServers)

/** Hands every connection to `first`, then streams that say something all the time. */
function server(first: (response: ServerResponse) => unknown): Promise<TestServer> {
  const started: Promise<TestServer> = startServer(async (_, response) => {
    if ((await started).requests.length === 1) return first(response)
    trickle(startStream(response), 'data: alive\n\n')
  })
  return started
}

function trickle(response: ServerResponse, text: string): void {
  const timer = setInterval(() => response.write(text), 10)
  response.once('close', () => clearInterval(timer))
}

describe('a connection that falls silent', () => {
  test('is replaced after the idle timeout', async () => {
    const silent = await server((response) => startStream(response).write('data: a\n\n'))
    const recording = record(silent.url(), { idleTimeout: 150 })
    await until(() => recording.data.includes('alive'))
    expect(recording.errors[0]).toMatchObject({ code: 'idle', retryable: true })
    expect(recording.errors[0]!.retryAt).toBeTypeOf('number')
    expect(recording.errors[0]!.readyState).toBe(recording.source.CONNECTING)
  })

  test('is let go', async () => {
    const silent = await server((response) => startStream(response))
    const recording = record(silent.url(), { idleTimeout: 150 })
    await until(() => recording.data.includes('alive'))
    await until(() => silent.openStreams, { accept: (open) => open === 1, what: 'one open stream' })
  })

  test('is replaced when it never sends its headers too', async () => {
    const silent = await server(() => {})
    const recording = record(silent.url(), { idleTimeout: 150 })
    await until(() => recording.data.includes('alive'))
    expect(recording.errors[0]!.retryAt).toBeTypeOf('number')
  })

  test('is not one that sends any byte: a comment, half a line, an event', async () => {
    const texts = [':\n', 'x', 'data: a\n\n']
    const chatty = await Promise.all(
      texts.map((text) => startServer((_, response) => trickle(startStream(response), text))),
    )
    const quiet = await startServer((_, response) => startStream(response))
    const kept = chatty.map((server) => record(server.url(), { idleTimeout: 400 }))
    const replaced = record(quiet.url(), { idleTimeout: 400 })
    // The quiet one runs into the same timeout three times over.
    await until(() => replaced.errors.length >= 3)
    for (const { errors } of kept) expect(errors).toEqual([])
    for (const { requests } of chatty) expect(requests).toHaveLength(1)
  })

  test('is kept when no idle timeout was given', async () => {
    const quiet = await startServer((_, response) => startStream(response))
    const kept = record(quiet.url('/kept'))
    const replaced = record(quiet.url('/replaced'), { idleTimeout: 100 })
    await until(() => replaced.errors.length >= 3)
    expect(kept.errors).toEqual([])
  })
})

describe('an event over maxEventBytes', () => {
  const LIMIT = 1_000
  const tooLarge: [name: string, chunks: string[]][] = [
    ['in one line', [`data: ${'x'.repeat(LIMIT + 1)}\n\n`]],
    ['in one line without an end', [`data: ${'x'.repeat(3 * LIMIT)}`]],
    ['in one line, in many chunks', [...Array.from({ length: 20 }, () => 'data: x'.padEnd(100, 'x')), '\n\n']],
    ['in many lines', ['data: line\n'.repeat(400), '\n']],
    ['in many lines, in many chunks', [...Array.from({ length: 400 }, () => 'data: line\n'), '\n']],
    ['in a comment without an end', [`:${'x'.repeat(3 * LIMIT)}`]],
  ]
  test.each(tooLarge)('%s is an error, and no event', async (_, chunks) => {
    const large = await startServer(async (_, response) => {
      startStream(response).socket?.setNoDelay(true)
      for (const chunk of chunks) await new Promise((resolve) => response.write(chunk, resolve))
    })
    const recording = record(large.url(), { maxEventBytes: LIMIT })
    await until(() => recording.errors.length > 0)
    recording.source.close()
    expect(recording.errors[0]!.code).toBe('too-large')
    expect(recording.errors[0]!.message).toContain(`${large.origin}/`)
    expect(recording.messages).toEqual([])
    await until(() => large.openStreams, { accept: (open) => open === 0, what: 'no open stream' })
  })

  test('is one alone: any number of smaller ones, comments and blank lines pass', async () => {
    const event = `id: 1\ndata: ${'x'.repeat(LIMIT - 50)}\n\n`
    const large = await startServer((_, response) =>
      startStream(response).write(
        `${':'.padEnd(LIMIT / 2, '.')}\n`.repeat(10) + '\n'.repeat(2 * LIMIT) + event.repeat(50),
      ),
    )
    const recording = record(large.url(), { maxEventBytes: LIMIT })
    await until(() => recording.messages.length === 50)
    expect(recording.errors).toEqual([])
  })

  test('is one over a mebibyte when nothing else was said', async () => {
    const endless = await startServer((_, response) => {
      startStream(response).write('data: ')
      const more = () => {
        while (!response.destroyed && response.write('x'.repeat(65_536))) {}
      }
      response.on('drain', more)
      more()
    })
    const recording = record(endless.url())
    await until(() => recording.errors.length > 0)
    recording.source.close()
    expect(recording.errors[0]!.code).toBe('too-large')

    const large = await startServer((_, response) => startStream(response).write(`data: ${'x'.repeat(900_000)}\n\n`))
    const passing = record(large.url())
    await until(() => passing.messages.length > 0)
    expect(passing.errors).toEqual([])
  })
})
