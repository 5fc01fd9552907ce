import { attempt } from '../primitives/platform'

/**
 * Streams per origin: a browser allows six HTTP/1.1 connections to one, so six streams would hang everything else.
 * Whoever gets no slot waits in line for one.
 */
export interface StreamSlots {
  /**
   * Calls `onSlot` when there is a slot, perhaps at once; `onWait` if there is none yet. Returns how to give it back, or
   * to leave the line.
   */
  enter(origin: string, limit: () => number, onSlot: () => void, onWait: () => void): () => void
}

export function createStreamSlots(): StreamSlots {
  const origins = new Map<string, { taken: number; line: (() => void)[] }>()

  return {
    enter(origin, limit, onSlot, onWait) {
      const slots = origins.get(origin) ?? { taken: 0, line: [] }
      origins.set(origin, slots)
      let state: 'waiting' | 'held' | 'gone' = 'waiting'
      const take = () => {
        state = 'held'
        slots.taken++
        onSlot()
      }
      if (slots.taken < limit() || (slots.taken < MULTIPLEXED && isMultiplexed(origin))) take()
      else {
        slots.line.push(take)
        onWait()
      }
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

/** Whether the browser has spoken HTTP/2 or 3 with this origin so far. */
export function isMultiplexed(origin: string): boolean {
  if (typeof document === 'undefined') return false
  const seen = (type: string) => attempt(() => performance.getEntriesByType(type)) ?? []
  return ([...seen('navigation'), ...seen('resource')] as PerformanceResourceTiming[]).some(
    ({ name, nextHopProtocol }) => /^h[23]/.test(nextHopProtocol) && name.startsWith(`${origin}/`),
  )
}
