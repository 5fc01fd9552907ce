/**
 * Signs that the page, the process or the machine cannot keep up: timers that come late, long tasks, a CPU under pressure. Costs no
 * timer of its own.
 */
import { attempt, isHidden } from './platform'

/** Timers this late in a row are a sign; a single one may be a pause of the garbage collector. */
const IN_A_ROW = 3
/** ms that a person would notice. */
const NOTICEABLE = 100
/** Later than this, the machine slept. */
const ASLEEP = 30_000

export interface LagWatch {
  /** Told by every timer how many ms late it came, and when. */
  onTimer(lateBy: number, now: number): void
  /** Whether the last timer came late at all: the machine's trouble is this page's too. */
  isLate(): boolean
}

export function watchLag(limit: () => number, tell: (ms: number) => void): LagWatch {
  let late = 0
  let last = 0
  let lateAt = Number.NEGATIVE_INFINITY
  return {
    isLate: () => last > NOTICEABLE,
    onTimer(lateBy, now) {
      last = lateBy
      // Hidden pages have their timers slowed on purpose.
      if (lateBy < limit() || lateBy > ASLEEP || isHidden()) late = 0
      // All that was due in one pause (a debugger, a nap of the machine) came late once.
      else if (now - lateBy > lateAt) {
        lateAt = now
        if (++late < IN_A_ROW) return
        late = 0
        tell(lateBy)
      }
    },
  }
}

interface PressureRecord {
  readonly state: string
}
interface Observer {
  observe(source: string): Promise<void>
  disconnect(): void
}
declare const document: { readonly featurePolicy: { allowsFeature(name: string): boolean } }
declare const PressureObserver: new (callback: (records: PressureRecord[]) => unknown) => Observer

/** Calls `tell` when the CPU is under critical pressure, where the browser says so. Returns the stop. */
export function watchCpu(tell: () => unknown): () => void {
  // A frame that may not is told so by an error in the console, not by one that could be caught.
  if (attempt(() => document.featurePolicy.allowsFeature('compute-pressure')) === false) return () => {}
  const isCritical = ({ state }: PressureRecord) => state === 'critical'
  const observer = attempt(() => new PressureObserver((records) => records.some(isCritical) && tell()))
  attempt(() => observer?.observe('cpu').catch(() => {}))
  return () => observer?.disconnect()
}
