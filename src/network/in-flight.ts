/**
 * Work that several callers may wait for. Each caller's abort rejects that caller alone, with its own signal's reason;
 * the last one aborts the work, and so does the switch. Work that fails leaves nothing open. A caller without a signal
 * costs nothing but a count.
 */
import { untilAborted } from '../primitives/until-aborted'
import type { Gate } from './gate'
import type { RequestCounters } from './settings'

export interface Flight {
  readonly signal: AbortSignal
  /** From now on nobody joins. Returns how many wait. */
  land(): number
  /** False once it was forgotten: what it brings may be from before a change, and must not be kept. */
  isCurrent(): boolean
}

export interface InFlight {
  /** Joins what is under way for `key`, or starts it. With a new symbol for a key, nobody joins. */
  join<T>(
    key: string | symbol,
    url: string,
    signal: AbortSignal | undefined,
    start: (flight: Flight) => Promise<T>,
  ): Promise<T>
  /** Something is under way for it. */
  has(key: string): boolean
  /** Nobody joins what is under way for these URLs any more. */
  forget(matches: (url: string) => boolean): void
}

interface Shared {
  readonly url: string
  readonly abort: (reason: unknown) => void
  readonly promise: Promise<unknown>
  waiting: number
}

export function createInFlight(gate: Gate, counters: RequestCounters): InFlight {
  const flights = new Map<string | symbol, Shared>()

  return {
    async join<T>(
      key: string | symbol,
      url: string,
      signal: AbortSignal | undefined,
      start: (flight: Flight) => Promise<T>,
    ) {
      signal?.throwIfAborted()
      const known = flights.get(key)
      if (known) counters.shared++
      const flight = known ?? takeOff(key, url, start)
      flight.waiting++
      const promise = flight.promise as Promise<T>
      if (!signal) return promise
      return untilAborted(promise, signal, () => {
        if (--flight.waiting === 0) flight.abort(signal.reason)
      })
    },
    has: (key) => flights.has(key),
    forget(matches) {
      for (const [key, { url }] of flights) if (matches(url)) flights.delete(key)
    },
  }

  function takeOff(key: string | symbol, url: string, start: (flight: Flight) => Promise<unknown>): Shared {
    const controller = new AbortController()
    const { signal } = controller
    const abort = (reason: unknown) => controller.abort(reason)
    const leaveGate = gate.enter(abort)
    const isCurrent = () => flights.get(key) === flight
    const land = () => {
      if (isCurrent()) flights.delete(key)
      return flight.waiting
    }
    const work = Promise.resolve({ signal, land, isCurrent }).then(start)
    const promise = untilAborted(work, signal, land).finally(() => {
      land()
      leaveGate()
    })
    // Whoever waits is told of a failure; whatever it left half-read is closed.
    promise.catch(abort)
    const flight: Shared = { url, abort, promise, waiting: 0 }
    flights.set(key, flight)
    return flight
  }
}
