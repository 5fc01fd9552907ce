import { afterEach, beforeEach, expect, test } from 'vitest'
import { closeServers, startServer, startStream } from '../../support/http-server'
import { until } from '../../support/until'
import { closeSources, record } from './recorder'

// What a listener throws is reported as Node reports it, as an uncaught exception, which the test runner would take
// for a failure of its own: for the length of a test they come here instead.
let uncaught: unknown[] = []
let others: NodeJS.UncaughtExceptionListener[] = []
const take = (error: unknown) => {
  uncaught.push(error)
}
beforeEach(() => {
  uncaught = []
  others = process.listeners('uncaughtException')
  process.removeAllListeners('uncaughtException')
  process.on('uncaughtException', take)
})
afterEach(() => {
  process.removeListener('uncaughtException', take)
  for (const listener of others) process.on('uncaughtException', listener)
})

afterEach(closeSources)
afterEach(closeServers)

const fail = (name: string) => () => {
  throw new Error(name)
}

test('a message listener that throws is reported, and stops neither the others nor the stream', async () => {
  const server = await startServer((_, response) => startStream(response).write('data: a\n\ndata: b\n\n'))
  const recording = record(server.url())
  const late: string[] = []
  recording.source.addEventListener('message', fail('listener'))
  recording.source.onmessage = fail('handler')
  recording.source.addEventListener('message', (event) => late.push((event as MessageEvent).data))
  await until(() => late.length === 2)
  expect(recording).toMatchObject({ data: ['a', 'b'], errors: [] })
  await until(() => uncaught.length === 4)
  expect(uncaught.map((error) => (error as Error).message)).toEqual(['listener', 'handler', 'listener', 'handler'])
  expect(server.requests).toHaveLength(1)
})

test('an open listener that throws is reported, and the stream goes on', async () => {
  const server = await startServer((_, response) => startStream(response).write('data: a\n\n'))
  const recording = record(server.url())
  recording.source.onopen = fail('open')
  await until(() => recording.messages.length === 1)
  await until(() => uncaught.length === 1)
  expect(recording.errors).toEqual([])
  expect(server.requests).toHaveLength(1)
})

test('an error listener that throws is reported, and the reconnecting goes on', async () => {
  const server = await startServer((_, response) => {
    if (server.requests.length < 3) response.writeHead(503).end()
    else startStream(response)
  })
  const recording = record(server.url())
  recording.source.onerror = fail('error')
  await until(() => recording.opens === 1)
  expect(uncaught).toHaveLength(2)
  expect(server.requests).toHaveLength(3)
})

test('a listener of a final error that throws is reported', async () => {
  const server = await startServer((_, response) => response.writeHead(404).end())
  const { source } = record(server.url())
  source.onerror = fail('error')
  await until(() => uncaught.length === 1)
  expect(source.readyState).toBe(source.CLOSED)
})

test('a listener that rejects is reported, and reconnects nothing', async () => {
  const rejected: unknown[] = []
  const before = process.listeners('unhandledRejection')
  process.removeAllListeners('unhandledRejection')
  process.on('unhandledRejection', (error) => rejected.push(error))
  try {
    const server = await startServer((_, response) => startStream(response).write('data: a\n\ndata: b\n\n'))
    const recording = record(server.url())
    recording.source.onmessage = async () => fail('async')()
    await until(() => recording.messages.length === 2)
    await until(() => rejected.length + uncaught.length === 2)
    expect(recording.errors).toEqual([])
    expect(server.requests).toHaveLength(1)
  } finally {
    process.removeAllListeners('unhandledRejection')
    for (const listener of before) process.on('unhandledRejection', listener)
  }
})
