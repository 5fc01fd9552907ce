import { createServer, type Server } from 'node:http'
import { createSession } from 'better-sse'
import type { EventLog } from './event-log'

// Node's own HTTP server with better-sse. It replays by `Last-Event-ID`, sends heartbeats, and answers 204 when all is over.

export function createBetterSseServer(log: EventLog, heartbeat = 15_000): Server {
  return createServer(async (request, response) => {
    const { isOver, headers, follow } = log.after(request.headers['last-event-id'])
    if (isOver) return void response.writeHead(204).end()
    const session = await createSession(request, response, {
      keepAlive: heartbeat,
      // Else it asks every client to wait for 2 s; Millrace has a backoff of its own.
      retry: null,
      headers,
    })
    const stop = follow(({ id, type, data }) => {
      if (!session.isConnected) return
      session.push(data, type, id)
      if (type === 'closed') response.end()
    })
    if (session.isConnected) session.once('disconnected', stop)
    else stop()
  })
}
