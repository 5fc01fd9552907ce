import { type Answer, type Case, manyResets, type Scenario, sentIds, stream, withHeaders } from '../case'

const of = (name: string, answers: readonly Answer[], expected: unknown, more: Partial<Case> = {}): Case => ({
  section: '9.2.4',
  name,
  answers: { '': answers },
  scenario: sentIds,
  expected,
  ...more,
})

const RETRY = 'retry: 1\n'
const LONG = 'x'.repeat(5_000)

const ENCODED = 'In WebKitGTK it sends an id that is not ASCII encoded twice.'
/** Of cases of the format, too. */
export const ID_ALONE = 'An id counts in a block without data, too; Firefox forgets it, and WebKit does not send it.'

/** Type, data and last id of the messages of all connections. */
const all: Scenario = async ({ listen, until }) => {
  const { source, events } = listen({ types: ['price'] })
  await until(() => source.readyState === source.CLOSED)
  return events.map(({ type, data, lastEventId }) => [type, data, lastEventId])
}

const ALLOW = { 'access-control-allow-origin': '*' }

export const resuming: readonly Case[] = [
  of('the first request has no id', [], [null]),
  of(
    'a reconnect names the id of the last event',
    [stream(`${RETRY}id: 1\ndata: a\n\nid: 2\ndata: b\n\n`)],
    [null, '2'],
  ),
  of('it names none when the server gave none', [stream(`${RETRY}data: a\n\n`)], [null, null]),
  of(
    'it keeps the id of an event when those after it have none',
    [stream(`${RETRY}id: 1\ndata: a\n\ndata: b\n\n`)],
    [null, '1'],
  ),
  of('it names the id of a block without data', [stream(`${RETRY}id: 1\ndata: a\n\nid: 2\n\n`)], [null, '2'], {
    differs: { why: ID_ALONE, browsers: { Firefox: [null, '1'], WebKit: [null, '1'] } },
  }),
  of(
    'it never names the id of a block that no blank line ended',
    [stream(`${RETRY}id: 1\ndata: a\n\nid: 2\ndata: b\n`)],
    [null, '1'],
  ),
  of('it never names half an id', [stream(`${RETRY}id: 10\ndata: a\n\nid: 1`)], [null, '10']),
  of('it names none after an empty one', [stream(`${RETRY}id: 1\ndata: a\n\nid:\ndata: b\n\n`)], [null, null]),
  of(
    'it names none after an empty one in a block without data',
    [stream(`${RETRY}id: 1\ndata: a\n\nid\n\n`)],
    [null, null],
    { differs: { why: ID_ALONE, browsers: { Firefox: [null, '1'], WebKit: [null, '1'] } } },
  ),
  of('it does not name an id with a NUL', [stream(`${RETRY}id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n`)], [null, '1']),
  ...['日本-é-😀', 'é'].map((id) =>
    of(`the id ${id} goes as UTF-8`, [stream(`${RETRY}id: ${id}\ndata: a\n\n`)], [null, id], {
      differs: { why: ENCODED, oursIn: { WebKit: [null, String.fromCharCode(...new TextEncoder().encode(id))] } },
    }),
  ),
  of(
    'an id may have spaces and punctuation',
    [stream(`${RETRY}id: a b;c,"d"=\\e\ndata: a\n\n`)],
    [null, 'a b;c,"d"=\\e'],
  ),
  of('an id with control characters is named', [stream(`${RETRY}id: a\x01b\x7f\ndata: a\n\n`)], [null, 'a\x01b\x7f'], {
    differs: { why: 'An id with control characters is not sent back: few servers would take it.', ours: [null, null] },
  }),
  of('an id may be long', [stream(`${RETRY}id: 1\ndata: a\n\nid: ${LONG}\ndata: a\n\n`)], [null, LONG], {
    differs: { why: 'An id of over 4,096 characters does not count.', ours: [null, '1'] },
  }),
  of(
    'an id holds over a connection that brought nothing',
    [stream(`${RETRY}id: 1\ndata: a\n\n`), stream(), stream(':\n\n')],
    [null, '1', '1', '1'],
  ),
  of('an id holds over connections that failed', [stream(`${RETRY}id: 1\ndata: a\n\n`), ...manyResets], [null, ['1']], {
    async scenario({ listen, until, requests }) {
      const { log } = listen()
      await until(() => log.filter((entry) => entry === 'error, connecting').length >= 3)
      const [first, ...more] = (await requests()).map(({ headers }) => headers['last-event-id'] ?? null)
      return [first, [...new Set(more)]]
    },
  }),
  of(
    'every reconnect names the newest id',
    [stream(`${RETRY}id: 1\ndata: a\n\n`), stream('id: 2\ndata: b\n\n')],
    [null, '1', '2'],
  ),
  of(
    'events after a reconnect have the last id when they have none',
    [stream(`${RETRY}id: 1\ndata: a\n\n`), stream('data: b\n\nid: 2\ndata: c\n\n')],
    [
      ['message', 'a', '1'],
      ['message', 'b', '1'],
      ['message', 'c', '2'],
    ],
    { scenario: all },
  ),
  of(
    'nothing that was cut off is left for the next connection',
    [stream(`${RETRY}\nevent: price\nid: 9\ndata: half`), stream('data: a\n\n')],
    [['message', 'a', '']],
    { scenario: all },
  ),
  of(
    'half a character that was cut off is not left for the next connection',
    [stream(`${RETRY}\n`, [0x64, 0x61, 0x74, 0x61, 0x3a, 0xe2, 0x82]), stream('\uFEFFdata: a\n\n')],
    [['message', 'a', '']],
    { scenario: all },
  ),
  {
    section: '9.2.4',
    name: 'another origin gets the id without a preflight',
    page: true,
    answers: { '': [withHeaders(stream(`${RETRY}id: 1\ndata: a\n\n`), ALLOW)] },
    preflight: { ...ALLOW, 'access-control-allow-headers': 'last-event-id' },
    async scenario({ listen, until, url, requests }) {
      const { source } = listen({ url: url('', 'other') })
      await until(() => source.readyState === source.CLOSED)
      return (await requests()).map(({ method, headers }) => `${method} ${headers['last-event-id'] ?? '-'}`)
    },
    expected: ['GET -', 'GET 1'],
    differs: {
      why: 'Across origins a reconnect with `Last-Event-ID` has a preflight.',
      ours: ['GET -', 'OPTIONS -', 'GET 1'],
    },
  },
]
