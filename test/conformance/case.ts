/** The language of the cases: nothing here, or in what they import, knows Node, a test runner or a browser's driver. */

export interface Case {
  /** Of the WHATWG HTML standard. */
  readonly section: '9.2.2' | '9.2.3' | '9.2.4' | '9.2.5' | '9.2.6'
  /** What an `EventSource` does. */
  readonly name: string
  /** By path, the answers in the order of the requests. When they are used up the answer is 204: the end. */
  readonly answers: Readonly<Record<string, readonly Answer[]>>
  /** Headers of the answer to a preflight; without them there is none that allows anything. */
  readonly preflight?: Readonly<Record<string, string>>
  /** Needs a page: CORS, cookies, or a base for relative URLs. */
  readonly page?: true
  /** Does things with a source and resolves with what was observed, as JSON. */
  readonly scenario: Scenario
  /** What the specification says is observed. */
  readonly expected: unknown
  /** Where somebody does otherwise: the README has `why` word for word, and what is observed instead. */
  readonly differs?: {
    readonly why: string
    readonly ours?: unknown
    /** Where an engine's `fetch` leaves ours no choice. */
    readonly oursIn?: Partial<Record<EngineName, unknown>>
    readonly browsers?: Partial<Record<EngineName, unknown>>
  }
}

export type EngineName = 'Chromium' | 'Firefox' | 'WebKit'

export const titleOf = ({ section, name }: Case): string => `${section}: ${name}`

/** What the browser's own source or ours is observed to do, in an engine or, without one, in Node. */
export function expectedOf({ expected, differs }: Case, player: Player, engine?: EngineName): unknown {
  const inEngines = player === 'ours' ? differs?.oursIn : differs?.browsers
  if (engine && inEngines && engine in inEngines) return inEngines[engine]
  return player === 'ours' && differs && 'ours' in differs ? differs.ours : expected
}

export const players = ['browser', 'ours'] as const

export type Player = (typeof players)[number]

export type Scenario = (kit: Kit) => Promise<unknown>

/** In header values `<same>` and `<other>` stand for the case's place on the two servers, `<page>` for the page's origin. */
export interface Answer {
  /** Without one the connection is reset before it, or stays as it is. */
  readonly head?: { readonly status: number; readonly headers?: Readonly<Record<string, string | readonly string[]>> }
  /** Each is sent by itself. */
  readonly chunks: readonly (string | readonly number[])[]
  /** `cut`: reset when the scenario asks for it. What is on its way when a connection is reset may be lost. */
  readonly after: 'end' | 'stay' | 'reset' | 'cut'
  /** What is sent when the scenario asks for it, so that nothing before it can arrive with it. */
  readonly more?: string | readonly number[]
}

export interface SeenRequest {
  readonly path: string
  readonly server: 'same' | 'other'
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
  /** ms, on the server's clock. */
  readonly time: number
  /** Whether its connection is over. */
  readonly over: boolean
}

export interface Kit {
  readonly EventSource: typeof EventSource
  /** An address that the case's answers are for. */
  url(path?: string, server?: 'same' | 'other'): string
  /** Opens a source, which is closed when the case is over. */
  open(url?: string | URL, init?: EventSourceInit): EventSource
  /** Opens a source and writes down what it dispatches: `open`, `message a`, `error, connecting`, `error, closed`. */
  listen(options?: { url?: string; init?: EventSourceInit; types?: readonly string[] }): Listening
  /** Reads until it is true. */
  until(read: () => unknown): Promise<void>
  /** What the server has seen of this case. */
  requests(): Promise<SeenRequest[]>
  /** Resets the connection that waits for it. */
  cut(): Promise<void>
  /** Sends what the answer holds back. */
  more(): Promise<void>
  /** As long as another source takes to reconnect three times: what has not happened by then does not happen. */
  meanwhile(): Promise<void>
}

export interface Listening {
  readonly source: EventSource
  readonly log: string[]
  readonly events: MessageEvent<string>[]
}

const SSE = { 'content-type': 'text/event-stream', 'cache-control': 'no-store' }

/** A stream that ends after these chunks. */
export const stream = (...chunks: Answer['chunks']): Answer => ({
  head: { status: 200, headers: SSE },
  chunks,
  after: 'end',
})
/** A stream that stays open. */
export const openStream = (...chunks: Answer['chunks']): Answer => ({ ...stream(...chunks), after: 'stay' })
/** A stream that stays open until the scenario cuts it. */
export const cutStream = (...chunks: Answer['chunks']): Answer => ({ ...stream(...chunks), after: 'cut' })
/** Any answer; if it is a 200, with the body of a stream. */
export const answer = (status: number, headers: Record<string, string | readonly string[]> = {}): Answer => ({
  head: { status, headers },
  chunks: status === 200 ? ['retry: 1\ndata: a\n\n'] : [],
  after: 'end',
})
export const redirect = (location: string, status = 302): Answer => answer(status, { location })
/** Resets, more than a browser hides: Firefox sends a request ten times before it takes them for an error. */
export const manyResets: readonly Answer[] = Array.from({ length: 50 }, () => ({ chunks: [], after: 'reset' }))
/** No answer, ever. */
export const silence: Answer = { chunks: [], after: 'stay' }
export const withHeaders = (given: Answer, headers: Record<string, string>): Answer => ({
  ...given,
  head: { status: 200, ...given.head, headers: { ...given.head?.headers, ...headers } },
})

/** The messages of one connection, as type, data and last id. */
export const messages =
  (...types: string[]): Scenario =>
  async ({ listen, until }) => {
    const { source, log, events } = listen({ types })
    await until(() => log.some((entry) => entry.startsWith('error, ')))
    source.close()
    return events.map(({ type, data, lastEventId }) => [type, data, lastEventId])
  }

/** All that is dispatched until the source is closed. */
export const dispatched: Scenario = async ({ listen, until }) => {
  const { source, log } = listen()
  await until(() => source.readyState === source.CLOSED)
  return log
}

/** The `Last-Event-ID` of each request until the source is closed, null where there is none. */
export const sentIds: Scenario = async ({ listen, until, requests }) => {
  const { source } = listen()
  await until(() => source.readyState === source.CLOSED)
  return (await requests()).map(({ headers }) => headers['last-event-id'] ?? null)
}
