/** Requests with the client's own headers, asked again at every attempt, and one refresh of credentials on 401. */
import { MillraceError } from '../primitives/errors'
import { statusError, toHeaders } from '../primitives/http'
import { untilAborted } from '../primitives/until-aborted'
import type { Gate, Passage } from './gate'
import { discard } from './response-copies'
import type { NetworkContext } from './settings'

export interface Outgoing extends Passage {
  readonly input: string | Request
  readonly init: RequestInit
  readonly url: string
  /** Failed attempts before this one, for the client's header function. */
  readonly attempt: number
  /** The request's own headers, over the client's; a function is asked again after a refresh. */
  readonly headers: HeadersInit | undefined | (() => HeadersInit | undefined | Promise<HeadersInit | undefined>)
  /** All headers of the first attempt, where they are known already. */
  readonly ready?: Headers | undefined
}

export interface Sender {
  /** The client's headers with the request's own on top. */
  headersFor(request: Pick<Outgoing, 'url' | 'attempt' | 'headers'>): Promise<Headers>
  /** Sends; a 401 is tried once more if `onUnauthorized` says that it has refreshed. */
  send(request: Outgoing): Promise<Response>
}

/** Whether a request can be sent again: a stream is gone once it was read. */
export const isRepeatable = ({ init }: { readonly init: RequestInit }): boolean =>
  !(init.body instanceof ReadableStream)

export function createSender(gate: Gate, { clock, settings }: NetworkContext): Sender {
  let refreshing: Promise<boolean> | undefined
  /** Counts refreshes: a 401 to a request that is older than the last refresh needs none of its own. */
  let generation = 0

  return {
    headersFor,
    async send(request) {
      const before = generation
      const response = await attempt(request)
      if (response.status !== 401 || !settings.onUnauthorized || !isRepeatable(request)) return response
      if (before === generation) {
        refreshing ??= refresh(request.endpoint, response).finally(() => {
          refreshing = undefined
        })
        if (!(await untilAborted(refreshing, request.signal))) return response
      }
      discard(response)
      return attempt({ ...request, ready: undefined, attempt: request.attempt + 1 })
    },
  }

  async function attempt(request: Outgoing): Promise<Response> {
    const { input, init, ready } = request
    const headers = ready ?? (await headersFor(request))
    // A request object's body can be read once, and this may not be the last attempt.
    return gate.send(input instanceof Request ? input.clone() : input, { ...init, headers }, request)
  }

  async function headersFor({
    url,
    attempt,
    headers,
  }: Pick<Outgoing, 'url' | 'attempt' | 'headers'>): Promise<Headers> {
    const ours = settings.headers
    const merged = toHeaders(typeof ours === 'function' ? await ours({ url, attempt }) : ours)
    const own = toHeaders(typeof headers === 'function' ? await headers() : headers)
    for (const [name, value] of own) merged.set(name, value)
    return merged
  }

  async function refresh(endpoint: string, response: Response): Promise<boolean> {
    const unauthorized = statusError(endpoint, response, clock.now())
    try {
      const refreshed = (await settings.onUnauthorized?.(unauthorized)) === true
      if (refreshed) generation++
      return refreshed
    } catch (cause) {
      // Whether the credentials are any good is not known: worth another try, unlike a plain no.
      const message = `${unauthorized.message} \`onUnauthorized\` could not refresh them now: it threw.`
      throw new MillraceError('unauthorized', message, { status: 401, endpoint, retryable: true, cause })
    }
  }
}
