/** What `fetch` takes, understood: of this realm or another, read once or again and again. */
import { shown } from '../primitives/check'
import { configError } from '../primitives/errors'
import { isOnce } from '../primitives/http'
import { attempt } from '../primitives/platform'
import { endpointOf, resolveUrl } from '../primitives/url'
import { readBytes } from './body'

/** What `fetch` is called with. */
export interface Call {
  readonly input: string | Request
  readonly init: RequestInit
}

export interface Asked extends Call {
  readonly url: string
  readonly method: string
  readonly endpoint: string
  /** The request's own headers. */
  readonly headers: HeadersInit | undefined
  readonly signal: AbortSignal | undefined
  readonly hasBody: boolean
  /** To be called before it is sent, if it may be sent again. */
  prepareAgain(): void
  /** The same once more; undefined if its body was read, and is not known. */
  again(): Call | undefined
}

/** The members of `RequestInit` (WHATWG Fetch 5.4); one that is no plain object, such as a `Request`, hides them. */
const MEMBERS =
  'method headers body mode credentials cache redirect referrer referrerPolicy integrity keepalive signal priority duplex'
/** A `Request`'s body up to this many bytes is remembered while it may have to be sent again. */
const REMEMBERED = 2 ** 20

/** @throws MillraceError `config` for a URL that cannot be resolved, and for a body that was read already */
export async function understand(
  input: RequestInfo | URL,
  given: RequestInit | null | undefined,
  baseUrl: string | URL | undefined,
): Promise<Asked> {
  if (typeof input !== 'string' && (typeof input !== 'object' || !input))
    throw configError('a URL or a `Request`', shown(input))
  if (typeof (given ?? {}) !== 'object') throw configError('an `init` that `fetch` takes', shown(given))
  const described = isRequestLike(input) && !isOurs(input) ? await adopt(input) : undefined
  const request = described ? described.request : isOurs(input) ? input : undefined
  const target = resolveUrl(described?.url ?? request?.url ?? (input as string | URL), baseUrl)
  // Not by `hash`, which some platforms cannot set.
  const url = target.href.replace(/#.*/s, '')
  const init: RequestInit = { ...described?.init, ...membersOf(given) }
  const method = (init.method ?? request?.method ?? 'GET').toUpperCase()
  // The one usual method that `fetch` does not write in capitals by itself.
  if (method === 'PATCH') init.method = method
  const ownBody =
    init.body === undefined && request?.body !== null && !/^(GET|HEAD)$/.test(method) ? request : undefined
  if (ownBody?.bodyUsed) throw configError('a `Request` whose body was not read yet', 'one that was')
  const signal = init.signal === undefined ? request?.signal : (init.signal ?? undefined)
  let remembered: (() => Uint8Array<ArrayBuffer> | undefined) | undefined
  return {
    input: request ?? url,
    init,
    url,
    method,
    endpoint: endpointOf(method, target),
    headers: init.headers ?? request?.headers,
    signal,
    hasBody: init.body !== undefined || !/^(GET|HEAD)$/.test(method),
    prepareAgain() {
      if (ownBody) remembered ??= remember(ownBody.clone())
    },
    again() {
      if (isOnce(init.body)) return undefined
      if (!ownBody) return { input: request ?? url, init }
      const body = remembered?.()
      return body && { input: url, init: { ...initOf(ownBody), ...init, body } }
    },
  }
}

/** Of this realm, if it has any. */
function isOurs(input: unknown): input is Request {
  return attempt(() => input instanceof Request) === true
}

function isRequestLike(input: unknown): input is Request {
  const { url, method, headers } = Object(input) as Partial<Request>
  return typeof url === 'string' && typeof method === 'string' && typeof headers === 'object'
}

/** Another realm's `Request` is one for the platform; one that the platform does not know is described to it. */
async function adopt(input: Request): Promise<{ request?: Request; url: string; init?: RequestInit }> {
  const request = attempt(() => new Request(input))
  // What it does not know it takes for the text of a URL.
  if (request?.url === input.url) return { request, url: input.url }
  const hasBody = !/^(GET|HEAD)$/i.test(input.method)
  const bytes = hasBody && typeof input.arrayBuffer === 'function' ? await input.arrayBuffer() : undefined
  const init = initOf(input)
  return { url: input.url, init: bytes?.byteLength ? { ...init, body: bytes } : init }
}

/** A request without its body, as an `init`. */
function initOf(request: Request): RequestInit {
  const { body: _, duplex, ...init } = membersOf(request) as RequestInit & { duplex?: unknown }
  // A navigation cannot be made by a script; what the page is called is not its own to say again.
  if (init.mode === 'navigate') delete init.mode
  if (init.referrer === 'about:client') delete init.referrer
  return init
}

/** What is given as undefined or null is not given; but for a signal: null is none, whatever the request has. */
function membersOf(given: RequestInit | null | undefined): RequestInit {
  const members: Record<string, unknown> = { ...given }
  const prototype = given && Object.getPrototypeOf(given)
  if (prototype && Object.getPrototypeOf(prototype))
    for (const name of MEMBERS.split(' ')) members[name] = (given as Record<string, unknown>)[name]
  for (const name in members)
    if (members[name] === undefined || (members[name] === null && name !== 'signal')) delete members[name]
  return members
}

/** Reads a copy of a body; answers what is known of it: nothing before its end, and nothing if it is too long. */
function remember(copy: Request): () => Uint8Array<ArrayBuffer> | undefined {
  let known: Uint8Array<ArrayBuffer> | undefined
  const reading = copy.body ? readBytes(copy.body, REMEMBERED) : copy.arrayBuffer().then((all) => new Uint8Array(all))
  reading.then(
    (bytes) => {
      known = bytes
    },
    // Whoever sends it hears of it.
    () => {},
  )
  return () => known
}
