import { type Case, openStream, type Scenario, silence, stream } from '../case'

const LIVE = { '': [openStream('data: a\n\ndata: b\n\ndata: c\n\n')] }
const NONE = {}

const PLAIN = '`url`, `withCredentials` and the constants are plain properties of the object.'

const of = (
  name: string,
  answers: Case['answers'],
  scenario: Scenario,
  expected: unknown,
  more: Partial<Case> = {},
): Case => ({
  section: '9.2.2',
  name,
  answers,
  scenario,
  expected,
  ...more,
})

const nameOfError = (run: () => unknown): string => {
  try {
    run()
    return 'nothing'
  } catch (error) {
    return error instanceof DOMException ? `DOMException ${error.name}` : (error as Error).name
  }
}

export const interfaces: readonly Case[] = [
  of(
    'the constants are on the class, on its prototype and on its objects',
    NONE,
    async ({ EventSource, open }) =>
      [EventSource, EventSource.prototype, open()].map(({ CONNECTING, OPEN, CLOSED }) => [CONNECTING, OPEN, CLOSED]),
    [
      [0, 1, 2],
      [0, 1, 2],
      [0, 1, 2],
    ],
    {
      differs: {
        why: PLAIN,
        ours: [
          [0, 1, 2],
          [null, null, null],
          [0, 1, 2],
        ],
      },
    },
  ),
  of('it is an event target', NONE, async ({ open }) => open() instanceof EventTarget, true),
  of(
    'it cannot be called without new',
    NONE,
    async ({ EventSource }) => nameOfError(() => (EventSource as unknown as () => unknown)()),
    'TypeError',
  ),
  of(
    'a url that cannot be parsed is a SyntaxError',
    NONE,
    async ({ EventSource }) => nameOfError(() => new EventSource('http://[')),
    'DOMException SyntaxError',
  ),
  of(
    'the url is resolved, and keeps its fragment',
    NONE,
    async ({ open, url }) => {
      const base = new URL(url('/'))
      return ['a/../b c?d=ü#e', 'f'].map((path) => open(`${base}${path}`).url.replace(`${base}`, ''))
    },
    ['b%20c?d=%C3%BC#e', 'f'],
  ),
  of(
    'a relative url is resolved against the document',
    { '/relative': [stream('data: a\n\n')] },
    async ({ listen, url, until }) => {
      const path = url('/relative').slice(location.origin.length)
      const { source, events } = listen({ url: path })
      await until(() => events.length > 0)
      return source.url === url('/relative')
    },
    true,
    { page: true },
  ),
  of('the url may be a URL', NONE, async ({ open, url }) => open(new URL(url())).url === url(), true),
  of(
    'the request leaves the fragment out, and asks for an event stream that no cache has',
    { '/a': [openStream()] },
    async ({ open, url, requests, until }) => {
      open(`${url('/a')}?b=c#d`)
      await until(async () => (await requests()).length > 0)
      return (await requests()).map(({ path, method, headers }) => [
        path,
        method,
        headers.accept,
        headers['cache-control'],
      ])
    },
    [['/a', 'GET', 'text/event-stream', 'no-cache']],
  ),
  of(
    'withCredentials is false unless it is asked for',
    NONE,
    async ({ open, url }) =>
      [undefined, {}, { withCredentials: false }, { withCredentials: true }, { withCredentials: 1 }].map(
        (init) => open(url(), init as EventSourceInit).withCredentials,
      ),
    [false, false, false, true, true],
  ),
  of(
    'the readyState is connecting, then open, then closed',
    LIVE,
    async ({ open, until }) => {
      const source = open()
      const states = [source.readyState]
      source.onopen = source.onmessage = () => states.push(source.readyState)
      await until(() => states.length === 5)
      source.close()
      states.push(source.readyState)
      return states
    },
    [0, 1, 1, 1, 1, 2],
  ),
  of(
    'its attributes cannot be written',
    NONE,
    async ({ open }) => {
      const source = open()
      return ['url', 'withCredentials', 'readyState', 'OPEN'].map((name) => Reflect.set(source, name, 'x'))
    },
    [false, false, false, false],
    { differs: { why: PLAIN, ours: [true, true, false, true] } },
  ),
  of(
    'the event handlers are null, then what they are set to, then null again',
    NONE,
    async ({ open }) => {
      const source = open()
      const handlers = () => [source.onopen, source.onmessage, source.onerror]
      const handler = () => {}
      const before = handlers()
      source.onopen = source.onmessage = source.onerror = handler
      const set = handlers().map((each) => each === handler)
      source.onopen = source.onmessage = source.onerror = null
      return [before, set, handlers()]
    },
    [
      [null, null, null],
      [true, true, true],
      [null, null, null],
    ],
  ),
  of(
    'an event handler that is no object is null',
    NONE,
    async ({ open }) => {
      const source = open() as unknown as Record<string, unknown>
      return ['text', 1, true, undefined].map((value) => {
        source.onmessage = value
        return source.onmessage
      })
    },
    [null, null, null, null],
  ),
  of(
    'an event handler is called with the source as this, and with the event',
    { '': [stream('data: a\n\n')] },
    async ({ open, until }) => {
      const source = open()
      const seen: unknown[] = []
      source.onopen =
        source.onmessage =
        source.onerror =
          function (this: unknown, event: Event) {
            seen.push([event.type, this === source, event.target === source, event.currentTarget === source])
          }
      await until(() => seen.length >= 3)
      return seen.slice(0, 3)
    },
    [
      ['open', true, true, true],
      ['message', true, true, true],
      ['error', true, true, true],
    ],
  ),
  of(
    'an event handler that was replaced is called no more, and none is after null',
    LIVE,
    async ({ open, until }) => {
      const source = open()
      const seen: string[] = []
      source.onmessage = ({ data }) => {
        seen.push(`first ${data}`)
        source.onmessage = ({ data }) => {
          seen.push(`second ${data}`)
          source.onmessage = null
        }
      }
      source.addEventListener('message', ({ data }) => seen.push(`listener ${data}`))
      await until(() => seen.includes('listener c'))
      return seen
    },
    ['first a', 'listener a', 'second b', 'listener b', 'listener c'],
  ),
  of(
    'an event handler keeps its place among the listeners when it is replaced, and gives it up with null',
    LIVE,
    async ({ open, until }) => {
      const source = open()
      const seen: string[] = []
      source.onmessage = () => seen.push('replaced')
      source.addEventListener('message', ({ data }) => {
        seen.push(`listener ${data}`)
        if (data !== 'a') return
        source.onmessage = null
        source.onmessage = () => seen.push('last')
      })
      source.onmessage = () => seen.push('first')
      await until(() => seen.length === 6)
      return seen
    },
    ['first', 'listener a', 'listener b', 'last', 'listener c', 'last'],
  ),
  of(
    'a listener is called once for each event, and not when it was removed',
    LIVE,
    async ({ open, until }) => {
      const source = open()
      const seen: string[] = []
      const twice = ({ data }: MessageEvent) => {
        seen.push(`twice ${data}`)
        if (data === 'b') source.removeEventListener('message', twice)
      }
      source.addEventListener('message', twice)
      source.addEventListener('message', twice)
      source.addEventListener('message', ({ data }) => seen.push(`once ${data}`), { once: true })
      source.addEventListener('message', { handleEvent: ({ data }: MessageEvent) => seen.push(`object ${data}`) })
      await until(() => seen.includes('object c'))
      return seen
    },
    ['twice a', 'once a', 'object a', 'twice b', 'object b', 'object c'],
  ),
  of(
    'a listener that throws stops neither the others nor the stream',
    LIVE,
    async ({ open, until }) => {
      const source = open()
      const seen: string[] = []
      // Reported to the window, which is the page's matter: there it is kept from being an error of the page.
      const reported: string[] = []
      const note = (event: ErrorEvent) => {
        if (event.message.includes('thrown on purpose')) {
          event.preventDefault()
          reported.push('reported')
        }
      }
      addEventListener('error', note)
      source.onmessage = () => {
        throw new Error('thrown on purpose')
      }
      source.addEventListener('message', ({ data }) => seen.push(data))
      await until(() => seen.length === 3)
      removeEventListener('error', note)
      return [seen, reported.length >= 3]
    },
    [['a', 'b', 'c'], true],
    { page: true },
  ),
  of(
    'onmessage is called for messages alone, listeners by their names',
    {
      '': [
        openStream(
          'event: price\ndata: a\n\nevent: message\ndata: b\n\nevent: open\ndata: c\n\nevent: error\ndata: d\n\n',
        ),
      ],
    },
    async ({ open, until }) => {
      const source = open()
      const seen: string[] = []
      source.onmessage = ({ type, data }) => seen.push(`onmessage: ${type} ${data}`)
      for (const name of ['price', 'message', 'open', 'error', 'other'])
        source.addEventListener(name, (event) => {
          if ('data' in event) seen.push(`${name}: ${event.type} ${event.data}`)
        })
      await until(() => seen.includes('error: error d'))
      return [seen, source.readyState]
    },
    [['price: price a', 'onmessage: message b', 'message: message b', 'open: open c', 'error: error d'], 1],
  ),
  of(
    'close() before there is an answer aborts the request and dispatches nothing',
    { '': [silence] },
    async ({ listen, until, requests, meanwhile }) => {
      const { source, log } = listen()
      await until(async () => (await requests()).length > 0)
      source.close()
      const { readyState } = source
      await until(async () => (await requests()).every(({ over }) => over))
      await meanwhile()
      return [readyState, log, (await requests()).length]
    },
    [2, [], 1],
  ),
  of(
    'close() in the same turn as the constructor dispatches nothing',
    LIVE,
    async ({ listen, meanwhile }) => {
      const { source, log } = listen()
      source.close()
      const { readyState } = source
      await meanwhile()
      return [readyState, log, source.readyState]
    },
    [2, [], 2],
  ),
  of(
    'close() in the open handler lets no event through',
    LIVE,
    async ({ listen, until, requests, meanwhile }) => {
      const { source, log } = listen()
      source.onopen = () => source.close()
      await until(() => log.length > 0)
      await until(async () => (await requests()).every(({ over }) => over))
      await meanwhile()
      return [log, source.readyState, (await requests()).length]
    },
    [['open'], 2, 1],
  ),
  of(
    'close() in a message handler lets the other listeners have the event, but no event after it through',
    LIVE,
    async ({ listen, until, requests, meanwhile }) => {
      const { source, log } = listen()
      source.onmessage = () => source.close()
      source.addEventListener('message', ({ data }) => log.push(`then ${data}`))
      await until(async () => (await requests()).every(({ over }) => over) && log.length > 1)
      await meanwhile()
      return [log, source.readyState, (await requests()).length]
    },
    [['open', 'message a', 'then a'], 2, 1],
  ),
  of(
    'close() in the handler of the last message lets no error of the end through',
    { '': [stream('data: a\n\n')] },
    async ({ listen, until, requests, meanwhile }) => {
      const { source, log } = listen()
      source.onmessage = () => source.close()
      await until(() => log.includes('message a'))
      await meanwhile()
      return [log, (await requests()).length]
    },
    [['open', 'message a'], 1],
  ),
  of(
    'close() in an error handler ends the reconnecting',
    { '': [stream('retry: 1\n\n'), openStream()] },
    async ({ listen, until, requests, meanwhile }) => {
      const { source, log } = listen()
      source.onerror = () => source.close()
      await until(() => log.length > 1)
      await meanwhile()
      return [log, source.readyState, (await requests()).length]
    },
    [['open', 'error, connecting'], 2, 1],
  ),
  of(
    'close() dispatches nothing itself, and may be called again',
    { '': [openStream(':\n\n')] },
    async ({ listen, until, requests, meanwhile }) => {
      const { source, log } = listen()
      await until(() => log.length > 0)
      source.close()
      source.close()
      await until(async () => (await requests()).every(({ over }) => over))
      await meanwhile()
      return [log, source.readyState]
    },
    [['open'], 2],
  ),
  of(
    'two sources on one address know nothing of each other',
    { '': [openStream('data: a\n\n'), openStream('data: a\n\n')] },
    async ({ listen, until, requests }) => {
      const [one, other] = [listen(), listen()]
      await until(() => one.events.length === 1 && other.events.length === 1)
      one.source.close()
      await until(async () => (await requests()).some(({ over }) => over))
      return [one.source.readyState, other.source.readyState, other.log, (await requests()).length]
    },
    [2, 1, ['open', 'message a'], 2],
  ),
]
