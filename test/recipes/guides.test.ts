import '../support/dom'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { resolve } from 'node:path'
import { defineChannel, type StreamEvent } from 'millrace'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { closeClients, startClient, watch } from '../behaviour/channels/watch'
import { closeServers, startServer, startStream } from '../support/http-server'
import { put, removeSnippets, run } from '../support/snippet-page'
import { snippetsOf, tablesOf } from '../support/snippets'
import { until } from '../support/until'

afterEach(closeClients)
afterEach(closeServers)
afterAll(removeSnippets)

describe('what a server must send', () => {
  const page = 'examples/guides/what-a-server-must-send.md'
  const events = tablesOf(page)['An event']!

  /** The first event of a stream that sends this. */
  async function read(data: string) {
    const server = await startServer((_, response) => startStream(response).write(`data: ${data}\n\n`))
    const { client } = startClient()
    const any = { '~standard': { version: 1, vendor: 'test', validate: (value: unknown) => ({ value }) } } as const
    const watched = watch(
      client,
      defineChannel({ key: data, stream: server.url(), events: { price: any, message: any } }),
    )
    await until(() => watched.events.length === 1)
    return watched.events[0] as StreamEvent
  }

  test.each(events[0]!)('data: %s is %s', async (data, value) => {
    expect((await read(data!)).data).toEqual(evaluate(value!))
  })

  test.each(events[1]!)('data: %s is of type %s, with %s', async (data, type, value) => {
    expect(await read(data!)).toMatchObject({ type, data: evaluate(value!) })
  })

  test('its server streams, and resumes', async () => {
    put('event-log.ts', `export * from ${JSON.stringify(resolve('examples/recipes/servers/event-log'))}`)
    const [snippet] = snippetsOf(page)
    const server = (await run(snippet!, snippet!.code)).server as Server
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const { client, codes } = startClient()
    const watched = watch(client, defineChannel<number, StreamEvent>({ key: 'time', stream: url }))
    await until(() => watched.events.length > 0)
    const answer = await fetch(url, { headers: { 'last-event-id': 'nonsense' } })
    expect(answer.headers.get('last-event-id')).toMatch(/-0$/)
    server.closeAllConnections()
    await until(() => watched.events.length > 1)
    expect(watched.events.map(({ id }) => id?.split('-')[1])).toEqual(['1', '2'])
    expect(codes).toEqual([])
    server.close()
  })
})

describe('how to test a component', () => {
  const snippets = snippetsOf('examples/guides/testing-a-component.md')
  test('each snippet is a file of its own', () => {
    expect(snippets.filter(({ file }) => !file)).toEqual([])
  })

  const paths = snippets.map(({ file, code }) => put(file!, code))
  for (const path of paths.filter((path) => path.includes('.test.')))
    describe(path.replace(/.*\//, ''), async () => void (await import(/* @vite-ignore */ path)))
})

function evaluate(literal: string): unknown {
  return new Function(`return ${literal}`)()
}
