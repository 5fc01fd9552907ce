import type { IncomingMessage, ServerResponse } from 'node:http'
import { type Client, createClient } from 'millrace'

// When the API is on another origin than the page, and knows its users by a cookie. The page's half is one option; the
// rest is what the server must answer. A cookie that crosses sites, not only origins, also needs `SameSite=None; Secure`.

export const createApiClient = (baseUrl: string): Client => createClient({ baseUrl, credentials: 'include' })

/** To be called first for every request; `true`: it was a preflight, and is answered. */
export function allowOrigins(origins: readonly string[], request: IncomingMessage, response: ServerResponse): boolean {
  const { origin = '' } = request.headers
  response.setHeader('vary', 'origin')
  if (origins.includes(origin)) {
    // With cookies, `*` is refused by browsers, here and below.
    response.setHeader('access-control-allow-origin', origin)
    response.setHeader('access-control-allow-credentials', 'true')
    // Where a snapshot stands in the stream, and when to come back: unreadable for the page unless named.
    response.setHeader('access-control-expose-headers', 'last-event-id, retry-after')
    // Shows the page that this is HTTP/2, where more than four streams are no harm.
    response.setHeader('timing-allow-origin', origin)
  }
  if (request.method !== 'OPTIONS') return false
  response
    .writeHead(204, {
      'access-control-allow-methods': 'GET, POST, PUT, PATCH, DELETE',
      // A stream that resumes sends `Last-Event-ID`: without it here, the first connection works and no second one.
      'access-control-allow-headers': 'authorization, content-type, last-event-id',
      'access-control-max-age': '7200',
    })
    .end()
  return true
}
