/**
 * Requests that several callers may wait for. Each caller's abort rejects that caller alone, with its own signal's reason;
 * the last one aborts the request. One that fails leaves nothing open.
 */
import type { Timers } from '../primitives/clock'
import { abortFor, reasonOf, throwIfAborted, untilAborted } from '../primitives/until-aborted'
import type { PolicyRequest, Priority } from './request'

/** Who joins, and what it wants: all have what the most demanding of them asks for. */
export interface Caller {
  readonly signal: AbortSignal
  readonly kind: PolicyRequest['kind']
  readonly priority: Priority
  /** ms that the answer may be reused. */
  readonly ttl: number
}

export interface Flight {
  readonly signal: AbortSignal
  readonly priority: Priority
  readonly ttl: number
  /** Those who have failed together wait together, and try again together. */
  retry?: { readonly draw: number; readonly waits: symbol[] }
  /** How far it is. */
  stage: 'waiting' | 'sent' | 'answered'
  /** When it left for the server, if it has. */
  sentAt: number
  /** It has left for the server. */
  sent(): void
  /** Calls `run` when it has left for the server, at once if it has. */
  whenSent(run: () => void): void
  /** From now on nobody joins. Returns how many wait. */
  land(): number
  /** False once it was forgotten: what it brings may be from before a change, and must not be kept. */
  isCurrent(): boolean
}

export interface InFlight {
  /** Joins what is under way for one of these keys, or starts it for the first. With a new symbol, nobody joins. */
  join<T>(
    keys: readonly (string | symbol)[],
    url: string,
    caller: Caller,
    start: (flight: Flight) => Promise<T>,
    onJoin?: (flight: Flight, isShared: boolean) => void,
  ): Promise<T>
  /** Nobody joins what is under way for these URLs any more. */
  forget(matches: (url: string) => boolean): void
}

interface Shared extends Flight {
  readonly url: string
  readonly kind: PolicyRequest['kind']
  readonly controller: AbortController
  promise: Promise<unknown>
  waiting: number
  priority: Priority
  ttl: number
}

const URGENCY: readonly Priority[] = ['low', 'normal', 'high']

export function createInFlight(clock: Pick<Timers, 'elapsed'>): InFlight {
  const flights = new Map<string | symbol, Shared>()

  return {
    async join<T>(
      keys: readonly (string | symbol)[],
      url: string,
      caller: Caller,
      start: (flight: Flight) => Promise<T>,
      onJoin?: (flight: Flight, isShared: boolean) => void,
    ) {
      const { signal, priority, ttl } = caller
      throwIfAborted(signal)
      const known = keys.map((key) => flights.get(key)).find((flight) => flight && isFor(flight, caller))
      const flight = known ?? takeOff(keys[0] as string, url, caller, start)
      flight.waiting++
      if (URGENCY.indexOf(priority) > URGENCY.indexOf(flight.priority)) flight.priority = priority
      flight.ttl = Math.max(flight.ttl, ttl)
      onJoin?.(flight, known !== undefined)
      return untilAborted(flight.promise as Promise<T>, signal, () => {
        if (--flight.waiting === 0) abortFor(flight.controller, reasonOf(signal))
      })
    },
    forget(matches) {
      for (const [key, { url }] of flights) if (matches(url)) flights.delete(key)
    },
  }

  /** Whoever asks now does not wait for the budget of what is asked in the background. */
  function isFor({ kind, stage }: Shared, caller: Caller): boolean {
    return stage !== 'waiting' || kind === 'foreground' || kind === caller.kind || caller.kind === 'background'
  }

  function takeOff(
    key: string | symbol,
    url: string,
    { kind, priority, ttl }: Caller,
    start: (flight: Flight) => Promise<unknown>,
  ): Shared {
    const controller = new AbortController()
    const { signal } = controller
    const told: (() => void)[] = []
    const isCurrent = () => flights.get(key) === flight
    const land = () => {
      if (isCurrent()) flights.delete(key)
      return flight.waiting
    }
    const flight: Shared = {
      url,
      kind,
      priority,
      ttl,
      controller,
      signal,
      stage: 'waiting',
      sentAt: 0,
      waiting: 0,
      promise: Promise.resolve(),
      sent() {
        flight.stage = 'sent'
        flight.sentAt = clock.elapsed()
        for (const run of told.splice(0)) run()
      },
      whenSent(run) {
        if (flight.stage === 'waiting') told.push(run)
        else run()
      },
      land,
      isCurrent,
    }
    flight.promise = untilAborted(Promise.resolve(flight).then(start), signal, land).finally(land)
    // Whoever waits is told of a failure; whatever it left half-read is closed.
    flight.promise.catch((reason) => abortFor(controller, reason))
    flights.set(key, flight)
    return flight
  }
}
