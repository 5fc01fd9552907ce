import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { BURST, monotonic, type Quote } from './server'

/**
 * - `/burst`: BURST events as fast as they are read
 * - `/answer`: a small JSON
 * - `/quiet`: a stream that says nothing until
 * - `/pulse?events=n&perSecond=m`: that many quiet streams, the longest quiet first, get an event each; ends when all have
 */
const quiet = new Set<ServerResponse>()
const chunks = burst()

const server = createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost')
  if (pathname === '/pulse') {
    await pulse(Number(searchParams.get('events')), Number(searchParams.get('perSecond')))
    response.end()
    return
  }
  if (pathname === '/answer') {
    response.writeHead(200, { 'content-type': 'application/json' }).end('{"name":"Ada","roles":["admin","editor"]}')
    return
  }
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
  response.flushHeaders()
  response.on('close', () => quiet.delete(response))
  if (pathname === '/quiet') quiet.add(response)
  else Readable.from(chunks).pipe(response, { end: false })
})
server.on('connection', (socket) => socket.on('error', () => {}))
// Thousands connect at once.
server.listen({ port: 0, host: '127.0.0.1', backlog: 4_096 }, () =>
  process.send?.(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
)
process.once('disconnect', () => process.exit())

/** Evenly, in small groups: a real server's events come when they come, not all in one tick. */
async function pulse(events: number, perSecond: number): Promise<void> {
  const begin = monotonic()
  let sent = 0
  for (const response of [...quiet].slice(0, events)) {
    const ahead = begin + (sent * 1_000) / perSecond - monotonic()
    if (ahead > 2) await sleep(ahead)
    sent += 1
    if (response.destroyed) continue
    quiet.delete(response)
    quiet.add(response)
    response.write(block(sent))
  }
}

function burst(): Buffer[] {
  const all = Buffer.from(Array.from({ length: BURST }, (_, n) => block(n)).join(''))
  const size = 2 ** 16
  return Array.from({ length: Math.ceil(all.length / size) }, (_, n) => all.subarray(n * size, (n + 1) * size))
}

function block(n: number): string {
  const last = 100 + (n % 977) / 100
  const quote: Quote = {
    symbol: `XETR:${1_000 + (n % 500)}`,
    last,
    bid: last - 0.02,
    ask: last + 0.02,
    volume: (n * 7) % 10_007,
    at: monotonic(),
  }
  return `id: ${1_700_000_000_000 + n}\ndata: ${JSON.stringify(quote)}\n\n`
}
