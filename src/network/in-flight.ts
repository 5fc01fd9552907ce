/**
 * Work that several callers may wait for. Each caller's abort rejects that caller alone, with its own signal's reason;
 * the last one aborts the work, and so does the switch. Work that fails leaves nothing open.
 */
import type { Timers } from '../primitives/clock'
import { abortFor, reasonOf, throwIfAborted, untilAborted } from '../primitives/until-aborted'
import type { Gate } from './gate'
import type { PolicyRequest, Priority } from './request'

/** Who joins, and what it wants of the work: all have what the most demanding of them asks for. */
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
  readonly abort: (reason: unknown) => void
  promise: Promise<unknown>
  waiting: number
  priority: Priority
  ttl: number
}

const URGENCY: readonly Priority[] = ['low', 'normal', 'high']

export function createInFlight(gate: Gate, clock: Pick<Timers, 'elapsed'>): InFlight {
  const flights = new Map<string | symbol, Shared>()

  return {
    async join<T>(
      keys: readonly (string | symbol)[],
      url: string,
      caller: Caller,
      start: (flight: Flight) => Promise<T>,
      onJoin?: (flight: Flight, isShared: boolean) => void,
    ) {
      const { signal } = caller
      throwIfAborted(signal)
      const known = keys.map((key) => flights.get(key)).find((flight) => flight && isFor(flight, caller))
      const flight = known ?? takeOff(keys[0] as string, url, caller, start)
      flight.waiting++
      if (URGENCY.indexOf(caller.priority) > URGENCY.indexOf(flight.priority)) flight.priority = caller.priority
      flight.ttl = Math.max(flight.ttl, caller.ttl)
      onJoin?.(flight, known !== undefined)
      const promise = flight.promise as Promise<T>
      return untilAborted(promise, signal, () => {
        if (--flight.waiting === 0) flight.abort(reasonOf(signal))
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
    const abort = (reason: unknown) => abortFor(controller, reason)
    const leaveGate = gate.enter(abort)
    const isCurrent = () => flights.get(key) === flight
    const land = () => {
      if (isCurrent()) flights.delete(key)
      return flight.waiting
    }
    const told: (() => void)[] = []
    const flight: Shared = {
      sent() {
        flight.stage = 'sent'
        flight.sentAt = clock.elapsed()
        for (const run of told.splice(0)) run()
      },
      whenSent(run) {
        if (flight.stage === 'waiting') told.push(run)
        else run()
      },
      url,
      kind,
      priority,
      ttl,
      signal,
      stage: 'waiting',
      sentAt: 0,
      abort,
      land,
      isCurrent,
      promise: Promise.resolve(),
      waiting: 0,
    }
    const work = Promise.resolve(flight).then(start)
    flight.promise = untilAborted(work, signal, land).finally(() => {
      land()
      leaveGate()
    })
    // Whoever waits is told of a failure; whatever it left half-read is closed.
    flight.promise.catch(abort)
    flights.set(key, flight)
    return flight
  }
}
