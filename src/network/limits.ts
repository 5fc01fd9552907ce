/** How much may be asked of a server. `Infinity` switches one off. */
export interface Limits {
  /** Background requests (polls, reconnects, resyncs, `refresh`, retries) per endpoint and minute. @defaultValue 20 (600 in test) */
  backgroundPerMinute: number
  /** How many background requests may come at once, within that budget. @defaultValue 5 */
  burst: number
  /** Foreground requests that reach the network per endpoint in 10 s; beyond it they are refused for 10 s. @defaultValue 100 */
  fetchesPer10s: number
  /** Requests in flight at once per endpoint. @defaultValue 6 */
  concurrency: number
  /** Requests that may wait for their turn per endpoint. @defaultValue 100 */
  queue: number
  /** Streams that are connected per origin: browsers allow six connections for everything. @defaultValue 4; Infinity outside of browsers */
  streams: number
}

export const defaultLimits: Limits = {
  backgroundPerMinute: 20,
  burst: 5,
  fetchesPer10s: 100,
  concurrency: 6,
  queue: 100,
  streams: 4,
}

/** When a breaker opens and for how long. */
export interface BreakerOptions {
  /** Failures within `window` that open it. @defaultValue 5 */
  failures: number
  /** ms. @defaultValue 60_000 */
  window: number
  /** ms that it stays open before one probe is let through. @defaultValue 30_000 */
  cooldown: number
}

export const defaultBreaker: BreakerOptions = { failures: 5, window: 60_000, cooldown: 30_000 }
