/** Requests with the client's own headers, asked again at every attempt, and one refresh of credentials on 401. */
import type { MillraceError } from '../primitives/errors'
import { statusError } from '../primitives/http'
import type { Gate, Passage } from './gate'
import type { NetworkContext } from './settings'

export interface Outgoing extends Passage {
  readonly input: string | Request
  readonly init: RequestInit
  readonly url: string
  /** Failed attempts before this one, for the client's header function. */
  readonly attempt: number
  /** The request's own headers, over the client's; a function is asked again after a refresh. */
  readonly headers: HeadersInit | undefined | (() => HeadersInit | undefined | Promise<HeadersInit | undefined>)
}

export interface Sender {
  /** The client's headers with the request's own on top. */
  headersFor(url: string, attempt: number, own: HeadersInit | undefined): Headers | Promise<Headers>
  /** Sends; a 401 is tried once more if `onUnauthorized` says that it has refreshed. */
  send(request: Outgoing): Promise<Response>
}

export function createSender(gate: Gate, { clock, settings }: NetworkContext): Sender {
  let refreshing: Promise<boolean> | undefined
  /** Counts refreshes: a 401 to a request that is older than the last refresh needs none of its own. */
  let generation = 0

  return {
    headersFor,
    async send(request) {
      const before = generation
      const response = await attempt(request)
      if (response.status !== 401 || !settings.onUnauthorized) return response
      const refreshed =
        before === generation ? await refresh(statusError(request.endpoint, response, clock.now())) : true
      request.signal.throwIfAborted()
      if (!refreshed) return response
      void response.body?.cancel()
      return attempt({ ...request, kind: 'background', attempt: request.attempt + 1 })
    },
  }

  async function attempt(request: Outgoing): Promise<Response> {
    const { url, attempt, headers, init, input } = request
    const own = typeof headers === 'function' ? await headers() : headers
    return gate.send(input, { ...init, headers: await headersFor(url, attempt, own) }, request)
  }

  function headersFor(url: string, attempt: number, own: HeadersInit | undefined): Headers | Promise<Headers> {
    const { headers } = settings
    if (typeof headers !== 'function') return merge(headers, own)
    const asked = headers({ url, attempt })
    return asked instanceof Promise ? asked.then((given) => merge(given, own)) : merge(asked, own)
  }

  function merge(base: HeadersInit | undefined, own: HeadersInit | undefined): Headers {
    const merged = new Headers(base)
    if (own) for (const [name, value] of new Headers(own)) merged.set(name, value)
    return merged
  }

  function refresh(error: MillraceError): Promise<boolean> {
    refreshing ??= ask(error).finally(() => {
      refreshing = undefined
    })
    return refreshing
  }

  async function ask(error: MillraceError): Promise<boolean> {
    const refreshed = (await settings.onUnauthorized?.(error)) === true
    if (refreshed) generation++
    return refreshed
  }
}
