import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Entry, Journal } from './journal.ts'

/** How the server treats whoever asks for a stream. */
export type Condition = 'well' | 'unavailable' | 'missing' | 'forgetful'

export interface StreamOptions {
  journal: Journal
  condition: () => Condition
  /** What a client without a Last-Event-ID is told first. Nothing, unless given. */
  welcome?: () => readonly Entry[]
  /** What a client is told whose last event the journal cannot find any more. All that it holds, unless given. */
  lost?: () => readonly Entry[]
}

/** A journal as an event stream, and the handles by which a fault takes hold of it. */
export interface Stream {
  handle(request: IncomingMessage, response: ServerResponse): void
  /** How many are open, as the server sees it. */
  readonly connections: number
  /** Cuts every connection. */
  drop(): void
  /** Leaves every connection open and never writes to it again, heartbeats included. */
  mute(): void
  /** Cuts the connections that were muted. */
  dropMuted(): void
  /** Writes bytes that are not in the journal. */
  inject(text: string): void
  /** There will be no more: ends every connection, and tells whoever comes back for more that there is none. */
  end(): void
  close(): void
}

const heartbeatEvery = 15_000
/** A client that reads this far behind is cut: it comes back with its Last-Event-ID and costs no memory until then. */
const mostBuffered = 8 * 1024 * 1024

export function createStream({ journal, condition, welcome = () => [], lost = journal.all }: StreamOptions): Stream {
  const connections = new Set<Connection>()
  let ended = false

  journal.follow((entries) => write(encode(entries)))
  const heartbeat = setInterval(() => write(': heartbeat\n\n'), heartbeatEvery)

  return {
    handle,
    get connections() {
      return connections.size
    },
    drop: () => cut([...connections]),
    mute() {
      for (const connection of connections) connection.muted = true
    },
    dropMuted: () => cut([...connections].filter(({ muted }) => muted)),
    inject: write,
    end,
    close() {
      clearInterval(heartbeat)
      cut([...connections])
    },
  }

  function handle(request: IncomingMessage, response: ServerResponse): void {
    switch (condition()) {
      case 'unavailable':
        refuse(response, 503, 'The mill is closed for a moment.')
        break
      case 'missing':
        refuse(response, 404, 'There is no stream here.')
        break
      case 'forgetful':
        accept(response, journal.all())
        break
      case 'well':
        accept(response, whatIsNewTo(request))
    }
  }

  function accept(response: ServerResponse, missed: readonly Entry[]): void {
    // The one answer that tells even a plain EventSource not to come back.
    if (ended && missed.length === 0) {
      response.writeHead(204).end()
      return
    }

    response.writeHead(200, {
      'Content-Type': 'text/event-stream',
      'Cache-Control': 'no-cache',
      'X-Accel-Buffering': 'no',
    })
    response.write(`retry: 1000\n: the journal stands at ${journal.lastId}\n\n${encode(missed)}`)
    if (ended) {
      response.end()
      return
    }
    const connection: Connection = { response, muted: false }
    connections.add(connection)
    response.once('close', () => connections.delete(connection))
  }

  function whatIsNewTo({ headers }: IncomingMessage): readonly Entry[] {
    const lastEventId = String(headers['last-event-id'] ?? '')
    return lastEventId === '' ? welcome() : (journal.since(lastEventId) ?? lost())
  }

  function write(text: string): void {
    for (const { response, muted } of connections) {
      if (muted || response.writableEnded) continue
      response.write(text)
      if (response.writableLength > mostBuffered) response.destroy()
    }
  }

  function end(): void {
    ended = true
    clearInterval(heartbeat)
    for (const { response, muted } of connections) if (!muted) response.end()
  }
}

interface Connection {
  readonly response: ServerResponse
  muted: boolean
}

function cut(connections: readonly Connection[]): void {
  for (const { response } of connections) response.destroy()
}

function encode(entries: readonly Entry[]): string {
  return entries.map(({ id, type, data }) => `id: ${id}\nevent: ${type}\ndata: ${data}\n\n`).join('')
}

function refuse(response: ServerResponse, status: number, why: string): void {
  response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8', 'Cache-Control': 'no-cache' }).end(why)
}
