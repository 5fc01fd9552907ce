import { attempt } from '../primitives/platform'

/**
 * Streams per origin: a browser allows six HTTP/1.1 connections to one, so six streams would hang everything else.
 * Whoever gets no slot waits in line for one.
 */
export interface StreamSlots {
  /** Resolves with a slot of the origin, held until the signal is aborted; `onWait`: there is none yet. */
  take(origin: string, limit: () => number, signal: AbortSignal, onWait: () => void): Promise<void>
}

export function createStreamSlots(): StreamSlots {
  const origins = new Map<string, { taken: number; line: (() => void)[] }>()

  return {
    take: (origin, limit, signal, onWait) =>
      new Promise((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason)
        const slots = origins.get(origin) ?? { taken: 0, line: [] }
        origins.set(origin, slots)
        let isHeld = false
        const hold = () => {
          isHeld = true
          slots.taken++
          resolve()
        }
        const leave = () => {
          if (!isHeld) slots.line.splice(slots.line.indexOf(hold), 1)
          else if (--slots.taken < limit()) slots.line.shift()?.()
          if (slots.taken + slots.line.length === 0) origins.delete(origin)
          reject(signal.reason)
        }
        signal.addEventListener('abort', leave)
        if (slots.taken < limit() || (slots.taken < MULTIPLEXED && isMultiplexed(origin))) return hold()
        slots.line.push(hold)
        onWait()
      }),
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
