import {
  type Alert,
  type Channel,
  type ChannelState,
  type Client,
  type ClientOptions,
  createClient,
  type MillraceError,
  type StreamEvent,
  type SubscribeOptions,
} from 'millrace'
import { vi } from 'vitest'
import {
  type Handler,
  type RecordedRequest,
  startServer,
  startStream,
  type TestServer,
} from '../../support/http-server'
import { createTestClock, type TestClock } from '../../support/test-clock'

/** Reconnects within milliseconds, so that a test need not wait for production's second. */
export const fast = { base: 5, cap: 40, resetAfter: 200 }

const clients = new Set<Client>()

export interface TestClient {
  readonly client: Client
  /** All alerts so far; an alert is told once a minute per code and endpoint. */
  readonly alerts: readonly Alert[]
  readonly codes: readonly string[]
}

/** A client with the limits of tests and a fast backoff. What it would print is kept out of the report. */
export function startClient(options: ClientOptions = {}): TestClient {
  vi.spyOn(console, 'warn').mockImplementation(() => {})
  const client = createClient({ environment: 'test', backoff: fast, ...options })
  clients.add(client)
  const alerts: Alert[] = []
  client.on('alert', (alert) => alerts.push(alert))
  return {
    client,
    alerts,
    get codes() {
      return alerts.map(({ code }) => code)
    },
  }
}

/** The same, with time that stands still until it is told to move. */
export function startStill(options: ClientOptions = {}): TestClient & { readonly clock: TestClock } {
  const clock = createTestClock()
  const { backoff, ...rest } = options
  const started = startClient({ clock, backoff: { jitter: 'none', ...backoff }, ...rest })
  return Object.assign(started, { clock })
}

/** For `afterEach`. */
export function closeClients(): void {
  for (const client of clients) client.close()
  clients.clear()
  vi.restoreAllMocks()
  vi.unstubAllGlobals()
}

/** Everything that one subscriber is told. */
export interface Watched<S, E> {
  readonly events: readonly E[]
  /** The data of all events. */
  readonly data: readonly unknown[]
  readonly states: readonly ChannelState<S>[]
  readonly statuses: readonly string[]
  readonly errors: readonly MillraceError[]
  readonly completions: number
  readonly state: ChannelState<S>
  unsubscribe(): void
}

export function watch<S, E>(client: Client, channel: Channel<S, E>, options?: SubscribeOptions): Watched<S, E>
export function watch(client: Client, url: string | URL, options?: SubscribeOptions): Watched<unknown, StreamEvent>
export function watch<S, E>(
  client: Client,
  channel: Channel<S, E> | string | URL,
  options?: SubscribeOptions,
): Watched<S, E> {
  const events: E[] = []
  const states: ChannelState<S>[] = []
  const errors: MillraceError[] = []
  let completions = 0
  const subscription = client.subscribe(
    channel as Channel<S, E>,
    {
      next: (event) => events.push(event),
      state: (state) => states.push(state),
      error: (error) => errors.push(error),
      complete: () => {
        completions += 1
      },
    },
    options,
  )
  return {
    events,
    get data() {
      return events.map((event) => (event as StreamEvent).data)
    },
    states,
    get statuses() {
      return states.map(({ status }) => status).filter((status, index, all) => status !== all[index - 1])
    },
    errors,
    get completions() {
      return completions
    },
    get state() {
      return subscription.state
    },
    unsubscribe: subscription.unsubscribe,
  }
}

/** Exceptions of handlers, which the platform would be told of, come here instead. */
export function catchReported(): readonly unknown[] {
  const reported: unknown[] = []
  // The one in a page, the other elsewhere.
  vi.stubGlobal('reportError', (error: unknown) => reported.push(error))
  vi.spyOn(console, 'error').mockImplementation((error: unknown) => void reported.push(error))
  return reported
}

export interface Feed {
  readonly server: TestServer
  readonly streamUrl: string
  readonly snapshotUrl: string
  readonly streamRequests: readonly RecordedRequest[]
  readonly snapshotRequests: readonly RecordedRequest[]
  /** Streams that are open now. */
  readonly open: number
  /** Writes to every open stream. */
  write(text: string): void
  end(): void
  drop(): void
  /** From now on streams are answered otherwise; without an argument as usual. */
  stream(answer?: Handler): void
  snapshot(answer: Handler): void
}

/** A server whose stream says only what a test writes, and whose snapshot is what a test makes of it. */
export async function startFeed(
  snapshotAnswer: Handler = (_, response) => response.writeHead(404).end(),
): Promise<Feed> {
  const open = new Set<Parameters<Handler>[1]>()
  const streamRequests: RecordedRequest[] = []
  const snapshotRequests: RecordedRequest[] = []
  let answerStream: Handler | undefined
  let answerSnapshot = snapshotAnswer
  const server = await startServer((request, response, raw) => {
    const { pathname } = new URL(request.url, 'http://localhost')
    if (pathname === '/snapshot') {
      snapshotRequests.push(request)
      return answerSnapshot(request, response, raw)
    }
    streamRequests.push(request)
    if (answerStream) return answerStream(request, response, raw)
    startStream(response)
    open.add(response)
    response.once('close', () => open.delete(response))
  })
  return {
    server,
    streamUrl: server.url('/stream'),
    snapshotUrl: server.url('/snapshot'),
    streamRequests,
    snapshotRequests,
    get open() {
      return open.size
    },
    write(text) {
      for (const response of open) response.write(text)
    },
    end() {
      for (const response of [...open]) response.end()
    },
    drop() {
      for (const response of [...open]) response.socket?.resetAndDestroy()
    },
    stream(answer) {
      answerStream = answer
    },
    snapshot(answer) {
      answerSnapshot = answer
    },
  }
}

/** One block of an event stream. */
export function block(data: unknown, { id, event }: { id?: string | number; event?: string } = {}): string {
  const text = typeof data === 'string' ? data : JSON.stringify(data)
  return `${id === undefined ? '' : `id: ${id}\n`}${event === undefined ? '' : `event: ${event}\n`}data: ${text}\n\n`
}

/** An answer that is JSON. */
export const json =
  (body: unknown, headers: Record<string, string> = {}): Handler =>
  (_, response) =>
    response.writeHead(200, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))

export const status =
  (code: number, headers: Record<string, string> = {}): Handler =>
  (_, response) =>
    response.writeHead(code, headers).end()

export const page: Handler = (_, response) =>
  response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>Sign in</title>')

/** An answer that waits until it is let go. */
export function held(answer: Handler): { handler: Handler; release: () => void; readonly waiting: number } {
  const waiting: (() => void)[] = []
  let released = false
  return {
    handler: (request, response, raw) => {
      if (released) return answer(request, response, raw)
      waiting.push(() => answer(request, response, raw))
    },
    release() {
      released = true
      for (const go of waiting.splice(0)) go()
    },
    get waiting() {
      return waiting.length
    },
  }
}
