/**
 * Who asks for what is already under way joins it. Each caller's abort rejects that caller alone, with its own signal's
 * reason; the last one aborts the work. A caller without a signal costs nothing but a count.
 */
export interface InFlight<T> {
  /** `start` gets the signal of the shared work, and `land`: nobody joins after it, and it tells how many wait. */
  join(
    key: string,
    signal: AbortSignal | undefined,
    start: (work: AbortSignal, land: () => number) => Promise<T>,
  ): Promise<T>
  has(key: string): boolean
}

interface Flight<T> {
  readonly controller: AbortController
  waiting: number
  promise: Promise<T>
}

export function createInFlight<T>(): InFlight<T> {
  const flights = new Map<string, Flight<T>>()

  return {
    has: (key) => flights.has(key),
    join(key, signal, start) {
      if (signal?.aborted) return Promise.reject(signal.reason)
      const flight = flights.get(key) ?? takeOff(key, start)
      flight.waiting++
      if (!signal) return flight.promise
      return new Promise<T>((resolve, reject) => {
        const leave = () => {
          reject(signal.reason)
          flight.waiting--
          if (flight.waiting > 0) return
          forget(key, flight)
          flight.controller.abort(signal.reason)
        }
        signal.addEventListener('abort', leave, { once: true })
        flight.promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', leave))
      })
    },
  }

  function takeOff(key: string, start: Parameters<InFlight<T>['join']>[2]): Flight<T> {
    const controller = new AbortController()
    const flight: Flight<T> = { controller, waiting: 0, promise: undefined as never }
    flights.set(key, flight)
    const land = () => {
      forget(key, flight)
      return flight.waiting
    }
    flight.promise = start(controller.signal, land).finally(land)
    // Whoever waits is told; when nobody does any more, nobody is missed.
    flight.promise.catch(() => {})
    return flight
  }

  function forget(key: string, flight: Flight<T>): void {
    if (flights.get(key) === flight) flights.delete(key)
  }
}
