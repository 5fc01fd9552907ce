import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerOptions,
  type ServerResponse,
} from 'node:http'
import type { AddressInfo, Socket } from 'node:net'

export interface RecordedRequest {
  /** `performance.now()` when its headers were read. */
  readonly time: number
  readonly method: string
  /** Path and query. */
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

export type Handler = (request: RecordedRequest, response: ServerResponse, raw: IncomingMessage) => unknown

export interface TestServer {
  /** `http://127.0.0.1:port` */
  readonly origin: string
  /** A path on this server. */
  url(path?: string): string
  /** Every request so far, in order of arrival. */
  readonly requests: readonly RecordedRequest[]
  /** How many TCP connections are open, idle keep-alive ones too. */
  readonly openSockets: number
  /** How many answers are under way: begun or awaited, and neither finished nor cut. */
  readonly openStreams: number
  /** The largest that `openStreams` has been. */
  readonly mostOpenStreams: number
  /** Destroys every socket and stops listening. Rejects with what the handler threw, if it did. Idempotent. */
  close(): Promise<void>
}

const running = new Set<TestServer>()

/** A real server on a free port of the loopback. The handler is called once the request's body is read. */
export async function startServer(handler: Handler, options: ServerOptions = {}): Promise<TestServer> {
  const requests: RecordedRequest[] = []
  const sockets = new Set<Socket>()
  const failures: unknown[] = []
  let openStreams = 0
  let mostOpenStreams = 0

  const http = createServer(options, (raw, response) => {
    openStreams += 1
    mostOpenStreams = Math.max(mostOpenStreams, openStreams)
    response.once('close', () => {
      openStreams -= 1
    })
    answer(raw, response).catch((error) => {
      failures.push(error)
      response.destroy()
    })
  })
  http.on('connection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    // A client that goes away in the middle is what these tests are about, not an error of theirs.
    socket.on('error', () => {})
  })
  await new Promise<void>((resolve, reject) => {
    http.once('error', reject)
    http.listen(0, '127.0.0.1', resolve)
  })
  const origin = `http://127.0.0.1:${(http.address() as AddressInfo).port}`

  const server: TestServer = {
    origin,
    url: (path = '/') => origin + path,
    requests,
    get openSockets() {
      return sockets.size
    },
    get openStreams() {
      return openStreams
    },
    get mostOpenStreams() {
      return mostOpenStreams
    },
    close,
  }
  running.add(server)
  return server

  async function answer(raw: IncomingMessage, response: ServerResponse): Promise<void> {
    const time = performance.now()
    const body = await read(raw)
    if (body === undefined) return
    const { method = '', url = '', headers } = raw
    const request: RecordedRequest = { time, method, url, headers, body }
    requests.push(request)
    await handler(request, response, raw)
  }

  async function close(): Promise<void> {
    running.delete(server)
    if (http.listening) {
      const closed = new Promise((resolve) => http.close(resolve))
      for (const socket of sockets) socket.destroy()
      await closed
    }
    if (failures.length > 0) throw failures.shift()
  }
}

/** For `afterEach`: closes all that a test has started, also when it failed half-way. */
export async function closeServers(): Promise<void> {
  const results = await Promise.allSettled([...running].map((server) => server.close()))
  for (const result of results) if (result.status === 'rejected') throw result.reason
}

/** Begins an answer that is an event stream. */
export function startStream(response: ServerResponse, headers: Record<string, string> = {}): ServerResponse {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store', ...headers })
  response.flushHeaders()
  return response
}

/** Node reads header values as Latin-1; this is what the bytes say in UTF-8. */
export function utf8Header(value: string | string[] | undefined): string | undefined {
  return typeof value === 'string' ? Buffer.from(value, 'latin1').toString('utf8') : undefined
}

/** The whole body, or `undefined` when the client went away before its end. */
async function read(raw: IncomingMessage): Promise<string | undefined> {
  try {
    let body = ''
    for await (const chunk of raw.setEncoding('utf8')) body += chunk
    return body
  } catch {
    return undefined
  }
}
