import type { ServerResponse } from 'node:http'
import { startServer, utf8Header } from '../support/http-server'
import type { Answer, Case, SeenRequest } from './case'
import type { Origins } from './run'

export interface Servers {
  readonly origins: Origins
  close(): Promise<void>
}

/**
 * Three origins that play the server's part of all cases. The case with the index n has its place at `/n/player`, so
 * that players know nothing of each other. `pages` are the page's own files, by path.
 */
export async function startServers(cases: readonly Case[], pages: Record<string, string> = {}): Promise<Servers> {
  const seen = new Map<string, (SeenRequest & { over: boolean })[]>()
  const waiting = new Map<string, { response: ServerResponse; given: Answer }>()
  const [same, other] = await Promise.all([play('same'), play('other')])
  const log = await startServer(({ url }, response) => {
    response.setHeader('access-control-allow-origin', '*')
    const [, place = '', act] = /^(.+)\/(cut|more)$/.exec(url) ?? []
    const { response: stream, given } = waiting.get(place) ?? {}
    if (act === 'cut') stream?.socket?.resetAndDestroy()
    if (act === 'more' && given?.more) stream?.write(bytesOf(given.more))
    if (url === '/again') return response.writeHead(200, { 'content-type': 'text/event-stream' }).end('retry: 1\n\n')
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(seen.get(url) ?? []))
  })
  const origins = { same: same.origin, other: other.origin, log: log.origin }

  return {
    origins,
    async close() {
      await Promise.all([same, other, log].map((server) => server.close()))
    },
  }

  function play(server: 'same' | 'other') {
    return startServer(
      async ({ method, url, headers: read, time }, response) => {
        const page = pages[url.replace(/\?.*/, '')]
        if (page !== undefined)
          return response
            .writeHead(200, {
              'content-type': `text/${url.endsWith('.js') ? 'javascript' : 'html'}; charset=utf-8`,
              'set-cookie': 'session=ann',
            })
            .end(page)
        const [, place = '', index = '', path = ''] = /^(\/(\d+)\/\w+)([^?]*)/.exec(url) ?? []
        const found = cases[Number(index)]
        if (!found || !place) return response.writeHead(404).end()

        const headers = Object.fromEntries(Object.entries(read).map(([name, value]) => [name, utf8Header(value) ?? '']))
        const request = { path, server, method, headers, time, over: false }
        const requests = seen.get(place) ?? []
        seen.set(place, [...requests, request])
        response.once('close', () => {
          request.over = true
        })
        const fill = (value: string) =>
          value
            .replaceAll('<same>', origins.same + place)
            .replaceAll('<other>', origins.other + place)
            .replaceAll('<page>', origins.same)
        // One request a connection: a browser asks again by itself when a connection that it has used before is reset.
        response.setHeader('connection', 'close')
        if (method === 'OPTIONS') {
          for (const [name, value] of Object.entries(found.preflight ?? {})) response.setHeader(name, fill(value))
          return response.writeHead(204).end()
        }
        const before = requests.filter((each) => each.path === path && each.method !== 'OPTIONS').length
        const given = found.answers[path]?.[before] ?? END
        waiting.set(place, { response, given })
        await give(given, response, fill)
      },
      // Takes the control characters that a browser puts into an id.
      { insecureHTTPParser: true },
    )
  }
}

/** Readable across origins, so that it ends a source there too. */
const END: Answer = {
  head: {
    status: 204,
    headers: { 'access-control-allow-origin': '<page>', 'access-control-allow-credentials': 'true' },
  },
  chunks: [],
  after: 'end',
}

const bytesOf = (chunk: string | readonly number[]) => (typeof chunk === 'string' ? chunk : Uint8Array.from(chunk))

async function give(
  { head, chunks, after }: Answer,
  response: ServerResponse,
  fill: (value: string) => string,
): Promise<void> {
  if (head) {
    const filled = Object.entries(head.headers ?? {}).map(([name, value]): [string, string | string[]] => [
      name,
      typeof value === 'string' ? fill(value) : value.map(fill),
    ])
    response.writeHead(head.status, Object.fromEntries(filled))
    response.flushHeaders()
    response.socket?.setNoDelay(true)
    for (const chunk of chunks) {
      await new Promise((resolve) => response.write(bytesOf(chunk), resolve))
      // The client gets a turn, so that most chunks arrive alone; no outcome depends on it.
      if (chunks.length > 1) await new Promise((resolve) => setTimeout(resolve, 2))
    }
  }
  if (after === 'end') response.end()
  if (after === 'reset') response.socket?.resetAndDestroy()
}
