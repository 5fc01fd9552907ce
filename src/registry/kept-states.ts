/** The last states of channels that nobody wants any more: each for its time, and no more than so many and so much. */
import type { TrackedClock } from '../primitives/clock'
import { attempt } from '../primitives/platform'
import { bytesOf } from './bytes-of'
import type { Kept } from './channel'
import type { ChannelDefinition } from './define-channel'

export interface KeptState extends Kept {
  readonly definition: ChannelDefinition
}

export interface KeptStates {
  get(key: string): KeptState | undefined
  add(key: string, state: KeptState, ms: number): void
  delete(key: string): void
  entries(): Iterable<[string, KeptState]>
  clear(): void
  /** No timer may be pending: until the next one is kept nothing is forgotten. */
  quiet(): void
}

interface Entry {
  readonly state: KeptState
  /** By the hand of the clock that is never set. */
  readonly until: number
  readonly bytes: number
}

const MOST_STATES = 500
const MOST_BYTES = 16 * 2 ** 20

export function createKeptStates(
  clock: Pick<TrackedClock, 'after' | 'elapsed'>,
  account: (bytes: number) => void,
): KeptStates {
  /** The oldest first. */
  const entries = new Map<string, Entry>()
  let bytes = 0
  let dueAt = Infinity
  let cancelTimer = () => {}

  return {
    get(key) {
      const entry = entries.get(key)
      return entry && clock.elapsed() < entry.until ? entry.state : undefined
    },
    add(key, state, ms) {
      forget(key)
      const entry = { state, until: clock.elapsed() + ms, bytes: attempt(() => bytesOf(state.value)) ?? 0 }
      if (ms <= 0 || entry.bytes > MOST_BYTES) return
      entries.set(key, entry)
      grow(entry.bytes)
      for (const oldest of entries.keys()) {
        if (entries.size <= MOST_STATES && bytes <= MOST_BYTES) break
        forget(oldest)
      }
      arm()
    },
    delete(key) {
      forget(key)
      arm()
    },
    *entries() {
      for (const [key, { state }] of entries) yield [key, state]
    },
    clear() {
      for (const key of entries.keys()) forget(key)
      arm()
    },
    quiet() {
      cancelTimer()
      dueAt = Infinity
    },
  }

  function forget(key: string): void {
    const entry = entries.get(key)
    if (!entry) return
    entries.delete(key)
    grow(-entry.bytes)
  }

  function grow(by: number): void {
    bytes += by
    account(by)
  }

  /** One timer for all, for the first that is due. */
  function arm(): void {
    const next = Math.min(...[...entries.values()].map(({ until }) => until))
    if (next === dueAt) return
    cancelTimer()
    dueAt = next
    cancelTimer = next === Infinity ? () => {} : clock.after(next - clock.elapsed(), expire, 'keep', true)
  }

  function expire(): void {
    const now = clock.elapsed()
    dueAt = Infinity
    for (const [key, { until }] of entries) if (until <= now) forget(key)
    arm()
  }
}
