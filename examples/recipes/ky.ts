import ky, { type KyInstance } from 'ky'
import type { Client } from 'millrace'

// When the page speaks HTTP through ky: equal GETs in flight become one request, and all of them pass the gate with its
// budget and breaker. ky keeps its hooks, its errors and its `json()`. It makes the URL absolute itself, so it has to
// know the base; what the client may do for it (cache, retry) is said here, once for both.

export const createApi = (client: Client, prefixUrl: string): KyInstance =>
  ky.create({
    prefixUrl,
    fetch: (input, init) => client.fetch(input, init, { ttl: 1_000, retry: 2 }),
    retry: 0,
    timeout: false, // the client has one
  })
