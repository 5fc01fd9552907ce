import { LONGEST_SERVER_DELAY } from './backoff'
import { MillraceError, type MillraceErrorDetails } from './errors'

/** Whether an answer says "not now" (RFC 9110 section 15.5.9, RFC 6585, RFC 8470, and all 5xx) rather than "no". */
export const isRetryableStatus = (status: number): boolean =>
  status >= 500 || status === 408 || status === 425 || status === 429

/** RFC 9110 section 10.2.3: seconds or a date, in ms from now, at most 5 min; undefined if absent or unreadable. */
export function retryAfterOf(headers: Headers, now: number): number | undefined {
  const value = headers.get('retry-after')?.trim()
  if (!value) return undefined
  const ms = /^\d+$/.test(value) ? Number(value) * 1_000 : Date.parse(value) - now
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(ms, 0), LONGEST_SERVER_DELAY)
}

/** The error of an answer whose status is not a success. */
export function statusError(endpoint: string, response: Response, now: number): MillraceError {
  const { status } = response
  const retryable = isRetryableStatus(status)
  return new MillraceError(
    status === 401 ? 'unauthorized' : 'http',
    `${endpoint} answered ${status}: ${advice(status)}`,
    {
      status,
      endpoint,
      retryable,
      retryAfter: retryable ? retryAfterOf(response.headers, now) : undefined,
    },
  )
}

function advice(status: number): string {
  if (status === 401) return 'not signed in, or the token has expired. Refresh it in `onUnauthorized`.'
  if (status === 403) return 'this identity may not read it. Not retrying.'
  if (status === 404 || status === 410) return 'the URL is wrong or the resource is gone. Not retrying.'
  if (status === 429) return 'too many requests. Trying again later.'
  if (isRetryableStatus(status)) return 'the server cannot answer now. Trying again later.'
  return 'expected a success. Check the request. Not retrying.'
}

/** The error of a request that got no answer, or whose answer broke off. */
export function networkError(endpoint: string, what: string, cause?: unknown): MillraceError {
  const details: MillraceErrorDetails = { endpoint, retryable: true, cause }
  return new MillraceError('network', `${endpoint} ${what}. Trying again later.`, details)
}
