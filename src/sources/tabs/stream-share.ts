/**
 * A stream that all tabs share: one of them has the connection and relays what it brings. What makes delivery right is
 * each tab's own cursor and replay filter, so that two leaders for a moment do no harm.
 *
 * A channel between tabs is ordered for each sender: a welcome answers for all that its leader has said before it. What a
 * leader no longer knows a tab fetches by a connection of its own, until that meets what the leader has.
 */
import { lastIndexOf } from '../../primitives/plain'
import { soon } from '../../primitives/platform'
import type { Message } from '../../stream/messages'
import type { SourceContext } from '../source-context'
import type { StreamCore, StreamShare } from '../stream'
import { createLink, type TabMessage } from './link'
import type { TabPlatform } from './platform'
import { pack, tabName, unpack, unpackMessages } from './wire'

/** Where a leader stands: the last id, and its number of the next event. */
interface Goal {
  readonly id: string
  readonly n: number
  readonly welcome: TabMessage
}

/** ms that catching up may take: until it is answered, and from then on. */
const UNANSWERED = 60_000
const CATCH_UP = 10_000
/** ms that one attempt of it may take until it is answered. */
const HEAD = 15_000
/** ms: hidden pages have their timers slowed by up to a second. */
const LATE = 2_000

export const shareStream =
  ({ clock, alert }: SourceContext, identity: string, tabs: TabPlatform) =>
  (core: StreamCore): StreamShare => {
    /** As a leader: how many events were relayed. */
    let sent = 0
    /** As a leader: when the attempt that it waits for is due. */
    let dueAt = 0
    /** As a follower: the leader's number of its next event; undefined until it has said so. */
    let next: number | undefined
    /** Of the leader before: its last words may come after the next one's first. */
    let former: number | undefined
    let askedAt = 0
    /** While this tab catches up. */
    let goal: Goal | undefined
    let cancelGoal = () => {}
    let cancelTick = () => {}

    const link = createLink(tabs, tabName('stream', identity), clock, alert, {
      start() {
        endCatchUp()
        cancelTick()
        sent = 0
        unjoin()
        core.lead()
      },
      stop() {
        former = undefined
        core.halt()
      },
      greeting() {
        askedAt = clock.elapsed()
        const fresh = [...core.sinks].map((sink) => sink.wanted?.()).filter((wanted) => wanted !== undefined)
        return { cursor: core.cursor(), fresh }
      },
      welcome({ cursor: theirs, fresh }) {
        // Whoever knows nothing yet starts where the other tab stands: what came since would be lost to that one.
        if (typeof theirs === 'string' && theirs !== '' && !core.hasPast() && core.cursor() === '') {
          core.seek(theirs)
          core.run()
        }
        return {
          n: sent,
          cursor: core.cursor(),
          state: pack(core.state()),
          resumed: core.resumed(),
          since: theirs,
          events: theirs === '' ? undefined : core.since(theirs as string),
          given: given(Array.isArray(fresh) ? fresh : []),
        }
      },
      sign: () => ({ n: sent, cursor: core.cursor(), name: core.state().name }),
      onLeader() {
        unjoin()
        link.greet()
      },
      onMessage,
      onLate,
      onRole: core.tell,
    })
    return {
      role: link.role,
      leads: link.leads,
      join: link.join,
      park() {
        endCatchUp()
        cancelTick()
        next = former = undefined
        link.park()
        core.rest()
      },
      separate: link.separate,
      greet: link.greet,
      restart: () => link.post('restart'),
      connectTimeout: () => goal && HEAD,
      hasFollowers: link.hasFollowers,
      onConnection({ name }) {
        if (!goal) return
        if (name === 'failed' || name === 'complete') giveUp()
        else if (name === 'open') within(CATCH_UP)
      },
      onState(state) {
        if (state.name === 'waiting') dueAt = clock.elapsed() + state.delay
        if (state.name === 'complete' || state.name === 'failed') soon(core.letGo)
        link.relay('status', { state: pack(state), resumed: core.resumed() })
      },
      onMessages(events, restart) {
        former = undefined
        const met = goal
        if (met && events.some(({ lastEventId }) => lastEventId === met.id)) soon(() => goal === met && meet(met.n))
        if (!link.leads()) return
        link.relay('batch', { n: sent, events, cursor: core.cursor(), restart })
        sent += events.length
      },
      onGap: (why) => link.relay('gap', { why }),
    }

    function unjoin(): void {
      former = next
      next = undefined
    }

    /** The states that a tab without a past asks for, of the channels that have one to give. */
    function given(wanted: readonly unknown[]): object {
      const states: Record<string, unknown> = {}
      for (const sink of core.sinks) {
        const [name, value] = sink.given?.() ?? []
        if (name === undefined || !wanted.includes(name)) continue
        try {
          states[name] = structuredClone(value)
        } catch {
          // What cannot be cloned the other tab gets from the snapshot.
        }
      }
      return states
    }

    function onMessage(message: TabMessage): void {
      const { type, n, cursor, why, name } = message
      const events = unpackMessages(message.events)
      if (type === 'bye') {
        if (!link.hasFollowers()) core.letGo()
      } else if (type === 'restart') core.restart()
      else if (type === 'tick') {
        if (core.state().name === 'waiting' && dueAt <= clock.elapsed()) core.hurry()
      } else if (type === 'gap') {
        if (typeof why === 'string') core.onGap(why)
      } else if (type === 'status') {
        if (isOnItsWay(message.state)) endCatchUp()
        mirror(message)
        if (next === undefined && !goal) link.greet()
      } else if (!Number.isSafeInteger(n) || typeof cursor !== 'string') return
      else if (type === 'welcome') onWelcome(message, n as number, cursor, events)
      else if (type === 'batch' && events) onBatch(message, n as number, cursor, events)
      else if (type === 'pong') {
        // What was lost last shows in no later message; and an id may come without an event.
        if (next !== n || core.state().name !== name) link.greet()
        else if (core.cursor() === '') core.seek(cursor)
      }
    }

    function onBatch(message: TabMessage, n: number, cursor: string, events: readonly Message[]): void {
      if (goal && next === undefined) {
        const at = placeIn(events)
        if (at >= 0) meet(n + at)
        else if (cursor) goal = { ...goal, id: cursor, n: n + events.length }
      }
      const known = (next ?? -1) - n
      if (known >= 0) return apply(message, events.slice(known), cursor, n + events.length)
      // It says all of it again, unless that is on its way.
      if (goal || (next === undefined && clock.elapsed() - askedAt <= LATE)) return
      next = undefined
      link.greet()
    }

    function apply({ restart }: TabMessage, events: readonly Message[], cursor: string, end: number): void {
      if (events.length === 0) return
      next = end
      if (restart === true) {
        core.forget()
        core.startOver()
      }
      core.receive(events, false)
      if (cursor) core.seek(cursor)
    }

    /** The first of a leader's events that this tab need not fetch; -1 if it cannot tell. */
    function placeIn(events: readonly Message[]): number {
      const here = lastIndexOf(events, ({ lastEventId }) => lastEventId === core.cursor())
      return here >= 0 ? here + 1 : events.findIndex(({ lastEventId }) => core.since(lastEventId))
    }

    /** The last words of the leader before are news too, if they are the next ones: perhaps it has left upon them. */
    function onLate(message: TabMessage): void {
      const { type, n, cursor } = message
      const events = unpackMessages(message.events)
      if (type !== 'batch' || !events || former === undefined || n !== former || typeof cursor !== 'string') return
      const [joined, end, mine] = [next, former + events.length, core.cursor()]
      apply(message, events, cursor, end)
      // The next leader, or the server, may say it once more.
      core.receive([], true)
      next = joined
      former = end
      // It has begun where it knew of nothing.
      if (link.leads() && mine === '') core.run()
    }

    function onWelcome(message: TabMessage, n: number, theirs: string, events: readonly Message[] | undefined): void {
      const mine = core.cursor()
      // It answers what this tab asked before it knew what it knows now.
      const isOutdated = message.since !== mine
      const hasTheRest = events !== undefined && !(goal && isOutdated)
      const isFollowing = mine === '' ? !core.hasPast() : hasTheRest || core.since(theirs) !== undefined
      const there = { id: theirs, n, welcome: message }
      if (isFollowing) follow(message, n, true, events)
      else if (goal && theirs !== '') goal = there
      else if (isOutdated) link.greet()
      else if (mine === '' || theirs === '') {
        missed('its server names no ids')
        follow(message, n, false)
      } else if (isOnItsWay(message.state)) mirror({ ...message, resumed: true })
      else {
        goal = there
        within(UNANSWERED)
        if (!core.isShown()) core.run()
      }
    }

    function follow(welcome: TabMessage, at: number, isFollowing: boolean, events: readonly Message[] = []): void {
      const { given: states, cursor } = welcome
      endCatchUp()
      core.halt()
      core.receive(events, true)
      if (typeof states === 'object' && states !== null)
        for (const sink of [...core.sinks]) sink.take?.(states as Record<string, unknown>)
      if (core.cursor() === '') core.seek(cursor as string)
      next = at
      mirror({ ...welcome, resumed: isFollowing }, at > 0)
    }

    function mirror(message: { readonly [field: string]: unknown }, hasPast = false): void {
      const state = unpack(message.state)
      if (!state) return
      cancelTick()
      // A hidden leader's own timers are slow. Its wall clock may have been set since it said so.
      if (state.name === 'waiting') {
        const ms = Math.min(state.delay ?? Infinity, state.retryAt - clock.now())
        cancelTick = clock.after(ms, () => link.post('tick'), `tick ${core.endpoint()}`, true)
      }
      core.mirror(state, message.resumed === true, hasPast)
    }

    function missed(why: string): void {
      core.startOver(`this tab has missed events, and ${why}`)
    }

    // Catching up.

    function within(ms: number, again = false): void {
      const due = clock.elapsed() + ms
      // A page that stood still meanwhile has not had its time.
      const end = () => (clock.elapsed() > due + LATE && !again ? within(ms, true) : giveUp())
      cancelGoal()
      cancelGoal = clock.after(ms, end, `catch up ${core.endpoint()}`, true)
    }

    function meet(at: number): void {
      if (goal) follow(goal.welcome, at, false)
    }

    function giveUp(): void {
      if (!goal) return
      if (core.isShown()) {
        // It misses nothing: it is the leader that does not move.
        goal = undefined
        return link.greet()
      }
      missed('they could not be fetched')
      meet(goal.n)
    }

    function endCatchUp(): void {
      cancelGoal()
      if (!goal) return
      goal = undefined
      core.halt()
    }
  }

/** Such a leader may be behind: what it will bring is to be seen when its stream is open. */
function isOnItsWay(state: unknown): boolean {
  return /^(idle|connecting|waiting|held-back)$/.test(unpack(state)?.name ?? '')
}
