import {
  type Answer,
  answer,
  type Case,
  cutStream,
  dispatched,
  manyResets,
  openStream,
  redirect,
  type Scenario,
  stream,
  withHeaders,
} from '../case'

const of = (
  name: string,
  answers: readonly Answer[] | Case['answers'],
  scenario: Scenario,
  expected: unknown,
  more: Partial<Case> = {},
): Case => ({
  section: '9.2.3',
  name,
  answers: Array.isArray(answers) ? { '': answers } : (answers as Case['answers']),
  scenario,
  expected,
  ...more,
})

const SSE = 'text/event-stream'
const typed = (type: string | string[]): Answer => answer(200, { 'content-type': type })

/** The end, as every source sees it that has used up its answers. */
const END = 'error, closed'
const ONCE = ['open', 'message a', 'error, connecting', END]

const RETRIED = 'After 408, 425, 429 and 5xx it reconnects with backoff; a browser closes.'
const TYPES = 'Of several content types the first counts; in a browser the last.'
const CHARSET = 'A charset that is not UTF-8 is ignored; Chromium closes.'
const MALFORMED = 'A content type with more than parameters behind it closes; a browser opens.'
const REDIRECTED =
  'After a redirect it reconnects to the first address, so that a balancer may choose again, as WebKit does; Chromium goes to the last, and Firefox does after a permanent one.'
const CORS = 'A refusal by CORS looks like an outage to a script, so it reconnects with backoff; a browser closes.'
const PASSWORD =
  'A URL with a user name or password cannot be fetched, so it closes, as Chromium does; Firefox and WebKit answer a 401 with them.'
const HEADERS_ALONE =
  "In Firefox it opens with the first byte of a body, as Firefox's own does, and not with the headers before it."
const CUT_OFF = 'A line that a reset cuts off is dropped; WebKit puts it before the first line of the next connection.'
const RETRY = 'A `retry` with a plus or spaces around its digits is ignored; WebKit obeys it.'
const ENDLESS =
  'After a redirect that never ends it reconnects; Firefox and WebKit close, as they may where they think it futile.'
const DATA_URL = 'A `data:` URL is a stream like any other; Firefox and WebKit close.'

const TO_THE_FIRST = [['a'], [' -', '/moved -', ' 1']]

/** The messages' origins, as the names of the servers. */
const originsOf: Scenario = async ({ listen, until, url }) => {
  const { source, events } = listen()
  await until(() => source.readyState === source.CLOSED)
  const names = new Map((['same', 'other'] as const).map((server) => [new URL(url('', server)).origin, server]))
  return [events.map(({ origin }) => names.get(origin) ?? origin), source.url === url()]
}

/** The paths and ids that were asked for until the source is closed. */
const asked: Scenario = async ({ listen, until, requests }) => {
  const { source, events } = listen()
  await until(() => source.readyState === source.CLOSED)
  return [
    events.map(({ data }) => data),
    (await requests()).map(({ path, headers }) => `${path} ${headers['last-event-id'] ?? '-'}`),
  ]
}

/** ms from the first request to the second, as far as a machine under load can tell: the least that it was. */
const waitedAtLeast =
  (ms: number): Scenario =>
  async ({ listen, until, requests }) => {
    const { source } = listen()
    await until(() => source.readyState === source.CLOSED)
    const [first, second] = (await requests()).slice(-2)
    return second!.time - first!.time >= ms
  }

const ALLOW = { 'access-control-allow-origin': '*' }
const ALLOW_PAGE = { 'access-control-allow-origin': '<page>', 'access-control-allow-credentials': 'true' }

export const connection: readonly Case[] = [
  of(
    'the end of a stream is an error, and another connection',
    [stream('retry: 1\ndata: a\n\n'), stream('data: b\n\n')],
    dispatched,
    ['open', 'message a', 'error, connecting', 'open', 'message b', 'error, connecting', END],
  ),
  of('a stream without an event opens all the same', [stream('retry: 1\n\n'), stream()], dispatched, [
    'open',
    'error, connecting',
    'open',
    'error, connecting',
    END,
  ]),
  of(
    'a stream opens with its headers, before there is an event',
    [openStream()],
    async ({ listen, until, requests, meanwhile }) => {
      const { log } = listen()
      await until(async () => (await requests()).length > 0)
      await meanwhile()
      return log
    },
    ['open'],
    { differs: { why: HEADERS_ALONE, browsers: { Firefox: [] }, oursIn: { Firefox: [] } } },
  ),
  of(
    'a connection that is reset is an error, and another connection',
    [cutStream('retry: 1\ndata: a\n\ndata: half'), stream('data: b\n\n')],
    async ({ listen, until, cut }) => {
      const { source, log } = listen()
      await until(() => log.includes('message a'))
      await cut()
      await until(() => source.readyState === source.CLOSED)
      return log
    },
    ['open', 'message a', 'error, connecting', 'open', 'message b', 'error, connecting', END],
    {
      differs: {
        why: CUT_OFF,
        browsers: {
          WebKit: ['open', 'message a', 'error, connecting', 'open', 'message halfdata: b', 'error, connecting', END],
        },
      },
    },
  ),
  of(
    'a connection that is reset before its answer is an error, and another connection',
    [stream('retry: 1\n\n'), ...manyResets],
    async ({ listen, until }) => {
      const { log } = listen()
      await until(() => log.length >= 4)
      return log.slice(0, 4)
    },
    ['open', 'error, connecting', 'error, connecting', 'error, connecting'],
  ),
  of('204 ends it', [answer(204, { 'content-type': SSE })], dispatched, [END]),
  ...[201, 202, 205, 206, 300, 304, 400, 401, 402, 403, 404, 405, 406, 409, 410, 413, 415, 422, 451].map((status) =>
    of(`${status} ends it`, [answer(status, { 'content-type': SSE })], dispatched, [END]),
  ),
  ...[408, 425, 429, 500, 501, 502, 503, 504].map((status) =>
    of(`${status} ends it`, [answer(status, { 'content-type': SSE }), stream('data: a\n\n')], dispatched, [END], {
      differs: { why: RETRIED, ours: ['error, connecting', ...ONCE] },
    }),
  ),
  of('a refusal after a stream ends it', [stream('retry: 1\n\n'), answer(404)], dispatched, [
    'open',
    'error, connecting',
    END,
  ]),
  of(
    'a source that has ended asks no more',
    [answer(404)],
    async ({ listen, until, requests, meanwhile }) => {
      const { source, log } = listen()
      await until(() => source.readyState === source.CLOSED)
      await meanwhile()
      return [log, (await requests()).length]
    },
    [[END], 1],
  ),
  ...[SSE, `${SSE};charset=utf-8`, 'Text/Event-Stream ; charset="UTF-8"', `${SSE}; foo=bar`, `${SSE};`, ` ${SSE} `].map(
    (type) =>
      of(
        `the content type ${JSON.stringify(type)} is a stream`,
        [withHeaders(stream('retry: 1\ndata: a\n\n'), { 'content-type': type })],
        dispatched,
        ONCE,
      ),
  ),
  of(
    'a charset that is not UTF-8 is ignored',
    [withHeaders(stream('retry: 1\ndata: ü\n\n'), { 'content-type': `${SSE}; charset=windows-1252` })],
    dispatched,
    ['open', 'message ü', 'error, connecting', END],
    { differs: { why: CHARSET, browsers: { Chromium: [END] } } },
  ),
  ...[
    'text/html',
    'text/plain',
    'application/json',
    `${SSE}s`,
    `${SSE}-not`,
    'text/event',
    `x/${SSE}`,
    `"${SSE}"`,
    '',
  ].map((type) => of(`the content type ${JSON.stringify(type)} ends it`, [typed(type)], dispatched, [END])),
  of('a content type with something behind it ends it', [typed(`${SSE} x`)], dispatched, [END], {
    differs: { why: MALFORMED, browsers: { Chromium: ONCE, Firefox: ONCE, WebKit: ONCE } },
  }),
  of('no content type ends it', [answer(200)], dispatched, [END]),
  of('of two content types the last one counts: a stream', [typed(['text/html', SSE])], dispatched, ONCE, {
    differs: { why: TYPES, ours: [END] },
  }),
  of('of two content types the last one counts: no stream', [typed([SSE, 'text/html'])], dispatched, [END]),

  of('retry sets how long it waits', [stream('retry: 300\n\n')], waitedAtLeast(300), true),
  of('retry counts as soon as its line is read', [stream('data: a\nretry: 300\n')], waitedAtLeast(300), true),
  of('retry holds for the connections after the next', [stream('retry: 300\n\n'), stream()], waitedAtLeast(300), true),
  of('the last retry counts', [stream('retry: 60000\n\nretry: 1\n\n')], dispatched, ['open', 'error, connecting', END]),
  of(
    'retry is ignored unless it has nothing but ASCII digits',
    [
      stream(
        `retry: 1\n${['60000ms', '6e4', '-60000', '60000.5', '0xEA60', '６００００', '60 000'].map((value) => `retry: ${value}\n`).join('')}:retry: 60000\nRetry: 60000\n\n`,
      ),
    ],
    dispatched,
    ['open', 'error, connecting', END],
  ),
  ...['+3000', ' 3000', '3000 '].map((value) =>
    of(
      `retry is ignored when it is ${JSON.stringify(value)}`,
      [stream(`retry: 1\nretry: ${value}\n\n`)],
      waitedAtLeast(3_000),
      false,
      { differs: { why: RETRY, browsers: { WebKit: true } } },
    ),
  ),

  ...[301, 302, 303, 307, 308].map((status) =>
    of(
      `it follows a ${status}`,
      { '': [redirect('<same>/moved', status)], '/moved': [stream('retry: 1\ndata: a\n\n')] },
      async (kit) => {
        const { source, events, log } = kit.listen()
        await kit.until(() => events.length > 0)
        source.close()
        return [
          log.slice(0, 2),
          (await kit.requests()).slice(0, 2).map(({ path, method, headers }) => [path, method, headers.accept]),
        ]
      },
      [
        ['open', 'message a'],
        [
          ['', 'GET', SSE],
          ['/moved', 'GET', SSE],
        ],
      ],
    ),
  ),
  ...[301, 302, 303, 307, 308].map((status) =>
    of(
      `after a ${status} it reconnects to where it was sent`,
      {
        '': [redirect('<same>/moved', status)],
        '/moved': [stream('retry: 1\nid: 1\ndata: a\n\n'), stream('data: b\n\n')],
      },
      asked,
      [
        ['a', 'b'],
        [' -', '/moved -', '/moved 1', '/moved 1'],
      ],
      {
        differs: {
          why: REDIRECTED,
          ours: TO_THE_FIRST,
          browsers: { WebKit: TO_THE_FIRST, ...(status !== 301 && status !== 308 && { Firefox: TO_THE_FIRST }) },
        },
      },
    ),
  ),
  of('the origin of an event is that of the server', [stream('retry: 1\ndata: a\n\n')], originsOf, [['same'], true]),
  of(
    'the origin of an event is that at the end of the redirects, the url the one that was asked for',
    { '': [redirect('<other>/moved')], '/moved': [withHeaders(stream('retry: 1\ndata: a\n\n'), ALLOW)] },
    originsOf,
    [['other'], true],
  ),
  of('a redirect without a location ends it', [answer(302)], dispatched, [END]),
  of(
    'the answer at the end of the redirects is what counts',
    { '': [redirect('<same>/moved')], '/moved': [answer(410)] },
    dispatched,
    [END],
  ),
  of(
    'a redirect that never ends is an error, and another connection',
    {
      '': [stream('retry: 1\n\n'), redirect('<same>/loop')],
      '/loop': Array.from({ length: 25 }, () => redirect('<same>/loop')),
    },
    async ({ listen, until }) => {
      const { log } = listen()
      await until(() => log.length >= 3)
      return log.slice(0, 3)
    },
    ['open', 'error, connecting', 'error, connecting'],
    {
      differs: {
        why: ENDLESS,
        browsers: { Firefox: ['open', 'error, connecting', END], WebKit: ['open', 'error, connecting', END] },
      },
    },
  ),
  of(
    'a message is a MessageEvent, open and error are not; none bubbles or can be cancelled',
    [stream('id: 1\ndata: a\n\n')],
    async ({ open, until }) => {
      const seen: unknown[] = []
      const source = open()
      source.onopen =
        source.onmessage =
        source.onerror =
          (event) => {
            const { type, bubbles, cancelable, composed } = event
            const { source, ports } = event as MessageEvent
            seen.push([
              type,
              event instanceof MessageEvent,
              bubbles,
              cancelable,
              composed,
              source ?? null,
              ports?.length ?? 0,
            ])
          }
      await until(() => seen.length >= 3)
      return seen.slice(0, 3)
    },
    [
      ['open', false, false, false, false, null, 0],
      ['message', true, false, false, false, null, 0],
      ['error', false, false, false, false, null, 0],
    ],
  ),
  of(
    "its events are the platform's",
    [stream('data: a\n\n')],
    async ({ open, until }) => {
      const seen: boolean[] = []
      const source = open()
      source.onopen = source.onmessage = source.onerror = ({ isTrusted }) => seen.push(isTrusted)
      await until(() => seen.length >= 3)
      return seen.slice(0, 3)
    },
    [true, true, true],
    { differs: { why: 'Its events are not `isTrusted`.', ours: [false, false, false] } },
  ),
  of(
    'an error event says nothing more than that',
    [answer(404)],
    async ({ open, until }) => {
      let fields: string[] | undefined
      open().onerror = (event) => {
        fields = Object.keys(event).filter((name) => name !== 'isTrusted')
      }
      await until(() => fields)
      return fields
    },
    [],
    { differs: { why: 'Its `error` events carry `error` and `retryAt`.', ours: ['error', 'retryAt'] } },
  ),
  of(
    'a data: URL is a stream like any other, of no origin',
    {},
    async ({ listen, until }) => {
      const { events, log } = listen({ url: 'data:text/event-stream,data:%20a%0A%0A' })
      await until(() => log.length >= 3 || log.includes(END))
      return [log.slice(0, 3), events[0]?.origin ?? '-']
    },
    [['open', 'message a', 'error, connecting'], 'null'],
    { differs: { why: DATA_URL, browsers: { Firefox: [[END], '-'], WebKit: [[END], '-'] } } },
  ),
  of(
    'a large event is an event like any other',
    [stream('retry: 1\n\n', `data: ${'x'.repeat(2 ** 20 + 1)}\n\n`)],
    async ({ listen, until }) => {
      const { source, events } = listen()
      await until(() => source.readyState === source.CLOSED)
      return events.map(({ data }) => data.length)
    },
    [2 ** 20 + 1],
    { differs: { why: 'An event of over 1 MiB is an error, unless `maxEventBytes` allows it.', ours: [] } },
  ),

  of(
    'cookies go to the same origin',
    [stream('retry: 1\n\n')],
    async (kit) => {
      await dispatched(kit)
      return (await kit.requests())[0]!.headers.cookie
    },
    'session=ann',
    { page: true },
  ),
  of(
    'another origin that allows it is read, and gets no cookie',
    [withHeaders(stream('retry: 1\ndata: a\n\n'), ALLOW)],
    async (kit) => {
      const { source, log } = kit.listen({ url: kit.url('', 'other') })
      await kit.until(() => source.readyState === source.CLOSED)
      const [first] = await kit.requests()
      return [log, first!.headers.origin === location.origin, first!.headers.cookie ?? null]
    },
    [ONCE, true, null],
    { page: true },
  ),
  of(
    'another origin gets cookies when it is asked withCredentials',
    [withHeaders(stream('retry: 1\ndata: a\n\n'), ALLOW_PAGE)],
    async (kit) => {
      const { source, log } = kit.listen({ url: kit.url('', 'other'), init: { withCredentials: true } })
      await kit.until(() => source.readyState === source.CLOSED)
      return [log, (await kit.requests())[0]!.headers.cookie ?? null]
    },
    [ONCE, 'session=ann'],
    { page: true },
  ),
  ...(
    [
      ['that allows nobody', {}, false],
      ['that allows somebody else', { 'access-control-allow-origin': 'https://example.com' }, false],
      ['that allows everybody but no credentials', ALLOW, true],
      ['that allows the page but no credentials', { 'access-control-allow-origin': '<page>' }, true],
    ] as const
  ).map(([which, headers, withCredentials]) =>
    of(
      `another origin ${which} ends it${withCredentials ? ' withCredentials' : ''}`,
      [withHeaders(stream('data: a\n\n'), headers)],
      async (kit) => {
        const { source, log } = kit.listen({ url: kit.url('', 'other'), init: { withCredentials } })
        await kit.until(() => source.readyState === source.CLOSED)
        return log
      },
      [END],
      {
        page: true,
        differs: {
          why: CORS,
          ours: ['error, connecting', END],
        },
      },
    ),
  ),
  of(
    'a URL with a password signs in when it is asked to',
    [answer(401, { 'www-authenticate': 'Basic realm="conformance"' }), openStream(':\n\n')],
    async ({ listen, url, until, requests }) => {
      const { log } = listen({ url: url().replace('://', '://ann:secret@') })
      await until(() => log.length > 0)
      return [log[0], (await requests()).map(({ headers }) => headers.authorization ?? null)]
    },
    ['open', [null, 'Basic YW5uOnNlY3JldA==']],
    { differs: { why: PASSWORD, ours: [END, []], browsers: { Chromium: [END, []] } } },
  ),
]
