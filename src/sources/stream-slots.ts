/**
 * Streams per origin: a browser allows six HTTP/1.1 connections to one, so six streams would hang everything else.
 * Whoever gets no slot waits in line for one.
 */
export interface StreamSlots {
  /** Calls `onSlot` when there is a slot, perhaps at once. Returns how to give it back, or to leave the line. */
  enter(origin: string, limit: () => number, onSlot: () => void): () => void
}

export function createStreamSlots(): StreamSlots {
  const origins = new Map<string, { taken: number; line: (() => void)[] }>()

  return {
    enter(origin, limit, onSlot) {
      const slots = origins.get(origin) ?? { taken: 0, line: [] }
      origins.set(origin, slots)
      let state: 'waiting' | 'held' | 'gone' = 'waiting'
      const take = () => {
        state = 'held'
        slots.taken++
        onSlot()
      }
      if (slots.taken < limit() || slots.taken < multiplexedLimit(origin)) take()
      else slots.line.push(take)
      return () => {
        if (state === 'held') {
          slots.taken--
          if (slots.taken < limit()) slots.line.shift()?.()
        } else if (state === 'waiting') slots.line.splice(slots.line.indexOf(take), 1)
        state = 'gone'
        if (slots.taken + slots.line.length === 0) origins.delete(origin)
      }
    },
  }
}

/** HTTP/2 and 3 carry a hundred streams on one connection; half of them are left to everybody else. */
const MULTIPLEXED = 50

/** What the browser has seen of this origin so far: nothing, or how many streams HTTP/2 or 3 would bear. */
function multiplexedLimit(origin: string): number {
  if (typeof document === 'undefined') return 0
  const seen = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
  const multiplexed = (seen as PerformanceResourceTiming[]).some(
    ({ name, nextHopProtocol }) => /^h[23]/.test(nextHopProtocol) && name.startsWith(`${origin}/`),
  )
  return multiplexed ? MULTIPLEXED : 0
}
