/**
 * Puts events into the order of their sequence numbers, in a bounded window. What is too far ahead, or missing for too
 * long, is a gap; the caller decides what to do about it.
 */
export interface Sequencer<E> {
  /** The events that are now in order; `duplicate` if this one was there before. */
  accept(sequence: number, event: E): readonly E[] | 'duplicate'
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
  const early = new Map<number, E>()
  let last: number | undefined

  function inOrder(): E[] {
    const ready: E[] = []
    for (;;) {
      const next = (last as number) + 1
      const event = early.get(next)
      if (event === undefined) return ready
      early.delete(next)
      ready.push(event)
      last = next
    }
  }

  return {
    get last() {
      return last
    },
    get waiting() {
      return early.size
    },
    get isFull() {
      return early.size >= SEQUENCE_WINDOW
    },
    accept(sequence, event) {
      if (last === undefined) last = sequence - 1
      if (sequence <= last || early.has(sequence)) return 'duplicate'
      early.set(sequence, event)
      return inOrder()
    },
    continueAfter(sequence) {
      last = sequence
      for (const early_ of [...early.keys()]) if (early_ <= sequence) early.delete(early_)
      return inOrder()
    },
    skip() {
      const numbers = [...early.keys()].sort((a, b) => a - b)
      const events = numbers.map((number) => early.get(number) as E)
      early.clear()
      last = numbers.at(-1) ?? last
      return events
    },
  }
}
