import type { ModelledTab, World } from './modelled-tabs'

export interface JournalBehaviour {
  readonly ids: boolean
  /** How many events before the one that was asked for are sent again. */
  readonly extra: number
}

export interface ModelledRequest {
  readonly tab: ModelledTab
  readonly path: string
  readonly at: number
  readonly lastEventId: string | undefined
}

export interface ModelledJournal {
  /** Number of the last event. */
  readonly last: number
  /** Connections of pages that do not stand still: one that hangs cannot close its own. */
  readonly open: number
  readonly requests: readonly ModelledRequest[]
  /** ms since when more than one connection has been open without a break, at most. */
  readonly longestOverlap: number
  /** While true, no request is answered but with an error. */
  isDown: boolean
  /** ms that an answer or a chunk takes. */
  latency: number
  append(count: number): void
  drop(): void
  fetchOf(tab: ModelledTab): typeof fetch
  /** What `/json...` answers. */
  body: () => unknown
}

interface Connection {
  readonly tab: ModelledTab
  write(text: string): void
  fail(): void
}

const LATENCY = 3
const HEARTBEAT = ': here\n\n'
const HEARTBEAT_EVERY = 15_000
const encoder = new TextEncoder()

/** A server of one stream, at any path that begins with `/stream`, without a network: replays by `Last-Event-ID`, if it has ids. */
export function createModelledJournal({ clock, onGone }: World, { ids, extra }: JournalBehaviour): ModelledJournal {
  const connections = new Set<Connection>()
  const requests: ModelledRequest[] = []
  let last = 0
  let overlapSince: number | undefined
  let longestOverlap = 0

  const journal: ModelledJournal = {
    get last() {
      return last
    },
    get open() {
      return [...connections].filter(({ tab }) => tab.life === 'running').length
    },
    requests,
    get longestOverlap() {
      measure()
      return longestOverlap
    },
    isDown: false,
    latency: LATENCY,
    append(count) {
      let text = ''
      for (let n = 0; n < count; n += 1) text += frame(++last)
      for (const connection of connections) connection.write(text)
    },
    drop() {
      for (const connection of connections) connection.fail()
    },
    fetchOf: (tab) => (input, init) => answer(tab, input as string, init as RequestInit),
    body: () => ({ n: last }),
  }
  onGone((tab) => {
    for (const connection of connections) if (connection.tab === tab) leave(connection)
  })
  beat()
  return journal

  function beat(): void {
    for (const connection of connections) connection.write(HEARTBEAT)
    clock.after(HEARTBEAT_EVERY, beat, 'heartbeat')
  }

  function frame(n: number): string {
    return `${ids ? `id: e${n}\n` : ''}data: {"n":${n}}\n\n`
  }

  function measure(): void {
    if (overlapSince !== undefined) longestOverlap = Math.max(longestOverlap, clock.now() - overlapSince)
    if (connections.size < 2) overlapSince = undefined
    else overlapSince ??= clock.now()
  }

  function leave(connection: Connection): void {
    connections.delete(connection)
    measure()
  }

  function answer(tab: ModelledTab, url: string, { signal, headers }: RequestInit): Promise<Response> {
    const path = new URL(url).pathname
    const lastEventId = (headers as Headers).get('last-event-id') ?? undefined
    requests.push({ tab, path, at: clock.now(), lastEventId })
    return new Promise((resolve, reject) => {
      signal?.addEventListener('abort', () => reject(signal.reason))
      const arrive = () => {
        if (signal?.aborted || tab.life === 'gone') return
        if (journal.isDown) tab.post('fetch', () => reject(new TypeError('fetch failed')))
        else if (path.startsWith('/stream')) later(tab, serve(tab, lastEventId, signal, resolve, reject))
        else {
          const text = JSON.stringify(journal.body())
          later(tab, () =>
            resolve(
              new Response(text, { headers: { 'content-type': 'application/json', 'last-event-id': `e${last}` } }),
            ),
          )
        }
      }
      clock.after(LATENCY, arrive, 'request')
    })
  }

  function later(tab: ModelledTab, run: () => void): void {
    clock.after(journal.latency, () => tab.post('fetch', run), 'answer')
  }

  /** The server has the connection from now on; the tab learns of it later. */
  function serve(
    tab: ModelledTab,
    lastEventId: string | undefined,
    signal: AbortSignal | null | undefined,
    resolve: (response: Response) => void,
    reject: (reason: unknown) => void,
  ): () => void {
    let controller: ReadableStreamDefaultController<Uint8Array>
    const body = new ReadableStream<Uint8Array>({
      start(given) {
        controller = given
      },
      cancel: () => leave(connection),
    })
    const connection: Connection = {
      tab,
      write: (text) => later(tab, () => connections.has(connection) && controller.enqueue(encoder.encode(text))),
      fail() {
        leave(connection)
        later(tab, () => signal?.aborted || controller.error(new TypeError('terminated')))
      },
    }
    connections.add(connection)
    measure()
    signal?.addEventListener('abort', () => {
      leave(connection)
      try {
        controller.error(signal.reason)
      } catch {
        // It has ended already.
      }
    })
    // A server that replays says at once from where.
    let text = ids && lastEventId === undefined ? `id: e${last}\n\n` : HEARTBEAT
    if (lastEventId !== undefined)
      for (let n = Math.max(1, Number(lastEventId.slice(1)) + 1 - extra); n <= last; n += 1) text += frame(n)
    return () => {
      if (!connections.has(connection)) return reject(new TypeError('fetch failed'))
      controller.enqueue(encoder.encode(text))
      resolve(new Response(body, { headers: { 'content-type': 'text/event-stream' } }))
    }
  }
}
