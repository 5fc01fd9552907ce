import { attempt, isBrowser } from './platform'

/** What went wrong, as one word to switch on. */
export type MillraceErrorCode =
  | 'http'
  | 'content-type'
  | 'network'
  | 'timeout'
  | 'idle'
  | 'interrupted'
  | 'too-large'
  | 'invalid-event'
  | 'invalid-body'
  | 'unauthorized'
  | 'breaker-open'
  | 'runaway'
  | 'queue-full'
  | 'disabled'
  | 'rejected'
  | 'overflow'
  | 'gap'
  | 'aborted'
  | 'closed'
  | 'callback'
  | 'config'

/** What a {@link MillraceError} may know besides its code and message. */
export interface MillraceErrorDetails {
  retryable?: boolean
  status?: number | undefined
  endpoint?: string | undefined
  retryAfter?: number | undefined
  cause?: unknown
}

const brand = Symbol.for('millrace.error')

/**
 * The one error class. The message names the endpoint, what was expected, what came and what to do; it never holds a
 * header, a body, a query string or a credential.
 *
 * @example
 * ```ts
 * import { getClient, isMillraceError } from 'millrace'
 *
 * try {
 *   await getClient().json('/api/users')
 * } catch (error) {
 *   if (isMillraceError(error) && error.code === 'http') console.log(error.status)
 * }
 * ```
 */
export class MillraceError extends Error {
  /** What went wrong. */
  declare readonly code: MillraceErrorCode
  /** Whether the same request may succeed later. */
  declare readonly retryable: boolean
  /** The HTTP status, where an answer came. */
  declare readonly status: number | undefined
  /** Method, origin and path of the request, without its query. */
  declare readonly endpoint: string | undefined
  /** ms that must pass before it makes sense to ask again, where that is known. */
  declare readonly retryAfter: number | undefined

  constructor(code: MillraceErrorCode, message: string, { cause, ...details }: MillraceErrorDetails = {}) {
    super(message, cause === undefined ? cause : { cause })
    Object.assign(this, { code, retryable: false }, details)
    // Not assigned: where `Error.prototype` is frozen that throws.
    Object.defineProperties(this, {
      name: { value: 'MillraceError', configurable: true, writable: true },
      [brand]: { value: true },
    })
  }
}

/** Whether a value is a {@link MillraceError}, of this copy of the bundle or of another one in the page. */
export function isMillraceError(value: unknown): value is MillraceError {
  return (value as { [brand]?: unknown } | null | undefined)?.[brand] === true
}

/** A mistake in the caller's own code: says what was expected and what came. */
export function configError(expected: string, got: string): MillraceError {
  return new MillraceError('config', `Expected ${expected}, got ${got}.`)
}

/**
 * Tells the platform of an exception that nobody caught; never throws itself. A page has a handler for such (`error` of
 * the window or the worker); elsewhere one would end the process, which no mistake in a listener is worth.
 */
export function reportException(error: unknown): void {
  const isTold = attempt(() => {
    if (!isBrowser()) return false
    reportError(error)
    return true
  })
  if (!isTold) console.error(error)
}
