/**
 * A budget as a token bucket: `burst` at once, `perMinute` in the long run. Taking never fails, it says how long to
 * wait: moments are promised in the order in which they were asked for, and each to one alone.
 */
export interface TokenBucket {
  /** ms to wait for the token that was taken. */
  take(perMinute: number, burst: number, now: number): number
  /** Gives back a token whose wait was broken off; `at` is the moment that was promised. */
  giveBack(at: number): void
}

export function createTokenBucket(): TokenBucket {
  let spent = 0
  let countedAt = 0
  let free: number[] = []
  return {
    take(perMinute, burst, now) {
      if (perMinute === Infinity || burst === Infinity) return 0
      free = free.filter((at) => at > now)
      const soonest = free.shift()
      if (soonest !== undefined) return soonest - now
      const perMs = perMinute / 60_000
      spent = Math.max(0, spent - Math.max(0, now - countedAt) * perMs) + 1
      countedAt = now
      return Math.max(0, Math.ceil((spent - Math.max(burst, 1)) / perMs))
    },
    giveBack(at) {
      free = [...free, at].sort((a, b) => a - b)
    },
  }
}
