import assert from 'node:assert/strict'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { cutWithin, type Fault, type FaultScript } from './fault-script'
import { type RecordedRequest, startServer, startStream, type TestServer } from './http-server'

export interface JournalEvent {
  /** 1 for the first. */
  readonly id: number
  readonly type: string
  readonly data: unknown
}

export interface JournalOptions {
  /** `false`: events carry no ids, and nothing can be resumed. */
  ids?: boolean
  /** Sends so many events again that the client has named as known. */
  replayExtra?: number
  /** What a stream without `Last-Event-ID` begins with: the whole journal (default), or only what comes from now on. */
  fresh?: 'all' | 'new'
  /** ms between comments on every stream; none unless given. */
  heartbeat?: number
  /** The body of `/snapshot`. Default: `{ last, events }`, the data of all. */
  snapshot?: (events: readonly JournalEvent[]) => unknown
  /** Whether the snapshot says where it stands, in a `Last-Event-ID` header. Default: when there are ids. */
  position?: boolean
  faults?: FaultScript
}

export interface Journal {
  readonly server: TestServer
  /** `GET`: the event stream. */
  readonly streamUrl: string
  /** `GET`: everything so far as JSON. */
  readonly snapshotUrl: string
  readonly events: readonly JournalEvent[]
  /** Requests for the stream so far, refused ones too. */
  readonly connections: number
  /** Streams that are open now. */
  readonly open: number
  /** The most that were open at once. */
  readonly mostOpen: number
  /** Writes an event down and sends it to every open stream. Without an argument its data is `{ n: id }`. */
  append(data?: unknown, type?: string): JournalEvent
  /** Sends a comment to every open stream. */
  comment(text?: string): void
  /** Resets the socket of every open stream. */
  drop(): void
  /** Ends every open stream as a server does that is done. */
  end(): void
  /** Fails unless `ids` are all of the journal's from the first received, each once and in order, to the last. */
  assertDelivered(ids: readonly number[], from?: number): void
  close(): Promise<void>
}

interface Stream {
  response: ServerResponse
  /** Events that may still be written whole before the fault strikes. */
  left: number
  fault: Fault
}

/** An SSE server that keeps a numbered journal and replays it by `Last-Event-ID`. Closed by `closeServers` too. */
export async function startJournal(options: JournalOptions = {}): Promise<Journal> {
  const { ids = true, replayExtra = 0, fresh = 'all', heartbeat, position = ids, faults } = options
  const snapshot = options.snapshot ?? ((all) => ({ last: all.length, events: all.map(({ data }) => data) }))
  const events: JournalEvent[] = []
  const streams = new Set<Stream>()
  let connections = 0
  let mostOpen = 0

  const server = await startServer((request, response, raw) => {
    const { pathname } = new URL(request.url, 'http://localhost')
    if (pathname === '/stream') openStream(request, response, raw)
    else if (pathname === '/snapshot') answerSnapshot(response, raw)
    else response.writeHead(404).end()
  })

  return {
    server,
    streamUrl: server.url('/stream'),
    snapshotUrl: server.url('/snapshot'),
    events,
    get connections() {
      return connections
    },
    get open() {
      return streams.size
    },
    get mostOpen() {
      return mostOpen
    },
    append,
    comment,
    drop() {
      for (const { response } of [...streams]) response.socket?.resetAndDestroy()
    },
    end() {
      for (const { response } of [...streams]) response.end()
    },
    assertDelivered,
    close: server.close,
  }

  function append(data?: unknown, type = 'message'): JournalEvent {
    const id = events.length + 1
    const event: JournalEvent = { id, type, data: data ?? { n: id } }
    events.push(event)
    for (const stream of [...streams]) send(stream, [event])
    return event
  }

  function comment(text = ''): void {
    for (const stream of streams) say(stream, text)
  }

  function openStream({ headers, url }: RecordedRequest, response: ServerResponse, raw: IncomingMessage): void {
    connections += 1
    const fault = faults?.next('stream') ?? { kind: 'none' }
    if (refused(fault, response, raw)) return

    startStream(response)
    const stream: Stream = { response, fault, left: 'after' in fault ? fault.after : Number.POSITIVE_INFINITY }
    streams.add(stream)
    mostOpen = Math.max(mostOpen, streams.size)
    const timer = heartbeat === undefined ? undefined : setInterval(() => say(stream, ''), heartbeat)
    response.once('close', () => {
      streams.delete(stream)
      clearInterval(timer)
    })

    const inQuery = new URL(url, 'http://localhost').searchParams.get('lastEventId')
    const known = Number(headers['last-event-id'] ?? inQuery ?? 0)
    const earlier = fault.kind === 'replay' ? fault.earlier : replayExtra
    const isFresh = !ids || !known
    const first = isFresh ? (fresh === 'all' && ids ? 0 : events.length) : Math.max(0, known - earlier)
    send(stream, events.slice(first))
  }

  function send(stream: Stream, batch: readonly JournalEvent[]): void {
    const { response, fault } = stream
    const whole = batch.slice(0, stream.left)
    const next = batch[whole.length]
    if (whole.length > 0) response.write(whole.map(encode).join(''))
    stream.left -= whole.length
    if (stream.left > 0) return
    if (fault.kind === 'reset') leave(stream, 'reset')
    if (fault.kind === 'end' || fault.kind === 'replay') leave(stream, 'end')
    if (fault.kind === 'cut' && next) {
      response.write(cutWithin(Buffer.from(encode(next)), fault.within))
      leave(stream, fault.by)
    }
  }

  function leave(stream: Stream, by: 'end' | 'reset'): void {
    const { response } = stream
    streams.delete(stream)
    if (by === 'end') response.end()
    // What was written is on its way before the reset overtakes it.
    else response.write('', () => response.socket?.resetAndDestroy())
  }

  function say(stream: Stream, comment: string): void {
    const isSilent = stream.fault.kind === 'silent' && stream.left === 0
    if (!isSilent && streams.has(stream)) stream.response.write(`:${comment}\n`)
  }

  function answerSnapshot(response: ServerResponse, raw: IncomingMessage): void {
    if (refused(faults?.next('snapshot') ?? { kind: 'none' }, response, raw)) return
    const headers: Record<string, string> = { 'content-type': 'application/json' }
    if (position) headers['last-event-id'] = String(events.length)
    response.writeHead(200, headers).end(JSON.stringify(snapshot(events)))
  }

  function encode({ id, type, data }: JournalEvent): string {
    const idLine = ids ? `id: ${id}\n` : ''
    const typeLine = type === 'message' ? '' : `event: ${type}\n`
    return `${idLine}${typeLine}data: ${JSON.stringify(data)}\n\n`
  }

  function assertDelivered(received: readonly number[], from = received[0] ?? 1): void {
    const wanted = events.slice(from - 1).map(({ id }) => id)
    const seen = new Set<number>()
    const doubled: number[] = []
    const disordered: string[] = []
    let last = 0
    for (const id of received) {
      if (seen.has(id)) doubled.push(id)
      else if (id < last) disordered.push(`${id} after ${last}`)
      seen.add(id)
      last = Math.max(last, id)
    }
    const lost = wanted.filter((id) => !seen.has(id))
    const stray = [...seen].filter((id) => id < from || id > events.length)
    const told = { lost, doubled, disordered, stray }
    assert.deepEqual(
      told,
      { lost: [], doubled: [], disordered: [], stray: [] },
      `Of ${wanted.length} events: ${JSON.stringify(told)}${faults ? `; seed ${faults.seed}, faults ${JSON.stringify(faults.log)}` : ''}`,
    )
  }
}

function refused(fault: Fault, response: ServerResponse, raw: IncomingMessage): boolean {
  if (fault.kind === 'refuse') {
    raw.socket.resetAndDestroy()
    return true
  }
  if (fault.kind !== 'status') return false
  const headers = fault.retryAfter === undefined ? {} : { 'retry-after': String(fault.retryAfter) }
  response.writeHead(fault.status, headers).end()
  return true
}
