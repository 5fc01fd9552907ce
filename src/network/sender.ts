/**
 * Requests with what is the client's own, its headers and credentials, for the origins that are its own; asked again at
 * every attempt, and one refresh of credentials on 401.
 */
import { waitFor } from '../primitives/callback'
import { isOnce, statusError, toHeaders } from '../primitives/http'
import { untilAborted } from '../primitives/until-aborted'
import { originOf, pageUrl, resolveUrl } from '../primitives/url'
import type { Call } from './asked'
import type { Gate } from './gate'
import type { OwnRequest } from './request'
import { discard } from './response-copies'
import type { NetworkContext } from './settings'

export interface Outgoing extends Omit<OwnRequest, 'headers'> {
  readonly url: string
  /** The request's own headers, over the client's; a function is asked again after a refresh. */
  readonly headers: HeadersInit | undefined | (() => HeadersInit | undefined | Promise<HeadersInit | undefined>)
  /** All headers of the first attempt, where they are known already. */
  readonly ready?: Headers | undefined
  /** The same once more; undefined if its body was read, and is not known. @defaultValue as long as that is no stream */
  readonly again?: () => Call | undefined
}

type HeadersOf = Pick<Outgoing, 'url' | 'attempt' | 'headers' | 'endpoint' | 'signal'>

export interface Sender {
  /** The client's headers, if they are for this URL, with the request's own on top. */
  headersFor(request: HeadersOf): Promise<Headers>
  /** The client's credentials, if they are for this URL. */
  credentialsFor(url: string): RequestCredentials | undefined
  /** Whether a 401 may be followed by another attempt. */
  mayRefresh(url: string): boolean
  /** Sends; a 401 is tried once more if `onUnauthorized` says that it has refreshed. */
  send(request: Outgoing): Promise<Response>
}

/** How many foreign origins are remembered as told of. */
const MOST_TOLD = 100

export function createSender(gate: Gate, { clock, settings, alert }: NetworkContext): Sender {
  let refreshing: Promise<boolean> | undefined
  /** Counts refreshes: a 401 to a request that is older than the last refresh needs none of its own. */
  let generation = 0
  /** Where there is neither a page nor a `baseUrl`: the first origin that is asked. */
  let first: string | undefined
  const told = new Set<string>()

  return {
    headersFor,
    credentialsFor,
    mayRefresh,
    async send(request) {
      const before = generation
      const response = await attempt(request)
      if (response.status !== 401 || !mayRefresh(request.url)) return response
      const call = request.again ? request.again() : isOnce(request.init.body) ? undefined : request
      if (!call) return response
      if (before === generation) {
        refreshing ??= refresh(request.endpoint, response)
        if (!(await untilAborted(refreshing, request.signal))) return response
      }
      discard(response)
      return attempt({ ...request, ...call, ready: undefined, attempt: request.attempt + 1 })
    },
  }

  function credentialsFor(url: string): RequestCredentials | undefined {
    return settings.credentials && isOwn(url) ? settings.credentials : undefined
  }

  function mayRefresh(url: string): boolean {
    return settings.onUnauthorized !== undefined && isOwn(url)
  }

  async function attempt(request: Outgoing): Promise<Response> {
    const { input, init, url, ready } = request
    const headers = ready ?? (await headersFor(request))
    const credentials = typeof input === 'string' ? credentialsFor(url) : undefined
    const response = await gate.send({ ...request, init: { ...(credentials && { credentials }), ...init }, headers })
    // The platform has taken all headers along but `authorization`, and cannot be told not to.
    if (response.redirected && settings.headers && isOwn(url))
      ownsOrTells(response.url, "was sent the client's `headers` by a redirect")
    return response
  }

  async function headersFor({ url, attempt, headers, endpoint, signal }: HeadersOf): Promise<Headers> {
    const { headers: ours } = settings
    const own = toHeaders(typeof headers === 'function' ? await headers() : headers)
    if (!ours || !isOwn(url)) return own
    const merged = toHeaders(
      typeof ours === 'function'
        ? await waitFor('headers', endpoint, clock, () => ours({ url, attempt }), signal)
        : ours,
    )
    for (const [name, value] of own) merged.set(name, value)
    return merged
  }

  /** Whether what is the client's own is for this URL: to be asked where there is such a thing. */
  function isOwn(url: string): boolean {
    return ownsOrTells(url, "goes without the client's `headers`, `credentials` and `onUnauthorized`")
  }

  function ownsOrTells(url: string, what: string): boolean {
    const { baseUrl, origins } = settings
    const origin = originOf(url)
    const home = originOf(baseUrl === undefined ? pageUrl() : resolveUrl('', baseUrl))
    if (home === undefined && origins.length === 0) first ??= origin
    if (origin !== undefined && (origin === (home ?? first) || origins.includes(origin))) return true
    const message = `${origin} ${what}: it is not the origin of \`baseUrl\` or of the page. If it is yours, name it in \`origins\`.`
    if (!told.has(message) && told.size < MOST_TOLD) {
      told.add(message)
      alert({ code: 'config', message, endpoint: origin })
    }
    return false
  }

  async function refresh(endpoint: string, response: Response): Promise<boolean> {
    const unauthorized = statusError(endpoint, response, clock.now())
    try {
      const answer = await waitFor('onUnauthorized', endpoint, clock, () => settings.onUnauthorized?.(unauthorized))
      if (answer !== true) return false
      generation++
      return true
    } finally {
      refreshing = undefined
    }
  }
}
