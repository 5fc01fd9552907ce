import type { ServerResponse } from 'node:http'
import { defineChannel, type StreamEvent } from 'millrace'
import { afterEach, expect, test } from 'vitest'
import { createEventLog } from '../../examples/recipes/servers/event-log'
import { closeClients, startClient, watch } from '../behaviour/channels/watch'
import { closeServers, startServer, startStream } from '../support/http-server'
import { until } from '../support/until'

afterEach(closeClients)
afterEach(closeServers)

const heard = (log: ReturnType<typeof createEventLog>, lastEventId?: string): unknown[] => {
  const data: unknown[] = []
  log.after(lastEventId).follow((entry) => data.push(entry.data))()
  return data
}

function filled(options: Parameters<typeof createEventLog>[0], upTo: number) {
  const log = createEventLog(options)
  for (let n = 1; n <= upTo; n += 1) log.append('n', n)
  return log
}

test('goes on after the id that a client names, and says so', () => {
  const log = filled({ epoch: 'a' }, 3)
  expect(log.lastId).toBe('a-3')
  expect(heard(log, 'a-2')).toEqual([3])
  expect(heard(log, 'a-3')).toEqual([])
  expect(log.after('a-2').headers['last-event-id']).toBe('a-2')
})

test('has no word of history for a client that has none', () => {
  const log = filled({ epoch: 'a' }, 2)
  expect(heard(log)).toEqual([1, 2])
  expect(log.after(undefined).headers).not.toHaveProperty('last-event-id')
})

test.each([
  ['another epoch', 'b-2'],
  ['no epoch', '2'],
  ['what has not been yet', 'a-4'],
  ['what no log has written', 'a-02'],
  ['what is none', 'a-'],
  ['an entry that is gone', 'a-0'],
])('answers an id of %s with all that it has, and says from where', (_, id) => {
  const log = filled({ epoch: 'a', keep: 2 }, 3)
  expect(heard(log, id)).toEqual([2, 3])
  expect(log.after(id).headers['last-event-id']).toBe('a-1')
})

test('is over for who has heard the last of it, and for nobody else', () => {
  const log = filled({ epoch: 'a' }, 1)
  log.close()
  expect(log.after('a-2').isOver).toBe(true)
  expect(log.after('a-1').isOver).toBe(false)
  expect(log.after('b-2').isOver).toBe(false)
})

test('a server that began anew, and got as far as its clients were, is heard from its beginning', async () => {
  let log = createEventLog({ epoch: 'a' })
  const open = new Set<ServerResponse>()
  const server = await startServer(({ headers: asked }, response) => {
    const { headers, follow } = log.after(asked['last-event-id'])
    open.add(startStream(response, headers))
    response.once(
      'close',
      follow(({ id, type, data }) => response.write(`id: ${id}\nevent: ${type}\ndata: ${JSON.stringify(data)}\n\n`)),
    )
  })
  const { client } = startClient()
  const watched = watch(client, defineChannel<unknown, StreamEvent>({ key: 'n', stream: server.url('/stream') }))
  for (let n = 1; n <= 3; n += 1) log.append('n', n)
  await until(() => watched.events.length === 3)
  log = filled({ epoch: 'b' }, 3)
  for (const response of open) response.destroy()
  await until(() => watched.events.length === 6)
  expect(watched.data).toEqual([1, 2, 3, 1, 2, 3])
})
