import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { ChannelDefinition } from '../../src/registry/define-channel'
import { type Step, Timeline } from '../../src/registry/timeline'
import type { Message } from '../../src/stream/messages'

/**
 * A server that counts: event n has the id n, and the state after it is the list of all numbers up to n. So what is
 * folded twice, left out or out of order is to be seen in the state, and what is told twice in the events.
 */
const definition: ChannelDefinition = {
  key: 'count',
  stream: '/stream',
  snapshot: '/snapshot',
  initial: [],
  reduce: (state, event) => [...(state as number[]), event.data],
}
const upTo = (n: number): number[] => Array.from({ length: n }, (_, index) => index + 1)
const messageOf = (n: number): Message => ({ event: '', data: String(n), id: `e-${n}`, lastEventId: `e-${n}` })

type Move =
  | { kind: 'event' }
  /** Time passes: what waits is given up, or fetched. */
  | { kind: 'time' }
  /** A snapshot is asked for; events wait for it, or not. */
  | { kind: 'ask'; hold: boolean }
  /** One is answered, of when it stood so many events before or after what the stream has brought. */
  | { kind: 'answer'; ahead: number }

const moves: fc.Arbitrary<Move[]> = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: fc.constant<Move>({ kind: 'event' }) },
    fc.constant<Move>({ kind: 'time' }),
    fc.record({ kind: fc.constant('ask' as const), hold: fc.boolean() }),
    fc.record({ kind: fc.constant('answer' as const), ahead: fc.integer({ min: -6, max: 6 }) }),
  ),
  { maxLength: 30 },
)

/** Plays a history, and then waits until nothing is open any more. */
function play(
  history: readonly Move[],
  { begun, resumed, known }: { begun: number; resumed: boolean; known: number },
): { timeline: Timeline; told: number[]; stands: number; states: unknown[] } {
  const timeline = new Timeline({ definition }, undefined)
  /** The last event that the stream has brought: it began in the middle. */
  let at = begun
  let stands = 0
  let isFirst = true
  const told: number[] = []
  const states: unknown[] = []
  const hear = (steps: readonly Step[]) => {
    for (const { event, value, alert, mishap } of steps) {
      if (mishap) throw mishap.cause
      if (event) told.push(event.data)
      if (!alert) states.push(value)
      if (alert === 'gap') timeline.expectSnapshot(true, at > begun ? `e-${at}` : '')
    }
  }
  const since = (id: string) => {
    const n = Number(id.slice(2))
    // It remembers no more than so many, and nothing from before it began.
    return n >= begun && n <= at && at - n <= known && (n > begun || resumed)
      ? upTo(at).slice(n).map(messageOf)
      : undefined
  }
  const answer = (ahead: number) => {
    // A server's snapshots do not grow older, and none but the first is from before what is remembered.
    const oldest = Math.min(at, Math.max(begun + (resumed ? 0 : 1), at - known))
    stands = Math.max(stands, at + ahead, isFirst ? 0 : oldest)
    isFirst = false
    hear(timeline.applySnapshot(upTo(stands), { id: `e-${stands}` }, { resumed, since }, 0))
  }
  const next = () => hear(timeline.accept(messageOf(++at), 0))
  const time = () => {
    // No stream is so much slower than its snapshots.
    while (at < stands) next()
    const { wait } = timeline
    if (!wait) return
    if (wait.since === undefined) hear(timeline.expire(0))
    // The server replays all that came after.
    else for (let n = Number(wait.since.slice(2)) + 1; n <= at; n++) hear(timeline.meet(messageOf(n), 0))
    if (timeline.wait === wait) hear(timeline.expire(0))
  }

  timeline.expectSnapshot(true, resumed ? `e-${begun}` : '')
  for (const move of history) {
    if (move.kind === 'event') next()
    else if (move.kind === 'time') time()
    else if (move.kind === 'ask') timeline.expectSnapshot(move.hold, at > begun || resumed ? `e-${at}` : '')
    else answer(move.ahead)
  }
  // All that was asked for is answered at last, and the stream goes on.
  answer(0)
  for (let n = 0; n < 12; n++) next()
  for (let n = 0; n < 6 && timeline.wait; n++) time()
  return { timeline, told, stands: at, states }
}

describe('a timeline, over random histories of events and snapshots', () => {
  const worlds = fc.record({
    begun: fc.integer({ min: 0, max: 4 }),
    resumed: fc.boolean(),
    known: fc.constantFrom(3, 1_000),
  })

  test('comes to what the server has, and tells no event twice or out of order', () => {
    fc.assert(
      fc.property(moves, worlds, (history, world) => {
        const { timeline, told, stands, states } = play(history, world)
        expect(timeline.value).toEqual(upTo(stands))
        expect(told).toEqual([...new Set(told)].sort((a, b) => a - b))
        // Nobody is shown what the server never had, nor less than was shown before.
        const lengths = states.map((state) => (state as number[]).length)
        expect(states).toEqual(lengths.map(upTo))
        expect(lengths).toEqual(lengths.toSorted((a, b) => a - b))
        expect(timeline.isHolding).toBe(false)
        expect(timeline.characters).toBe(0)
        expect(timeline.wait).toBeUndefined()
      }),
      { seed: 20_261, numRuns: 3_000 },
    )
  })
})

/** A snapshot of two events, while the stream has brought the first alone, longer than anybody waits for the second.
 * `isAnswered`: the server, asked for what comes after the second, sends nothing. */
function aheadOfASlowStream(isAnswered = true): { timeline: Timeline; told: unknown[] } {
  const timeline = new Timeline({ definition }, undefined)
  const told: unknown[] = []
  const past = { resumed: false, since: () => undefined }
  const hear = (steps: readonly Step[]) =>
    told.push(...steps.map(({ event, alert, value }) => event?.data ?? alert ?? value))
  timeline.expectSnapshot(true, '')
  hear(timeline.accept(messageOf(1), 0))
  hear(timeline.applySnapshot([1, 2], { id: 'e-2' }, past, 0))
  // Its place does not turn up, and what comes after it cannot be had either.
  hear(timeline.expire(0))
  if (isAnswered) timeline.opened()
  hear(timeline.expire(0))
  timeline.expectSnapshot(true, 'e-1')
  hear(timeline.applySnapshot([1, 2], { id: 'e-2' }, past, 0))
  return { timeline, told }
}

describe('a snapshot that is ahead of a slow stream', () => {
  test('contains what had come before it was asked for again', () => {
    const { timeline, told } = aheadOfASlowStream()
    expect(told).toEqual([[1, 2], 'gap'])
    expect(timeline.value).toEqual([1, 2])
    expect(timeline.isHolding).toBe(false)
  })

  test('is taken to be behind it where the server does not say what comes after it', () => {
    const { timeline } = aheadOfASlowStream(false)
    expect(timeline.value).toEqual([1, 2, 1])
    expect(timeline.accept(messageOf(2), 0)).toMatchObject([{ value: [1, 2] }, { event: { data: 2 }, value: [1, 2] }])
  })

  test('is what the state comes to where it stands, and goes on from there', () => {
    const { timeline } = aheadOfASlowStream()
    expect(timeline.accept(messageOf(2), 0)).toMatchObject([{ event: { data: 2 }, value: [1, 2] }])
    expect(timeline.accept(messageOf(3), 0)).toMatchObject([{ event: { data: 3 }, value: [1, 2, 3] }])
  })
})
