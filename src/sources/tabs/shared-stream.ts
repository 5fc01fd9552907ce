/**
 * A stream that all tabs share: one of them has the connection, the others are told what it brings. What makes delivery
 * right is each tab's own cursor and replay filter, so that two leaders for a moment do no harm.
 */

import { lastIndexOf } from '../../primitives/plain'
import { soon } from '../../primitives/platform'
import { charactersOf, type Message } from '../../stream/messages'
import { Audience } from '../audience'
import { heldBackState, type PauseReason } from '../conditions'
import { createReplayFilter } from '../replay-filter'
import type { SourceContext } from '../source-context'
import { createStreamSource, type Relay, type StreamSink, type StreamSource, type StreamState } from '../stream-source'
import type { Target } from '../target'
import { type CatchUp, createCatchUp, type Goal } from './catch-up'
import { type Batch, type Chain, type ChainEvent, follow, sizeOf, unjoined } from './chain'
import { createLink, type TabMessage } from './link'
import { onlooker } from './onlooker'
import { MOST_TABS, type TabPlatform, tabName } from './platform'
import { pack, unpack, unpackMessages } from './wire'

interface StreamBatch extends Batch {
  readonly events: readonly Message[]
  /** The stream's last id after it. */
  readonly cursor: string
  /** The server began anew before it. */
  readonly restart: boolean
}

export function createSharedStream(
  target: Target,
  context: SourceContext,
  onEmpty: () => void,
  identity: string,
  tabs: TabPlatform,
  /** What the channel that it is made for goes on from. */
  from: string,
): StreamSource {
  const { clock, settings, counters, alert } = context
  const filter = createReplayFilter(context.account, clock.elapsed)
  /** The last id that this tab has applied. */
  let cursor = from
  let state: StreamState = { name: 'idle' }
  let resumed = false
  let heldBack: PauseReason | undefined
  let chain: Chain<StreamBatch> = unjoined
  /** Of the leader before: its last words may come after the next one's first. */
  let former: Chain<StreamBatch> = unjoined
  /** Whether anything was ever applied: a tab without a past takes the leader's for its own. */
  let hasPast = from !== ''
  /** As a leader: how many events were relayed. */
  let sent = 0
  let restarted = false
  /** As a leader: when the attempt that it waits for is due. */
  let dueAt = 0
  const followers = new Set<string>()
  /** It was asked, here or in another tab: where that may not be done twice, it is not. */
  let hasAsked = false
  let reconnects = 0
  let duplicates = 0
  let cancelTick = () => {}
  let catchingUp: CatchUp | undefined
  const audience = new Audience<StreamSink>(context, {
    whenHidden: (sink) => sink.streamWhenHidden(),
    settle,
    endpoint: () => local.endpoint(),
  })
  const { sinks } = audience
  /** Stands in for the channels of this tab that have left, while other tabs follow what cannot be asked again. */
  const keeper: StreamSink = { ...onlooker, streamWhenHidden: () => 'keep' }
  let local = createLocal()

  /** Tells the others what this tab's own connection brings. */
  const relay: Relay = {
    onStream(next) {
      if (next === state) return
      state = next
      if (next.name === 'waiting') dueAt = clock.elapsed() + next.delay
      if (next.name === 'complete' || next.name === 'failed') soon(letGo)
      if (followers.size > 0) link.post('status', { state: pack(state), resumed: local.resumed() })
    },
    onMessages(events) {
      former = unjoined
      if (followers.size > 0)
        link.post('batch', { n: sent, events, cursor: local.lastEventId(), restart: restarted } satisfies Omit<
          StreamBatch,
          'e' | 'size'
        >)
      sent += events.length
      restarted = false
      hasPast = true
    },
    onRestart() {
      restarted = true
    },
    onGap(why) {
      if (followers.size > 0) link.post('gap', { why })
    },
  }

  const link = createLink(tabs, tabName('stream', identity), clock, alert, {
    start() {
      endCatchUp()
      cancelTick()
      sent = 0
      followers.clear()
      former = chain
      follows(unjoined)
      startFrom(cursor)
    },
    stop() {
      former = unjoined
      cursor = local.lastEventId()
      hasAsked = local.spent() !== undefined
      resumed = true
      reconnects += local.reconnects()
      duplicates += local.duplicates()
      stopLocal()
    },
    greeting: () => ({
      cursor,
      fresh: [...sinks].map((sink) => sink.wanted()).filter((wanted) => wanted !== undefined),
    }),
    welcome({ from, cursor: theirs, fresh }) {
      // Whoever knows nothing yet starts where the other tab stands: what came since would be lost to that one.
      if (typeof theirs === 'string' && theirs !== '' && !hasPast && local.lastEventId() === '') startFrom(theirs)
      if (followers.size < MOST_TABS) followers.add(from)
      const events = theirs === '' ? undefined : filter.since(theirs as string)
      return {
        n: sent,
        cursor: local.lastEventId(),
        state: pack(local.state()),
        resumed: local.resumed(),
        since: theirs,
        events,
        given: given(Array.isArray(fresh) ? fresh : []),
      }
    },
    sign: () => ({ n: sent, cursor: local.lastEventId(), name: local.state().name }),
    onLeader(epoch) {
      // The clock was set back.
      if (epoch < chain.epoch) follows(unjoined)
      former = chain
      advance({ type: 'leader', epoch })
    },
    onMessage,
    onLate,
    onRole: tell,
  })

  return {
    state: stateNow,
    lastEventId: () => (isRunning() ? local.lastEventId() : cursor),
    resumed: () => (isRunning() ? local.resumed() : resumed),
    role: link.role,
    endpoint: () => local.endpoint(),
    reconnects: () => reconnects + (isRunning() ? local.reconnects() : 0),
    duplicates: () => duplicates + (isRunning() ? local.duplicates() : 0),
    since: (id) => (isRunning() ? local.since(id) : (filter.since(id) ?? (id === cursor ? [] : undefined))),
    attach,
    detach(sink) {
      // What cannot be asked again this tab goes on with for the others.
      if (sinks.size === 1 && sinks.has(sink) && followers.size > 0 && isRunning() && local.spent()) attach(keeper)
      detach(sink)
    },
    restart() {
      if (isRunning()) local.restart()
      else link.post('restart')
    },
    spent: () => (isRunning() ? local : createLocal()).spent(),
    separate: () => link.separate(),
  }

  function attach(sink: StreamSink): void {
    const follows = sinks.size > 0 && !isRunning()
    audience.add(sink)
    if (isRunning()) local.attach(sink)
    else if (follows) {
      counters.shared++
      link.greet()
    }
  }

  function detach(sink: StreamSink): void {
    if (isRunning()) local.detach(sink)
    audience.delete(sink)
    if (sinks.size > 0) return
    park()
    filter.clear()
    onEmpty()
  }

  /** There is nothing left to go on with, or nobody to do it for. */
  function letGo(): void {
    if (sinks.has(keeper)) detach(keeper)
  }

  /** On a connection of this tab's own, in place of the one that it may have. */
  function startFrom(id: string): void {
    cursor = id
    stopLocal()
    local = createLocal(relay)
    for (const sink of sinks) local.attach(sink)
  }

  function stopLocal(): void {
    for (const sink of sinks) local.detach(sink)
  }

  function createLocal(hears?: Relay): StreamSource {
    const shown: StreamState = hears ? state : { name: 'idle' }
    const history = { filter, lastEventId: cursor, shown, hasPast, asked: hasAsked }
    return createStreamSource(target, context, () => {}, history, hears)
  }

  function isRunning(): boolean {
    return link.state() === 'leading' || link.state() === 'solo'
  }

  function stateNow(): StreamState {
    if (heldBack) return heldBackState(heldBack)
    return isRunning() ? local.state() : state
  }

  function tell(): void {
    const now = stateNow()
    audience.each((sink) => sink.onStream(now))
  }

  /** Takes part while it may; what may not run here is left to the other tabs. */
  function settle(): void {
    const before = heldBack
    heldBack = audience.reason() ?? (settings.streaming ? undefined : 'disabled')
    if (!heldBack) {
      if (link.state() === 'parked') link.join(false)
    } else {
      park()
      if (heldBack !== before) tell()
      letGo()
    }
  }

  function park(): void {
    endCatchUp()
    cancelTick()
    link.park()
    follows(unjoined)
    state = { name: 'idle' }
  }

  // As a leader.

  /** The states that a tab without a past asks for, of the channels that have one to give. */
  function given(wanted: readonly unknown[]): object {
    const states: Record<string, unknown> = {}
    for (const sink of sinks) {
      const [name, value] = sink.given() ?? []
      if (name === undefined || !wanted.includes(name)) continue
      try {
        states[name] = structuredClone(value)
      } catch {
        // What cannot be cloned the other tab gets from the snapshot.
      }
    }
    return states
  }

  // As a follower.

  function onMessage(message: TabMessage): void {
    const { type, from, e = 0 } = message
    if (type === 'bye') {
      followers.delete(from)
      if (followers.size === 0) letGo()
    } else if (type === 'restart') local.restart()
    else if (type === 'tick') {
      if (state.name === 'waiting' && dueAt <= clock.elapsed()) local.hurry?.()
    } else if (type === 'status') {
      mirror(message)
      if (chain.next === undefined && !catchingUp) link.greet()
    } else if (type === 'welcome') onWelcome(message, e)
    else if (type === 'pong') onSign(message)
    else if (type === 'gap') {
      const { why } = message
      if (typeof why === 'string') audience.each((sink) => sink.onGap(why))
    } else if (type === 'batch') {
      const batch = batchOf(message)
      if (!batch) return
      advance({ type: 'batch', batch })
      meetHeld()
    }
  }

  /** The last words of the leader before are news too, if they are the next ones: perhaps it has left upon them. */
  function onLate(message: TabMessage): void {
    const batch = message.type === 'batch' && message.e === former.epoch && batchOf(message)
    if (!batch || batch.n !== former.next) return
    const rest = { ...former, next: batch.n + batch.events.length }
    apply(batch)
    former = rest
    // The next leader, or the server, may say it once more.
    filter.expectReplay()
  }

  function batchOf(message: TabMessage): StreamBatch | undefined {
    const events = unpackMessages(message.events)
    if (!events || !Number.isSafeInteger(message.n) || typeof message.cursor !== 'string') return undefined
    const size = events.reduce((sum, event) => sum + charactersOf(event), 0)
    return { ...(message as unknown as StreamBatch), events, size }
  }

  function mirror(message: TabMessage): void {
    const next = unpack<StreamState>(message.state)
    if (!next) return
    state = next
    hasAsked = next.name === 'open' || next.name === 'connecting'
    resumed = message.resumed === true
    cancelTick()
    // A hidden leader's own timers are slow. Its wall clock may have been set since it said so.
    if (next.name === 'waiting') {
      const ms = Math.min(next.delay ?? Infinity, next.retryAt - clock.now())
      cancelTick = clock.after(ms, () => link.post('tick'), `tick ${local.endpoint()}`, true)
    }
    tell()
  }

  /** What was lost last shows in no later message; and an id may come without an event. */
  function onSign({ n, cursor: theirs, name }: TabMessage): void {
    if (chain.next !== n || state.name !== name) link.greet()
    else if (cursor === '' && typeof theirs === 'string') cursor = theirs
  }

  function onWelcome(message: TabMessage, epoch: number): void {
    const { n, cursor: theirs, given: states } = message
    if (!Number.isSafeInteger(n) || typeof theirs !== 'string') return
    const events = message.events === undefined ? undefined : unpackMessages(message.events)
    const isAhead = theirs === cursor || isKnown(theirs)
    // It answers what this tab asked before it knew what it knows now.
    const isOutdated = message.since !== cursor
    const hasTheRest = events !== undefined && !(catchingUp && isOutdated)
    const isFollowing = cursor === '' ? !hasPast : hasTheRest || isAhead
    const join = (at: number) => {
      endCatchUp()
      filter.expectReplay()
      if (events && isFollowing) deliver(events)
      if (typeof states === 'object' && states !== null)
        audience.each((sink) => sink.take(states as Record<string, unknown>))
      if (cursor === '') cursor = theirs
      hasPast ||= at > 0
      advance({ type: 'joined', epoch, n: at })
      mirror({ ...message, resumed: isFollowing })
    }
    const goal: Goal = { id: theirs, n: n as number, join }
    if (isFollowing) join(goal.n)
    else if (catchingUp && theirs !== '') catchingUp.aim(goal)
    else if (isOutdated) link.greet()
    else if (cursor === '' || theirs === '') {
      missed('its server names no ids')
      join(goal.n)
    } else if (isOnItsWay(message.state)) mirror({ ...message, resumed: true })
    else catchingUp = catchUp(goal)
  }

  /** A leader that was behind is met in what it relays: at the first event there that this tab knows. */
  function meetHeld(): void {
    if (!catchingUp) return
    for (const { n, events } of chain.held) {
      const index = events.findIndex(({ lastEventId }) => isKnown(lastEventId))
      if (index >= 0) return catchingUp.meet(n + index)
      // Where this tab stands, though it has never had that event: it began there.
      const here = lastIndexOf(events, ({ lastEventId }) => lastEventId === cursor)
      if (here >= 0) return catchingUp.meet(n + here + 1)
    }
  }

  function isKnown(id: string): boolean {
    return filter.since(id) !== undefined
  }

  function missed(why: string): void {
    restartAll(`this tab has missed events that its leader no longer knows, and ${why}`)
  }

  function restartAll(why?: string): void {
    audience.each((sink) => sink.onRestart(why))
  }

  /** What its leader no longer knows, this tab fetches for itself. */
  function catchUp(goal: Goal): CatchUp {
    return createCatchUp(createLocal(), clock, goal, {
      maxEventBytes: () => Math.max(...[...sinks].map((sink) => sink.maxEventBytes())),
      onMessages(messages) {
        hand(messages)
        // So much may come at once that the goal is forgotten again: what is held shows better how far this tab is.
        meetHeld()
      },
      onGivenUp: () => missed('they could not be fetched'),
    })
  }

  function endCatchUp(): void {
    catchingUp?.stop()
    catchingUp = undefined
  }

  function advance(event: ChainEvent<StreamBatch>): void {
    const step = follow(chain, event)
    follows(step.chain)
    for (const batch of step.ready) apply(batch)
    if (step.ask) link.greet()
  }

  function apply(batch: StreamBatch): void {
    if (batch.restart === true) {
      filter.clear()
      restartAll()
    }
    deliver(batch.events)
    if (batch.cursor) cursor = batch.cursor
  }

  function follows(next: Chain<StreamBatch>): void {
    if (next.held !== chain.held) context.account(2 * (sizeOf(next.held) - sizeOf(chain.held)))
    chain = next
  }

  function deliver(messages: readonly Message[]): void {
    const { fresh } = filter.sift(messages)
    duplicates += messages.length - fresh.length
    if (fresh.length > 0) hand(fresh)
  }

  function hand(messages: readonly Message[]): void {
    former = unjoined
    cursor = messages.at(-1)?.lastEventId || cursor
    hasPast = true
    audience.each((sink) => sink.onMessages(messages))
  }
}

/** Such a leader may be behind: what it will bring is to be seen when its stream is open. */
function isOnItsWay(state: unknown): boolean {
  return /^(idle|connecting|waiting|held-back)$/.test(unpack<StreamState>(state)?.name ?? '')
}
