import { LONGEST_SERVER_DELAY } from './backoff'
import { configError, MillraceError, type MillraceErrorCode, type MillraceErrorDetails } from './errors'
import { isPlain } from './plain'
import { attempt, loadHeaders } from './platform'

/** Whether an answer says "not now" (RFC 9110 section 15.5.9, RFC 6585, RFC 8470, and all 5xx) rather than "no". */
export const isRetryableStatus = (status: number): boolean =>
  status >= 500 || status === 408 || status === 425 || status === 429

const SECRET = /auth|cookie|token|secret|session|key|credential|passw|jwt|[cx]srf|signature/i

/** Whether a header of this name is likely to say who asks: what was asked with it is not for everybody. */
export const isSecretHeader = (name: string): boolean => SECRET.test(name)

/** An answer of a `fetch` that was given, such as a mock, may have none, or some that are only asked one by one. */
export function headersOf({ headers }: Response): Headers {
  if (typeof (headers as Partial<Headers> | undefined)?.[Symbol.iterator] === 'function') return headers
  return Object.assign(new Headers(), headers && { get: (name: string) => headers.get?.(name) ?? null })
}

/** RFC 9110 section 10.2.3: seconds or a date, in ms from now, at most 5 min; undefined if absent or unreadable. */
export function retryAfterOf(headers: Headers, now: number): number | undefined {
  const value = headers.get('retry-after')?.trim()
  if (!value) return undefined
  const ms = /^\d+$/.test(value) ? Number(value) * 1_000 : Date.parse(value) - now
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(ms, 0), LONGEST_SERVER_DELAY)
}

/** The error of one request: the message begins with its endpoint, `what` goes on. */
export function requestError(
  code: MillraceErrorCode,
  endpoint: string,
  what: string,
  details?: MillraceErrorDetails,
): MillraceError {
  return new MillraceError(code, `${endpoint} ${what}`, { endpoint, ...details })
}

/** The error of a request that got no answer, or whose answer broke off: worth another attempt. */
export function networkError(
  endpoint: string,
  what: string,
  cause?: unknown,
  code: MillraceErrorCode = 'network',
): MillraceError {
  return requestError(code, endpoint, `${what}. Another attempt may succeed.`, { retryable: true, cause })
}

/** A body that is gone once it was read: a stream, a Node stream, an iterator; of any realm. */
export function isOnce(body: unknown): boolean {
  return (
    typeof body === 'object' && body !== null && ('getReader' in body || Symbol.asyncIterator in body || 'pipe' in body)
  )
}

/**
 * The error of a request that `fetch` refuses to make (WHATWG Fetch 5.4, the constructor of `Request`): no attempt would
 * fare better. Undefined if it could be made, so that its failure was the network's. The platform's own words are left
 * out: they quote the URL.
 */
export function unsendable(endpoint: string, input: string | Request, init: RequestInit): MillraceError | undefined {
  // Where it cannot be told; a request that is one was made already.
  if (typeof input !== 'string' || !attempt(() => new Request('http://localhost'))) return undefined
  const { body, cache: _, ...rest } = init
  const stream = isOnce(body) && attempt(() => new ReadableStream())
  if (stream === undefined) return undefined
  try {
    // Another stream in place of one that is used up; a signal may be a simulated DOM's; not all have modes of a cache.
    new Request(input, { ...rest, body: stream || (body ?? null), signal: null })
    return undefined
  } catch {
    return requestError(
      'config',
      endpoint,
      "cannot be sent: look at its method, its body (a stream needs `duplex: 'half'`) and its URL.",
    )
  }
}

/** Nothing can be asked here, now or later: some test environments leave out what the runtime has. */
export function missing(name: 'fetch' | 'Headers'): MillraceError {
  return configError(`a platform with \`${name}\``, 'one without: polyfill `fetch`')
}

/** @throws MillraceError `config` for what no header can carry (RFC 9110 section 5); the platform's error quotes it */
export function toHeaders(given: HeadersInit | undefined): Headers {
  if (!attempt(() => Headers) && !loadHeaders()) throw missing('Headers')
  try {
    // A value that is not given would be sent as the word.
    return new Headers(isPlain(given) ? Object.entries(given).filter(([, value]) => value !== undefined) : given)
  } catch {
    throw configError('headers with ASCII names and values of one line in Latin-1', 'others')
  }
}

const ADVICE: Record<number, string> = {
  204: 'the stream has ended for good',
  401: 'not signed in, refresh the token in `onUnauthorized`',
  403: 'not allowed',
  404: 'no such URL',
  410: 'gone',
  429: 'too many requests',
}

/** The error of an answer whose status is not the expected one. */
export function statusError(endpoint: string, response: Response, now: number): MillraceError {
  const { status } = response
  const retryable = isRetryableStatus(status)
  const advice = ADVICE[status] ?? (retryable ? 'not now' : 'check the request')
  const retryAfter = retryable ? retryAfterOf(headersOf(response), now) : undefined
  const code = status === 401 ? 'unauthorized' : 'http'
  return requestError(code, endpoint, `answered ${status}: ${advice}.`, { status, retryable, retryAfter })
}
