/**
 * A request of a tab's own for what its leader no longer knows: from the tab's cursor until it meets what the leader has,
 * bounded in time.
 */
import type { Timers } from '../../primitives/clock'
import type { Message } from '../../stream/messages'
import type { StreamSource } from '../stream-source'
import { onlooker } from './onlooker'

/** Where a leader stands. */
export interface Goal {
  readonly id: string
  /** Its number of the next event. */
  readonly n: number
  /** Follows it from that number on, which ends the catching up. */
  readonly join: (n: number) => void
}

export interface CatchUp {
  stop(): void
  /** The leader stands elsewhere now, or is another one. */
  aim(goal: Goal): void
  /** This tab knows its way from the leader's event of this number on. */
  meet(n: number): void
}

export interface CatchUpHooks {
  maxEventBytes(): number
  /** News to this tab. It may have met the leader in them. */
  onMessages(messages: readonly Message[]): void
  /** It could not be fetched; the leader is joined all the same. */
  onGivenUp(): void
}

/** ms that it may take: until it is answered, and from then on. */
const UNANSWERED = 60_000
/** ms that one attempt of it may take until then. */
const HEAD = 15_000
const CATCH_UP = 10_000
/** ms: hidden pages have their timers slowed by up to a second. */
const LATE = 2_000

export function createCatchUp(own: StreamSource, clock: Timers, first: Goal, hooks: CatchUpHooks): CatchUp {
  let goal = first
  let isOver = false
  let cancelTimer = () => {}
  const sink = {
    ...onlooker,
    label: () => 'a tab that comes back',
    maxEventBytes: hooks.maxEventBytes,
    connectTimeout: () => HEAD,
    streamWhenHidden: () => 'keep' as const,
    onStream({ name }: { readonly name: string }) {
      if (name === 'failed' || name === 'complete') giveUp()
      else if (name === 'open') within(CATCH_UP)
    },
    onMessages(messages: readonly Message[]) {
      hooks.onMessages(messages)
      if (!isOver && messages.some(({ lastEventId }) => lastEventId === goal.id)) goal.join(goal.n)
    },
  }
  within(UNANSWERED)
  own.attach(sink)
  return {
    stop,
    meet: (n) => goal.join(n),
    aim(other) {
      goal = other
    },
  }

  function within(ms: number, again = false): void {
    const due = clock.elapsed() + ms
    // A page that stood still meanwhile has not had its time.
    const end = () => (clock.elapsed() > due + LATE && !again ? within(ms, true) : giveUp())
    cancelTimer()
    cancelTimer = clock.after(ms, end, `catch up ${own.endpoint()}`, true)
  }

  function stop(): void {
    if (isOver) return
    isOver = true
    cancelTimer()
    own.detach(sink)
  }

  function giveUp(): void {
    stop()
    hooks.onGivenUp()
    goal.join(goal.n)
  }
}
