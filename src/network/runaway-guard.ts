/**
 * Counts the foreground requests to an endpoint and closes for a while when there are too many: no application needs
 * 100 fetches of one endpoint in 10 s, every loop does.
 */
export interface RunawayGuard {
  /** Admits one request, or tells until when (ms since the epoch) none is admitted, and who asked most. */
  admit(limit: number, now: number, who: string): { readonly until: number; readonly who: string } | undefined
  /** Until when it is closed; in the past if it is open. */
  readonly closedUntil: number
}

export const GUARD_WINDOW = 10_000

export function createRunawayGuard(): RunawayGuard {
  let admitted: { at: number; who: string }[] = []
  let closed = { until: 0, who: '' }
  return {
    get closedUntil() {
      return closed.until
    },
    admit(limit, now, who) {
      if (now < closed.until) return closed
      // Looked through only when it is full: most endpoints never are.
      if (admitted.length >= limit) admitted = admitted.filter(({ at }) => now - at < GUARD_WINDOW)
      if (limit !== Infinity) admitted.push({ at: now, who })
      if (admitted.length <= limit) return undefined
      closed = { until: now + GUARD_WINDOW, who: mostFrequent(admitted.map((request) => request.who)) }
      admitted = []
      return closed
    },
  }
}

/** Of at least one. */
function mostFrequent(names: readonly string[]): string {
  const counts = new Map<string, number>()
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1)
  return [...counts].reduce((most, entry) => (entry[1] > most[1] ? entry : most))[0]
}
