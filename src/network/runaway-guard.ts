/**
 * Counts the foreground requests to an endpoint and closes for a while when there are too many: no application needs
 * 100 fetches of one endpoint in 10 s, every loop does. A loop that goes on is refused for twice as long each time.
 */
export interface Refusal {
  /** Until when none is admitted. */
  readonly until: number
  /** Who asked most. */
  readonly who: string
  /** For how long. */
  readonly ms: number
}

export interface RunawayGuard {
  /** Admits one request, or tells why not. */
  admit(limit: number, now: number, who: string): Refusal | undefined
  /** Another tab refuses: so does this one. */
  close(now: number, ms: number, who: string): void
  /** Until when it is closed; in the past if it is open. */
  readonly closedUntil: number
}

export const GUARD_WINDOW = 10_000
/** ms: no refusal is longer. */
export const LONGEST_REFUSAL = 300_000
/** ms without a loop after which the next one is the first again. */
const FORGOTTEN = 60_000

export function createRunawayGuard(): RunawayGuard {
  let admitted: { at: number; who: string }[] = []
  let last: Refusal = { until: 0, who: '', ms: 0 }

  function close(now: number, ms: number, who: string): void {
    last = { until: now + ms, who, ms }
    admitted = []
  }

  return {
    get closedUntil() {
      return last.until
    },
    admit(limit, now, who) {
      if (now < last.until) return last
      // Looked through only when it is full: most endpoints never are.
      if (admitted.length >= limit) admitted = admitted.filter(({ at }) => now - at < GUARD_WINDOW)
      if (limit !== Infinity) admitted.push({ at: now, who })
      if (admitted.length <= limit) return undefined
      const before = now - last.until < FORGOTTEN ? last.ms : 0
      const ms = Math.min(Math.max(2 * before, GUARD_WINDOW), LONGEST_REFUSAL)
      close(now, ms, mostFrequent(admitted.map((request) => request.who)))
      return last
    },
    close(now, ms, who) {
      if (now + ms > last.until) close(now, Math.min(ms, LONGEST_REFUSAL), who)
    },
  }
}

/** Of at least one. */
function mostFrequent(names: readonly string[]): string {
  const counts = new Map<string, number>()
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1)
  return [...counts].reduce((most, entry) => (entry[1] > most[1] ? entry : most))[0]
}
