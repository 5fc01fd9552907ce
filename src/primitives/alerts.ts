/** What an {@link Alert} is about. */
export type AlertCode =
  | 'request-rate'
  | 'runaway'
  | 'error-rate'
  | 'breaker-open'
  | 'breaker-closed'
  | 'rejected'
  | 'overflow'
  | 'gap'
  | 'invalid-event'
  | 'stream-limit'
  | 'memory'
  | 'pressure'
  | 'duplicate-client'
  | 'failed'
  | 'ignored'
  | 'config'
  | 'tab-protocol'

/** Something that the developer or the operator should look at; the data goes on being served as well as it can be. */
export interface Alert {
  readonly code: AlertCode
  /** What happened and what to do; no header, body, query string or credential. */
  readonly message: string
  /** Method, origin and path, without a query. */
  readonly endpoint?: string | undefined
  /** The channel's key. */
  readonly channel?: string | undefined
  /** The label of whoever caused it. */
  readonly subscriber?: string | undefined
  /** What was measured, against `limit`. */
  readonly value?: number | undefined
  readonly limit?: number | undefined
}
