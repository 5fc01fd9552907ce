import { check, shown } from '../primitives/check'
import { configError } from '../primitives/errors'
import { toHeaders } from '../primitives/http'
import { resolveUrl } from '../primitives/url'

/** A request, described. Functions are asked again at every attempt. */
export interface TargetRequest {
  url: string | URL
  /** @defaultValue 'GET' */
  method?: string
  headers?: HeadersInit | (() => HeadersInit | Promise<HeadersInit>)
  body?: string | (() => BodyInit | Promise<BodyInit>)
  credentials?: RequestCredentials
}

/**
 * Where live data comes from. A source's identity is its method, URL, string body, credentials and static headers, with
 * the client's `identity`; a body function or a Target function identifies by the channel's key.
 */
export type Target = string | URL | TargetRequest | (() => Target | Promise<Target>)

/** A target whose URL is known. */
export interface ResolvedTarget {
  readonly url: URL
  readonly method: string
  readonly request: TargetRequest
}

/** @throws MillraceError `config` for what is neither a URL, nor a request, nor a function that answers one */
export function checkTarget(target: unknown): void {
  if (target === undefined || typeof target === 'function' || isUrl(target)) return
  const { url, ...request } = (target ?? {}) as Partial<TargetRequest>
  if (!isUrl(url))
    throw configError('a URL, `{ url }` with one, or a function that answers one', shown(target && typeof target))
  check('', request)
}

/** Of any realm: known by its shape. An empty one would be the page itself. */
function isUrl(value: unknown): value is string | URL {
  return value !== '' && (typeof value === 'string' || typeof (value as URL | null)?.href === 'string')
}

/** How often a target function may answer with another one. */
const DEEPEST = 8

export function resolveTarget(
  target: Target,
  baseUrl: string | URL | undefined,
  depth = 0,
): ResolvedTarget | Promise<ResolvedTarget> {
  if (typeof target === 'function') {
    if (depth > DEEPEST) throw configError('a target function that ends in a URL', 'functions without end')
    const answer = target()
    return answer instanceof Promise
      ? answer.then((inner) => resolveTarget(inner, baseUrl, depth + 1))
      : resolveTarget(answer, baseUrl, depth + 1)
  }
  checkTarget(target ?? null)
  const request = isUrl(target) ? { url: target } : target
  return { url: resolveUrl(request.url, baseUrl), method: (request.method ?? 'GET').toUpperCase(), request }
}

/** Two targets with the same identity are one source. */
export function targetIdentity(target: Target, channelKey: string, baseUrl: string | URL | undefined): string {
  if (typeof target === 'function') return `function ${channelKey}`
  const { url, method, request } = resolveTarget(target, baseUrl) as ResolvedTarget
  const { headers, body, credentials } = request
  const fixed = headers && typeof headers !== 'function' ? [...toHeaders(headers)] : []
  return JSON.stringify([method, url.href, typeof body === 'function' ? channelKey : body, credentials, fixed])
}

/** The body of an attempt. */
export function bodyOf({ request }: ResolvedTarget): BodyInit | undefined | Promise<BodyInit> {
  return typeof request.body === 'function' ? request.body() : request.body
}

/** The headers of an attempt. */
export function headersOf({ request }: ResolvedTarget): HeadersInit | undefined | Promise<HeadersInit> {
  return typeof request.headers === 'function' ? request.headers() : request.headers
}
