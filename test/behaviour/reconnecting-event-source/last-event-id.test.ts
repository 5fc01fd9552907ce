import type { ServerResponse } from 'node:http'
import { afterEach, expect, test } from 'vitest'
import { closeServers, startServer, startStream, type TestServer, utf8Header } from '../../support/http-server'
import { until } from '../../support/until'
import { closeSources, type Init, type Recording, record } from './recorder'

afterEach(closeSources)
afterEach(closeServers)

const UNAVAILABLE = (response: ServerResponse) => response.writeHead(503).end()

/** Connects to a server whose n-th answer is the n-th of these and ends; after the last one it stays open. */
async function resume(
  answers: readonly (string | ((response: ServerResponse) => void))[],
  init: Init = {},
): Promise<{ ids: (string | undefined)[]; recording: Recording; server: TestServer }> {
  const server = await startServer((_, response) => {
    const answer = answers[server.requests.length - 1]
    if (answer === undefined) startStream(response)
    else if (typeof answer === 'string') startStream(response).end(answer)
    else answer(response)
  })
  const recording = record(server.url(), init)
  const ids = await until(() => server.requests.map(({ headers }) => utf8Header(headers['last-event-id'])), {
    accept: (all) => all.length > answers.length,
    what: `${answers.length + 1} connections`,
  })
  return { ids, recording, server }
}

const cases: [name: string, answers: (string | ((response: ServerResponse) => void))[], ids: (string | undefined)[]][] =
  [
    ['names the id of the last event', ['id: 1\ndata: a\n\nid: 2\ndata: b\n\n'], [undefined, '2']],
    ['names no id when the server gave none', ['data: a\n\n'], [undefined, undefined]],
    ['keeps the id of an event when those after it have none', ['id: 1\ndata: a\n\ndata: b\n\n'], [undefined, '1']],
    ['takes the id of a block without data', ['id: 1\ndata: a\n\nid: 2\n\n'], [undefined, '2']],
    [
      'never takes the id of a block that no blank line ended',
      ['id: 1\ndata: a\n\nid: 2\ndata: b\n'],
      [undefined, '1'],
    ],
    ['never takes an id from half a line', ['id: 10\ndata: a\n\nid: 1'], [undefined, '10']],
    [
      'forgets the id when the server sends an empty one',
      ['id: 1\ndata: a\n\nid:\ndata: b\n\n'],
      [undefined, undefined],
    ],
    ['forgets it in a block without data too', ['id: 1\ndata: a\n\nid\n\n'], [undefined, undefined]],
    ['ignores an id with a NUL', ['id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n'], [undefined, '1']],
    ['sends an id outside Latin-1 as UTF-8', ['id: 日本-é-😀\ndata: a\n\n'], [undefined, '日本-é-😀']],
    ['sends an id within Latin-1 as UTF-8 too', ['id: é\ndata: a\n\n'], [undefined, 'é']],
    ['reconnects after an id that no header can carry', ['id: a\x01b\x7f\ndata: a\n\n'], [undefined, undefined]],
    [
      'keeps the id over a connection that brought nothing',
      ['id: 1\ndata: a\n\n', '', ':\n\n'],
      [undefined, '1', '1', '1'],
    ],
    ['keeps the id over a refusal', ['id: 1\ndata: a\n\n', UNAVAILABLE], [undefined, '1', '1']],
    ['names the newest id at every reconnect', ['id: 1\ndata: a\n\n', 'id: 2\ndata: b\n\n'], [undefined, '1', '2']],
  ]
test.each(cases)('%s', async (_, answers, ids) => {
  expect((await resume(answers)).ids).toEqual(ids)
})

test('begins with the id it was given', async () => {
  const { ids, recording } = await resume(['data: a\n\nid: 43\ndata: b\n\n'], { lastEventId: '42 €' })
  expect(ids).toEqual(['42 €', '43'])
  expect(recording.messages.map(({ id }) => id)).toEqual(['42 €', '43'])
})

test('sends no header when the id it was given is empty', async () => {
  const { ids } = await resume(['data: a\n\n'], { lastEventId: '' })
  expect(ids).toEqual([undefined, undefined])
})

test('gives events after a reconnect the last id when they have none', async () => {
  const { recording } = await resume(['id: 1\ndata: a\n\n', 'data: b\n\n'])
  expect(recording.messages.map(({ data, id }) => [data, id])).toEqual([
    ['a', '1'],
    ['b', '1'],
  ])
})

test('does not begin the next block with what was left of the last connection', async () => {
  const { recording } = await resume(['event: price\nid: 9\ndata: half', 'data: a\n\n'])
  expect(recording.messages).toEqual([{ type: 'message', data: 'a', id: '' }])
})
