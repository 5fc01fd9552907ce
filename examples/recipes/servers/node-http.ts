import { createServer, type Server } from 'node:http'
import type { EventLog } from './event-log'

// Node's own HTTP server, and nothing else. It replays by `Last-Event-ID`, sends heartbeats, and answers 204 when all is over.

export function createNodeServer(log: EventLog, heartbeat = 15_000): Server {
  return createServer((request, response) => {
    const { isOver, headers, follow } = log.after(request.headers['last-event-id'])
    if (isOver) return response.writeHead(204).end()
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store', ...headers })
    const beat = () => !response.writableEnded && response.write(':\n\n')
    // At once: some clients, Firefox among them, see a head only with the first byte behind it.
    beat()
    const timer = setInterval(beat, heartbeat)
    const stop = follow(({ id, type, data }) => {
      response.write(`id: ${id}\nevent: ${type}\ndata: ${JSON.stringify(data)}\n\n`)
      if (type === 'closed') response.end()
    })
    response.once('close', () => {
      clearInterval(timer)
      stop()
    })
  })
}
