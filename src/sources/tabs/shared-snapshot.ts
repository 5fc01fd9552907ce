/**
 * A snapshot that all tabs share: one of them asks, and polls at the shortest interval that any of them wants; the others
 * are told the answers. A hidden tab's timers are slow, so the asking is left to one that is seen, if there is one.
 */
import type { JsonAnswer } from '../../network/coordinated-fetch'
import { isHidden, soon } from '../../primitives/platform'
import { Audience } from '../audience'
import type { PauseReason } from '../conditions'
import {
  type AskKind,
  createSnapshotSource,
  type SnapshotSink,
  type SnapshotSource,
  type SnapshotState,
  takesAnyAnswer,
} from '../snapshot-source'
import type { SourceContext } from '../source-context'
import type { Target } from '../target'
import { createLink, type TabMessage } from './link'
import { MOST_TABS, type TabPlatform, tabName } from './platform'
import { isHeaderList, pack, packError, unpack, unpackError } from './wire'

/** What another tab wants of its leader. */
interface Wish {
  readonly interval: number | undefined
  readonly askers: number
  readonly hidden: boolean
  /** By this tab's second hand, when it was last said. */
  readonly at: number
}

/** An answer, as it is told. */
interface Body {
  readonly value: unknown
  readonly headers: readonly (readonly [string, string])[]
  /** ms, when it was told: a clock may be set meanwhile, so no moment is compared with another tab's. */
  readonly age: number
  /** ms from when it was asked to when it was told. */
  readonly sentAgo: number
  /** ms since the epoch: a tab that was frozen hears of it late. */
  readonly toldAt: number
  /** How the cache knows it, if other tabs may know of it. */
  readonly key?: string | undefined
  readonly url?: string | undefined
  readonly bytes?: number | undefined
}

/** ms: answers to what was asked of a leader that died are not waited for longer. */
const PATIENCE = 30_000
/** ms that an answer may have been on its way from tab to tab, for which it seems younger than it is. */
const TRANSIT = 1_000
/** ms: a wish is said again at least this often, if there are answers to say it at. */
const REPEATED = 60_000
const FORGOTTEN = 150_000

export function createSharedSnapshot(
  target: Target,
  context: SourceContext,
  onEmpty: () => void,
  identity: string,
  tabs: TabPlatform,
): SnapshotSource {
  const { clock, counters, alert, requests } = context
  const wishes = new Map<string, Wish>()
  /** What is not answered yet, by number, and the leader that was asked. */
  const asked = new Map<number, { kind: AskKind; fresh: boolean; maxAge: number; of: string; done: () => void }>()
  let questions = 0
  /** The leader that was heard last, and its epoch: two tabs may have led in one, and one tab in two. */
  let leader = ''
  let state: SnapshotState = { name: 'idle', failures: 0, retryAt: undefined, error: undefined }
  let last: JsonAnswer | undefined
  let failures = 0
  let heldBack: PauseReason | undefined
  let toldWish = ''
  const local = createSnapshotSource(
    target,
    context,
    () => {},
    () => wishes.size > 0,
  )
  const audience = new Audience<SnapshotSink>(context, {
    whenHidden: (sink) => sink.snapshotWhenHidden(),
    settle,
    endpoint: local.endpoint,
  })
  const { sinks } = audience

  /** Stands for the other tabs at this tab's own source. */
  const relay: SnapshotSink = {
    key: '',
    again: false,
    snapshotWhenHidden: () => (wishes.size > 0 ? 'keep' : 'pause'),
    interval: () => least(current().map(({ interval }) => interval)),
    // Tabs say by themselves how old what they are given may be, and when they give up.
    maxAge: () => Infinity,
    retries: () => Infinity,
    asksWith: () => ({}),
    askers: () => current().reduce((sum, { askers }) => sum + askers, 0),
    label: () => 'another tab',
    onSnapshot(next) {
      state = next
      relayed('status', { state: pack(next) })
    },
    onAsk() {
      relayed('asking')
      return wishes.size > 0
    },
    onAnswer(answer) {
      if (answer) last = answer
      relayed(answer ? 'body' : 'nothing', answer && bodyOf(answer))
    },
    onSnapshotError(error, final) {
      relayed('trouble', { error: packError(error), final })
    },
  }

  const link = createLink(tabs, tabName('snapshot', identity), clock, alert, {
    start() {
      wishes.clear()
      for (const sink of sinks) local.attach(sink)
      local.attach(relay)
      if (last) local.learn?.(last)
      for (const { kind, fresh, maxAge, done } of asked.values()) void local.pull(kind, fresh, maxAge).then(done)
      asked.clear()
    },
    stop() {
      local.detach(relay)
      for (const sink of sinks) local.detach(sink)
    },
    greeting() {
      const mine = wish()
      toldWish = JSON.stringify(mine)
      return mine
    },
    welcome(greeting) {
      note(greeting)
      return { state: pack(local.state()), last: last && bodyOf(last) }
    },
    sign: () => ({}),
    onLeader: () => link.greet(),
    onMessage,
    onRole: tell,
  })

  return {
    state: stateNow,
    role: link.role,
    endpoint: () => local.endpoint(),
    attach(sink) {
      audience.add(sink)
      if (isRunning()) local.attach(sink)
    },
    detach(sink) {
      if (isRunning()) local.detach(sink)
      audience.delete(sink)
      if (sinks.size > 0) return
      park()
      onEmpty()
    },
    reschedule(restart) {
      if (isRunning()) return local.reschedule(restart)
      tellWish()
      if (restart) post('restart')
    },
    pull,
    separate: () => link.separate(),
  }

  function isRunning(): boolean {
    return link.state() === 'leading' || link.state() === 'solo'
  }

  function post(type: string, fields?: object): void {
    link.post(type, fields)
  }

  /** Nobody may listen. */
  function relayed(type: string, fields?: object): void {
    if (wishes.size > 0) post(type, fields)
  }

  function stateNow(): SnapshotState {
    if (heldBack) return { name: 'held-back', by: heldBack }
    return isRunning() ? local.state() : state
  }

  function tell(): void {
    const now = stateNow()
    audience.each((sink) => sink.onSnapshot(now))
  }

  function settle(): void {
    const before = heldBack
    heldBack = audience.reason()
    if (heldBack) {
      park()
      if (heldBack !== before) tell()
    } else if (link.state() === 'parked') link.join(false)
    else {
      handOver()
      tellWish()
    }
  }

  function park(): void {
    link.park()
    wishes.clear()
    for (const { done } of asked.values()) done()
    asked.clear()
  }

  // As a leader.

  /** Somebody who is seen can ask on time: a hidden tab queues up behind. */
  function handOver(): void {
    if (link.state() !== 'leading' || !isHidden() || ![...wishes.values()].some(({ hidden }) => !hidden)) return
    park()
    link.join(false)
  }

  function note({ from, interval, askers, hidden }: TabMessage): void {
    wishes.set(from, {
      interval: typeof interval === 'number' && interval > 0 ? interval : undefined,
      askers: Number.isSafeInteger(askers) ? (askers as number) : 1,
      hidden: hidden === true,
      at: clock.elapsed(),
    })
    if (wishes.size > MOST_TABS) wishes.delete(wishes.keys().next().value as string)
    // Not before the answer to whoever said so.
    soon(() => {
      local.reschedule()
      handOver()
    })
  }

  /** A tab that crashed does not say goodbye: what was not said again for long is forgotten. */
  function current(): Wish[] {
    for (const [from, { at, interval = 0 }] of wishes)
      if (clock.elapsed() - at > Math.max(FORGOTTEN, 3 * interval)) wishes.delete(from)
    return [...wishes.values()]
  }

  // As a follower.

  function wish(): Wish {
    return {
      interval: least([...sinks].map((sink) => sink.interval())),
      askers: [...sinks].reduce((sum, sink) => sum + sink.askers(), 0),
      hidden: isHidden(),
      at: Math.floor(clock.elapsed() / REPEATED),
    }
  }

  /** Only what changes is worth a message; who has heard of no leader yet says it in its greeting. */
  function tellWish(): void {
    if (link.role() !== 'follower') return
    const mine = wish()
    const now = JSON.stringify(mine)
    if (now !== toldWish) post('wish', mine)
    toldWish = now
  }

  function pull(kind: AskKind, fresh: boolean, maxAge = 0): Promise<void> {
    if (isRunning()) return local.pull(kind, fresh, maxAge)
    if (link.state() === 'parked' || (!fresh && ageOf(last) < maxAge)) return Promise.resolve()
    const { promise, resolve } = withResolvers()
    const number = questions++
    const cancel = clock.after(PATIENCE, () => finish(number), `answer of ${local.endpoint()}`)
    const done = () => {
      cancel()
      resolve()
    }
    asked.set(number, { kind, fresh, maxAge, of: leader, done })
    counters.asked++
    counters.shared++
    audience.each((sink) => sink.onAsk())
    // Else its welcome is waited for.
    if (leader) post('ask', { number, kind, fresh, maxAge })
    return promise
  }

  function finish(number: unknown): void {
    asked.get(number as number)?.done()
    asked.delete(number as number)
  }

  function onMessage(message: TabMessage): void {
    const { type, from, number, e } = message
    if (e !== undefined) leader = `${from} ${e}`
    switch (type) {
      case 'bye':
        wishes.delete(from)
        return local.reschedule()
      case 'wish':
        return note(message)
      case 'restart':
        return local.reschedule(true)
      case 'ask': {
        const kind = /^(foreground|refresh)$/.test(String(message.kind)) ? (message.kind as AskKind) : 'background'
        const maxAge = typeof message.maxAge === 'number' ? message.maxAge : 0
        void local.pull(kind, message.fresh === true, maxAge).then(() => post('done', { to: from, number }))
        return
      }
      case 'done':
        return finish(number)
      case 'asking':
        return audience.each((sink) => sink.onAsk())
      case 'body':
        return onBody(message as never)
      case 'nothing':
        failures = 0
        return audience.each((sink) => sink.onAnswer(undefined, local.endpoint()))
      case 'trouble': {
        const error = unpackError(message.error)
        failures++
        return (
          error &&
          audience.each((sink) => sink.onSnapshotError(error, message.final === true || failures > sink.retries()))
        )
      }
      case 'status':
        return mirror(message)
      case 'pong':
        // After a silence: perhaps the leader has never heard of this tab, and tells nobody.
        return last ? post('wish', wish()) : link.greet()
      case 'welcome': {
        tellWish()
        if (message.last) onBody(message.last as never, true)
        mirror(message)
        for (const [question, waiting] of asked) {
          const { kind, fresh, maxAge, of } = waiting
          if (of === leader) continue
          waiting.of = leader
          post('ask', { number: question, kind, fresh, maxAge })
        }
      }
    }
  }

  function mirror(message: TabMessage): void {
    const next = unpack<SnapshotState>(message.state)
    if (!next || next.name === ('open' as never)) return
    state = next
    tell()
  }

  /**
   * `late`: it was asked for before this tab came; of use to those who poll, too old for those who wait for a fresh one.
   * This tab may have a newer one, from another leader.
   */
  function onBody({ value, headers, age, sentAgo, toldAt, key, url, bytes }: Body, late = false): void {
    if (!isHeaderList(headers) || !(age >= 0) || !(sentAgo >= 0) || !Number.isFinite(toldAt)) return
    const now = clock.elapsed() - Math.max(0, clock.now() - toldAt)
    const at = now - age
    const sentAt = now - sentAgo
    // An answer that was on its way seems younger than it is.
    if (last?.sentAt !== undefined && sentAt - (late ? TRANSIT : 0) < last.sentAt) return
    let answer: JsonAnswer
    try {
      answer = { value, headers: new Headers(headers as [string, string][]), at, sentAt }
    } catch {
      return
    }
    last = answer
    failures = 0
    if (typeof key === 'string' && typeof url === 'string' && typeof bytes === 'number')
      requests.learn({ key, url, value, headers, bytes, age, sentAgo, toldAt })
    tellWish()
    audience.each((sink) => {
      const isOfUse =
        !late || (takesAnyAnswer(sink) && (sink.interval() !== Infinity || ageOf(answer) < (sink.maxAge() ?? Infinity)))
      if (isOfUse) sink.onAnswer(answer, local.endpoint())
    })
  }

  function ageOf(answer: JsonAnswer | undefined): number {
    return answer ? clock.elapsed() - (answer.at ?? 0) : Infinity
  }

  function bodyOf(answer: JsonAnswer): Body {
    const { value, headers, isSecret, key, url, bytes } = answer
    const age = Math.max(0, ageOf(answer))
    const sentAgo = Math.max(age, clock.elapsed() - (answer.sentAt ?? 0))
    return { value, headers: [...headers], age, sentAgo, toldAt: clock.now(), ...(!isSecret && { key, url, bytes }) }
  }
}

function least(intervals: readonly (number | undefined)[]): number | undefined {
  const given = intervals.filter((ms) => ms !== undefined)
  return given.length > 0 ? Math.min(...given) : undefined
}

function withResolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve = () => {}
  const promise = new Promise<void>((settle) => {
    resolve = settle
  })
  return { promise, resolve }
}
