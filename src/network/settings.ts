import type { Alert } from '../primitives/alerts'
import type { BackoffOptions } from '../primitives/backoff'
import type { TrackedClock } from '../primitives/clock'
import type { MillraceError } from '../primitives/errors'
import type { KeptAnswer } from './answer'
import type { BreakerOptions, Limits } from './limits'
import type { CacheOptions } from './response-cache'

/** Headers for every request: fixed, or asked again at every attempt. */
export type HeaderSource =
  | HeadersInit
  | ((request: { url: string; attempt: number }) => HeadersInit | Promise<HeadersInit>)

/** One request that ended, for `client.on('request')`. */
export interface RequestRecord {
  readonly endpoint: string
  readonly kind: 'foreground' | 'background' | 'stream'
  /** Who asked. */
  readonly label: string
  /** ms since the epoch. */
  readonly startedAt: number
  /** ms until the answer's head, or until it failed. */
  readonly duration: number
  /** The HTTP status, if there was an answer. */
  readonly status?: number | undefined
  readonly error?: MillraceError | undefined
}

/** How many requests were asked for, and what became of them. */
export interface RequestCounters {
  asked: number
  sent: number
  shared: number
  cached: number
  failed: number
  refused: number
}

/** What the network may be told to do otherwise while it runs: read at every use, never copied. */
export interface NetworkSettings {
  readonly baseUrl: string | URL | undefined
  /** Origins beside that of `baseUrl` that are sent the client's headers and credentials. */
  readonly origins: readonly string[]
  readonly credentials: RequestCredentials | undefined
  readonly fetch: typeof fetch | undefined
  readonly headers: HeaderSource | undefined
  readonly onUnauthorized: ((error: MillraceError) => boolean | Promise<boolean>) | undefined
  readonly identity: string | null
  readonly backoff: BackoffOptions
  readonly breaker: BreakerOptions
  readonly limits: Limits
  readonly cache: CacheOptions
  readonly thresholds: { readonly errorRate: number }
  readonly flags: {
    readonly cache: boolean
    readonly breaker: boolean
    readonly guard: boolean
    readonly coordination: boolean
  }
}

/** What every room of the network is given. */
export interface NetworkContext {
  readonly clock: TrackedClock
  readonly settings: NetworkSettings
  readonly counters: RequestCounters
  readonly alert: (alert: Alert) => void
  readonly onRequest: (record: RequestRecord) => void
  /** Tells of bytes taken (or, negative, given back) by a cache or a queue. */
  readonly account: (bytes: number) => void
  /** Tells of an answer that is cached and may be known to other tabs. */
  readonly onKept: (answer: KeptAnswer) => void
  /** Tells of a URL that an unsafe method has changed. */
  readonly onChanged: (url: string) => void
  /** Tells of an endpoint of which nothing is asked for so many ms, since somebody asks in a loop. */
  readonly onRefused: (endpoint: string, ms: number, who: string) => void
}
