import { existsSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { pathToFileURL } from 'node:url'
import { createBoard } from './board.ts'
import { createCrawls } from './crawl.ts'
import { createFaults, faultNames } from './faults.ts'
import { bundled, frameworks } from './frameworks.ts'
import { script, serveFile } from './static.ts'
import { createTicker } from './ticker.ts'

export interface Demo {
  /** `http://127.0.0.1:4173/` */
  readonly url: string
  /** Cuts every connection and stops every timer. */
  close(): Promise<void>
}

type Handler = (request: IncomingMessage, response: ServerResponse) => void

/**
 * Starts the demo on the loopback. All of its state is in memory and ends with it.
 *
 * @param options.port 0 picks a free one. Default 4173.
 * @param options.serve answers with the files of a page. Default: the demo's own.
 */
export async function startDemo({
  port = 4173,
  serve = serveFile,
}: {
  port?: number
  serve?: (path: string, response: ServerResponse) => boolean
} = {}): Promise<Demo> {
  const faults = createFaults({
    streams: () => [board.stream, ticker.stream, ...crawls.streams],
    flood: () => ticker.flood(10_000),
  })
  const board = createBoard(faults.condition)
  const ticker = createTicker(faults.condition)
  const crawls = createCrawls(faults.condition)
  const startedAt = Date.now()
  let snapshots = 0
  let sessions = 0

  const routes: Record<string, Handler> = {
    'GET /api/board/users': answerSnapshot,
    'GET /api/board/stream': board.stream.handle,
    'GET /api/ticker/stream': ticker.stream.handle,
    'GET /api/crawl': (_, response) => json(response, 200, { id: crawls.newest.id }),
    'POST /api/crawl': (_, response) => json(response, 201, { id: crawls.start().id }),
    'GET /api/sessions': answerSession,
    'GET /api/server': (_, response) => json(response, 200, counters()),
    'POST /api/heal': (_, response) => {
      faults.heal()
      json(response, 200, counters())
    },
  }
  for (const fault of faultNames) {
    routes[`POST /api/faults/${fault}`] = (_, response) => {
      faults.inflict(fault)
      json(response, 200, counters())
    }
  }

  const http = createServer((request, response) => {
    const [path = '/'] = (request.url ?? '/').split('?')
    const handle = routes[`${request.method} ${path}`] ?? crawlStream(path)
    if (handle) handle(request, response)
    else if (!serve(path, response)) json(response, 404, { error: `There is no ${path} here.` })
  })
  try {
    await new Promise<void>((resolve, reject) => {
      http.once('error', reject)
      http.listen(port, '127.0.0.1', resolve)
    })
  } catch (error) {
    stop()
    throw error
  }

  return {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}/`,
    close() {
      stop()
      const closed = new Promise<void>((resolve) => http.close(() => resolve()))
      http.closeAllConnections()
      return closed
    },
  }

  function crawlStream(path: string): Handler | undefined {
    const [, id] = /^\/api\/crawl\/(\d+)\/stream$/.exec(path) ?? []
    return id === undefined ? undefined : crawls.find(Number(id))?.stream.handle
  }

  function answerSnapshot(_: IncomingMessage, response: ServerResponse): void {
    snapshots += 1
    const { users, lastEventId } = board.snapshot()
    response.setHeader('Last-Event-ID', lastEventId)
    json(response, 200, { users })
  }

  /** What the runaway loop asks for: slow enough for requests to pile up, and counted here, where nobody can deny it. */
  function answerSession(_: IncomingMessage, response: ServerResponse): void {
    sessions += 1
    setTimeout(() => json(response, 200, { sessions }), 15)
  }

  function counters() {
    return {
      uptime: Math.floor((Date.now() - startedAt) / 1000),
      connections: {
        board: board.stream.connections,
        ticker: ticker.stream.connections,
        crawl: crawls.streams.reduce((sum, { connections }) => sum + connections, 0),
      },
      snapshots,
      sessions,
      condition: { name: faults.condition(), healsIn: Math.ceil(faults.healsIn() / 1000) },
    }
  }

  function stop(): void {
    for (const part of [board, ticker, crawls]) part.close()
  }
}

function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'Content-Type': 'application/json', 'Cache-Control': 'no-cache' })
  response.end(JSON.stringify(body))
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  try {
    if (!existsSync(script)) throw new Error('dist/millrace.global.js is missing: `npm run build` makes it.')
    // The first page should not wait for it.
    await Promise.all(Object.keys(frameworks).map(bundled))
    const demo = await startDemo({ port: Number(process.env.PORT ?? 4173) })
    console.log(`The Millrace demo runs at ${demo.url}`)
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => demo.close())
  } catch (error) {
    console.error(error instanceof Error ? error.message : error)
    process.exitCode = 1
  }
}
