/**
 * What every option must be, whichever door it comes by; written as its type, which is what an error says. One name means
 * the same at each door, and each door has a constant of its own, so that an import brings no other's.
 */

export const requestOptions = `method: string
headers: object | function
body: string | object | function | null
credentials: "omit" | "same-origin" | "include"`

export const backoffOptions = `base cap factor: number > 0
resetAfter: number >= 0
jitter: "full" | "none"`

export const eventSourceOptions = `fetch: function
idleTimeout: number > 0 | false
connectTimeout maxEventBytes: number > 0
reconnect: "always" | "resume" | "never"
lastEventId: string
signal: AbortSignal { aborted } | null`

export const coordinationOptions = `ttl staleIfError retry: number >= 0
timeout: number > 0
dedupe: boolean
priority: "high" | "normal" | "low"
group label: string
schema: Standard Schema { ~standard }`

export const channelOptions = `interval grace keep retry: number >= 0
timeout connectTimeout maxEventBytes: number > 0
idleTimeout: number > 0 | false
reduce fromSnapshot until done sequence normalize position: function
parse: "json" | "text"
schema: Standard Schema { ~standard }
reconnect: "always" | "resume" | "never"
fallback: "poll" | "none"
share: "tabs" | "page"
whenHidden: "keep" | "pause"
replay: boolean
version: string | number
priority: "high" | "normal" | "low"
group: string`

/** Of the events that a channel lists. */
export const schemaOptions = '*: Standard Schema { ~standard }'

export const subscribeOptions = `signal: AbortSignal { aborted } | null
label: string
exclusive enabled: boolean
interval: number >= 0
delivery: "each" | "frame" | "latest"`

export const observerOptions = 'next batch state error complete: function'

export const iteratorOptions = `signal: AbortSignal { aborted } | null
buffer: number >= 1
overflow: "drop-oldest" | "drop-newest" | "error" | function`

export const clientOptions = `environment: "development" | "production" | "docker" | "test"
identity: string | null
origins: array
headers: object | function
onUnauthorized fetch: function
credentials: "omit" | "same-origin" | "include"
clock: Clock { now, random, after, frame }
interval: number >= 0
debug: boolean | "verbose"`

/** The groups of a client's options. */
export const clientGroups: Record<
  'backoff' | 'breaker' | 'limits' | 'cache' | 'thresholds' | 'flags' | 'rollout',
  string
> = {
  backoff: backoffOptions,
  breaker: 'failures window cooldown: number >= 0',
  limits: `backgroundPerMinute burst fetchesPer10s concurrency: number > 0
queue streams: number >= 0`,
  cache: 'ttl entries bytes staleIfError: number >= 0',
  thresholds: 'errorRate memory lag alertEvery: number >= 0',
  flags: 'streaming tabs cache breaker guard coordination: boolean',
  rollout: `percent: number >= 0 <= 100
id: string
only: array`,
}
