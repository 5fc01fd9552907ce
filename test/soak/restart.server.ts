import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/**
 * A server that is killed and started again: `port last`. Its journal is the numbers up to `last`, replayed by
 * `Last-Event-ID`; each message of its parent is the new last one.
 */
const [port = '0', given = '0'] = process.argv.slice(2)
const streams = new Set<ServerResponse>()
let last = Number(given)

const server = createServer(({ headers }, response) => {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  response.write(`:\n${eventsFrom(Number(headers['last-event-id'] ?? 0) + 1)}`)
  streams.add(response)
  response.once('close', () => streams.delete(response))
})
server.on('connection', (socket) => socket.on('error', () => {}))
server.listen({ port: Number(port), host: '127.0.0.1', backlog: 4_096 }, () =>
  process.send?.((server.address() as AddressInfo).port),
)
process.on('message', (now: number) => {
  const text = eventsFrom(last + 1, now)
  last = now
  for (const stream of streams) stream.write(text)
})
process.once('disconnect', () => process.exit())

function eventsFrom(first: number, to = last): string {
  let text = ''
  for (let id = first; id <= to; id += 1) text += `id: ${id}\ndata: ${id}\n\n`
  return text
}
