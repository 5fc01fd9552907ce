import { createRandom } from './random'

/** What one connection suffers. `after` counts whole events that are written first. */
export type Fault =
  | { kind: 'none' }
  | { kind: 'status'; status: 429 | 503; retryAfter?: 0 | 1 }
  /** The socket is reset before the headers. */
  | { kind: 'refuse' }
  /** The socket is reset between two events. */
  | { kind: 'reset'; after: number }
  /** The answer ends as it should, between two events. */
  | { kind: 'end'; after: number }
  /** The answer ends, or is reset, within an event: half-way, or between two bytes of one character. */
  | { kind: 'cut'; after: number; within: 'event' | 'character'; by: 'end' | 'reset' }
  /** The socket stays open and nothing comes any more, heartbeats neither. */
  | { kind: 'silent'; after: number }
  /** So many events are sent again that the client has named as known, and the answer ends some events later. */
  | { kind: 'replay'; earlier: number; after: number }

export interface FaultScript {
  /** The fault of the next stream, or of the next request for a snapshot. */
  next(request: 'stream' | 'snapshot'): Fault
  /** What was handed out so far, to be shown when a test fails. */
  readonly log: readonly Fault[]
  readonly seed: number
}

export interface FaultScriptOptions {
  /** How many faults before all is well for good, so that a test comes to an end. Default 20. */
  faults?: number
  /** Which ones may come. Default all. */
  kinds?: readonly Exclude<Fault['kind'], 'none'>[]
  /** At most so many whole events before the fault. Default 5. */
  mostEvents?: number
  /** Whether snapshots suffer too: refused, or answered 429 or 503. Default true. */
  snapshots?: boolean
}

const ALL = ['status', 'refuse', 'reset', 'end', 'cut', 'silent', 'replay'] as const
const OF_SNAPSHOTS = ['status', 'refuse'] as const

/** A list of faults drawn from a seed: the same seed and options give the same list. */
export function createFaultScript(
  seed: number,
  { faults = 20, kinds = ALL, mostEvents = 5, snapshots = true }: FaultScriptOptions = {},
): FaultScript {
  const random = createRandom(seed)
  const log: Fault[] = []
  const ofSnapshots = kinds.filter((kind): kind is 'status' | 'refuse' => OF_SNAPSHOTS.includes(kind as 'status'))
  return { next, log, seed }

  function next(request: 'stream' | 'snapshot'): Fault {
    const choice: FaultScriptOptions['kinds'] = request === 'stream' ? kinds : snapshots ? ofSnapshots : []
    if (log.length >= faults || !choice?.length) return { kind: 'none' }
    const fault = draw(pick(choice))
    log.push(fault)
    return fault
  }

  function draw(kind: Exclude<Fault['kind'], 'none'>): Fault {
    switch (kind) {
      case 'status': {
        const status = pick([429, 503] as const)
        const retryAfter = pick([undefined, 0, 1] as const)
        return retryAfter === undefined ? { kind, status } : { kind, status, retryAfter }
      }
      case 'refuse':
        return { kind }
      case 'cut':
        return { kind, after: events(), within: pick(['event', 'character']), by: pick(['end', 'reset']) }
      case 'replay': {
        const earlier = 1 + events()
        return { kind, earlier, after: earlier + events() }
      }
      default:
        return { kind, after: events() }
    }
  }

  function events(): number {
    return Math.floor(random() * (mostEvents + 1))
  }

  function pick<T>(list: readonly T[]): T {
    return list[Math.floor(random() * list.length)] as T
  }
}

/** The beginning of an event that a `cut` lets through: never the whole of it. */
export function cutWithin(frame: Buffer, within: 'event' | 'character'): Buffer {
  const firstOfSeveral = frame.findIndex((byte) => byte >= 0xc0)
  const end = within === 'character' && firstOfSeveral >= 0 ? firstOfSeveral + 1 : frame.length >> 1
  return frame.subarray(0, end)
}
