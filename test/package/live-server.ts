import { readFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { join } from 'node:path'
import { servePages } from '../support/browser'
import { startStream, type TestServer } from '../support/http-server'

export interface LiveServer {
  readonly server: TestServer
  /** Requests for the stream so far. */
  readonly connections: number
  /** Sends an event, as JSON, to whoever listens. */
  send(data: unknown): void
}

/** A page that was built into `folder`, if there is one, beside the stream that it shows: `/stream`, for all origins. */
export async function startLiveServer(folder?: string, pages: Record<string, string> = {}): Promise<LiveServer> {
  const streams = new Set<ServerResponse>()
  let connections = 0
  const index = folder && !('/' in pages) ? { '/': readFileSync(join(folder, 'index.html'), 'utf8') } : {}
  const server = await servePages(
    { ...index, ...pages },
    {
      ...(folder && { folder }),
      handler({ url }, response) {
        if (url !== '/stream') return response.writeHead(404).end()
        connections += 1
        streams.add(startStream(response, { 'access-control-allow-origin': '*' }))
        response.once('close', () => streams.delete(response))
      },
    },
  )
  return {
    server,
    get connections() {
      return connections
    },
    send(data) {
      for (const stream of streams) stream.write(`data: ${JSON.stringify(data)}\n\n`)
    },
  }
}
