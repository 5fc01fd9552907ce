import {
  ReconnectingEventSource,
  type ReconnectingEventSourceErrorEvent,
  type ReconnectingEventSourceServerEvent,
} from 'millrace'
import { afterEach, expect, expectTypeOf, test } from 'vitest'
import { closeServers, startServer, startStream } from '../support/http-server'
import { until } from '../support/until'

// A server may give its events the names of the source's own. Both are heard under the name, as by the browser's
// `EventSource`, and the types say that either may be what came.

const open = new Set<ReconnectingEventSource>()
afterEach(() => {
  for (const source of open) source.close()
  open.clear()
})
afterEach(closeServers)

test('comes with its data and without an error, and our own the other way round', async () => {
  const server = await startServer((_, response) => {
    startStream(response).end('event: error\nid: 7\ndata: overloaded\n\nevent: open\ndata: wide\n\n')
  })
  const source = new ReconnectingEventSource(server.url(), { backoff: { base: 60_000, cap: 60_000 } })
  open.add(source)
  const handled: unknown[] = []
  const listened: unknown[] = []
  const opened: unknown[] = []
  source.onerror = ({ error, retryAt, data }) => handled.push([error?.code, typeof retryAt, data])
  source.addEventListener('error', (event) => {
    expectTypeOf(event).toEqualTypeOf<ReconnectingEventSourceErrorEvent | ReconnectingEventSourceServerEvent>()
    // Either tells them apart.
    if (event.error) listened.push(event.error.message.length > 0)
    else listened.push(event.data, event.lastEventId)
  })
  source.onopen = (event) => opened.push('data' in event ? event.data : 'ours')
  await until(() => handled.length === 2)
  expect(handled).toEqual([
    [undefined, 'undefined', 'overloaded'],
    ['network', 'number', undefined],
  ])
  expect(listened).toEqual(['overloaded', '7', true])
  expect(opened).toEqual(['ours', 'wide'])
})

test('is not read as ours without a look', () => {
  const source = {} as ReconnectingEventSource
  // @ts-expect-error there may be no error
  source.onerror = ({ error }) => console.log(error.message)
  // @ts-expect-error there may be no error
  source.addEventListener?.('error', ({ error }) => console.log(error.message))
})
