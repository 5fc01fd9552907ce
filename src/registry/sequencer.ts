/**
 * Puts events into the order of their sequence numbers, in a bounded window. What is too far ahead, or missing for too
 * long, is a gap; the caller decides what to do about it.
 */
export interface Sequencer<E> {
  /** The events that are now in order; `duplicate` if this one was there before. */
  accept(sequence: number, event: E): readonly E[] | 'duplicate'
  /** An event outside of the order: goes behind what waits. False if nothing does. */
  follow(event: E): boolean
  /** The last number that was let through; undefined before the first. */
  readonly last: number | undefined
  /** How many events wait for one before them. */
  readonly waiting: number
  readonly isFull: boolean
  /** Goes on after this number; returns what is then in order. */
  continueAfter(sequence: number): readonly E[]
  /** Gives up what is missing: all that waits, in order. */
  skip(): readonly E[]
}

export const SEQUENCE_WINDOW = 100

export function createSequencer<E>(): Sequencer<E> {
  /** Each with those behind it that have no number. */
  const early = new Map<number, E[]>()
  let waiting = 0
  let last: number | undefined

  function take(sequence: number): readonly E[] {
    const events = early.get(sequence) ?? []
    early.delete(sequence)
    waiting -= events.length
    return events
  }

  function inOrder(): E[] {
    const ready: E[] = []
    while (early.has((last as number) + 1)) {
      last = (last as number) + 1
      ready.push(...take(last))
    }
    return ready
  }

  function numbers(): number[] {
    return [...early.keys()].sort((a, b) => a - b)
  }

  return {
    get last() {
      return last
    },
    get waiting() {
      return waiting
    },
    get isFull() {
      return waiting >= SEQUENCE_WINDOW
    },
    accept(sequence, event) {
      if (last === undefined) last = sequence - 1
      if (sequence <= last || early.has(sequence)) return 'duplicate'
      early.set(sequence, [event])
      waiting++
      return inOrder()
    },
    follow(event) {
      const highest = numbers().at(-1)
      if (highest === undefined) return false
      early.get(highest)?.push(event)
      waiting++
      return true
    },
    continueAfter(sequence) {
      last = sequence
      const contained = numbers().filter((number) => number <= sequence)
      // What has no number is in no snapshot, as far as anybody knows.
      return [...contained.flatMap((number) => take(number).slice(1)), ...inOrder()]
    },
    skip() {
      const given = numbers()
      last = given.at(-1) ?? last
      return given.flatMap((number) => take(number))
    },
  }
}
