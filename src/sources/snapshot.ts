/**
 * One request for all channels that want its answer: asked now and then (a snapshot), or again and again (polling, one
 * interval for all). Polls keep to a grid, so that they neither drift nor overlap, with jitter on top of it.
 */
import type { Coordination, JsonAnswer } from '../network/coordinated-fetch'
import type { PolicyRequest } from '../network/request'
import { isMillraceError, type MillraceError } from '../primitives/errors'
import { networkError } from '../primitives/http'
import { isOffline, soon } from '../primitives/platform'
import { shareStructure } from '../primitives/structural-sharing'
import { endpointOf } from '../primitives/url'
import { type ConditionChange, heldBackState, type PauseReason } from './conditions'
import { Listeners, least } from './listeners'
import type { SourceContext } from './source-context'
import type { Sharing } from './tabs/arrival'
import { fixedTarget, headersOf, initOf, resolveTarget, type Target } from './target'

export type SnapshotState =
  | {
      /** `idle`: nobody polls. */
      readonly name: 'idle' | 'polling'
      readonly failures: number
      readonly retryAt: number | undefined
      /** That of the last answer. */
      readonly error: MillraceError | undefined
    }
  | { readonly name: 'held-back'; readonly by: PauseReason }
  | { readonly name: 'failed'; readonly error: MillraceError }

/** How one request is asked, of all that {@link Coordination} may say. */
export type AskOptions = Readonly<Pick<Coordination, 'timeout' | 'priority' | 'group'>>

export interface SnapshotSink {
  readonly key: string
  /** It wanted answers before: asking is background work. */
  readonly again: boolean
  snapshotWhenHidden(): 'keep' | 'pause'
  /** ms between polls; `Infinity`: asked once; undefined: this channel does not poll now. */
  interval(): number | undefined
  /** ms: an answer that somebody else was given is new enough for this long; undefined: none is. */
  maxAge(): number | undefined
  /** How often what has failed is tried again. */
  retries(): number
  /** How it asks: read at every use. */
  readonly definition: AskOptions
  /** How many would each have asked. */
  askers(): number
  /** Who wants it, for alerts. */
  label(): string
  onSnapshot(state: SnapshotState): void
  /** A request is about to be sent; true if its answer must not be older than that. */
  onAsk(): boolean
  /** Undefined: the server has answered that it has nothing new. */
  onAnswer(answer: JsonAnswer | undefined, endpoint: string): void
  /** There was no answer, or none to use; `final`: there will be none. Before the state says so. */
  onSnapshotError(error: MillraceError, final: boolean): void
}

export interface SnapshotSource {
  state(): SnapshotState
  role(): Role
  endpoint(): string
  attach(sink: SnapshotSink): void
  detach(sink: SnapshotSink): void
  /** Looks again at who polls and how often; a failed source starts again. */
  reschedule(restart?: boolean): void
  /**
   * Asks now, within the budget unless it is `foreground`; `fresh`: what was sent before is too old; `maxAge`: an answer
   * that is younger will do. Never rejects.
   */
  pull(kind: AskKind, fresh: boolean, maxAge?: number): Promise<void>
  /** From now on this page serves itself. */
  separate?(): void
  /** What it takes to share with other tabs is here, or late. */
  reconsider?(): void
}

export type AskKind = PolicyRequest['kind']
export type Role = 'leader' | 'follower' | 'solo' | undefined

/** One question, from the first thought of it to its answer. */
export interface Question {
  readonly kind: AskKind
  readonly maxAge: number
  /** Its answer must not be to anything that was sent before it. */
  isFresh: boolean
  isSent: boolean
  /** Asked by this tab, not by another. */
  isHere: boolean
  readonly controller: AbortController
  done: Promise<void>
}

/** What went wrong, and when it may be tried again: as one tab tells another. */
export interface Trouble {
  readonly error: MillraceError
  readonly failures: number
  /** ms */
  readonly wait: number
}

/** What other tabs may make of a snapshot. */
export interface SnapshotCore {
  endpoint(): string
  interval(): number | undefined
  last(): JsonAnswer | undefined
  trouble(): Trouble | undefined
  onAsk(): void
  pull(kind: AskKind, fresh: boolean, maxAge: number): Promise<void>
  /** Another tab asks, and will ask again after so many ms. */
  serve(kind: AskKind, fresh: boolean, maxAge: number, every: number): Promise<void>
  /** Another tab was answered; undefined: nothing new. `late`: before this tab came. */
  hear(answer: JsonAnswer | undefined, late?: boolean): void
  hearTrouble(trouble: Trouble): void
  /** Who asks is another now. */
  turn(): void
  tell(): void
}

/** What makes one of the snapshots of several tabs. */
export interface SnapshotShare {
  role(): Role
  leads(): boolean
  join(): void
  park(): void
  separate(): void
  /** Has whoever leads ask; resolves when this tab has heard the answer, or there will be none. */
  ask(question: Question): Promise<void>
  /** This tab asks the server. */
  asking(): void
  /** Whether somebody is told. */
  hasFollowers(): boolean
  /** ms between polls that other tabs want. */
  interval(): number
  tell(answer: JsonAnswer | undefined): void
  tellTrouble(trouble: Trouble): void
}

const calm: SnapshotState = { name: 'idle', failures: 0, retryAt: undefined, error: undefined }
const nothing = (): void => {}
const whenHidden = (sink: SnapshotSink): 'keep' | 'pause' => sink.snapshotWhenHidden()
const JITTER = 0.1
/** ms: failing polls slow down to this, unless they are slower anyway. */
const SLOWEST = 60_000

/** Whether an answer that somebody else asked for is of use to a channel: one with a stream waits for its own. */
const takesAnyAnswer = (sink: SnapshotSink): boolean => sink.interval() !== undefined

export function createSnapshot(
  target: Target,
  context: SourceContext,
  onEmpty: () => void,
  tabs?: Sharing<SnapshotCore, SnapshotShare>,
): SnapshotSource {
  const { clock, settings, conditions, gate, requests, counters, alert } = context
  const fixed = typeof target === 'function' ? undefined : fixedTarget(target, settings.baseUrl)
  let endpoint = fixed ? endpointOf(fixed.method, fixed.url) : 'a snapshot whose URL is not known yet'
  let state: SnapshotState = calm
  let failures = 0
  /** The last request failed while the browser said that it is offline. */
  let isCutOff = false
  let last: JsonAnswer | undefined
  /** As it came: what was handed out already is not handed out again. */
  let received: JsonAnswer | undefined
  let askedBefore = false
  let underWay: Question | undefined
  let followUp: Promise<void> | undefined
  let gridAt: number | undefined
  /** Drawn once a poll: who comes or goes meanwhile does not move it. */
  let jitter = 0
  /** When the server may be asked again, by what it answered last. */
  let notBefore = 0
  let due: { readonly at: number; readonly shownAs: number } | undefined
  let cancelTimer = nothing
  let withdrawClaim = nothing
  let unfollow: { readonly key: string; readonly stop: () => void } | undefined
  let hasToldFloor = false
  const endpointNow = () => endpoint
  const listeners = new Listeners<SnapshotSink>(context, whenHidden, { settle, endpoint: endpointNow })
  const sinks = listeners.all
  let sharing = tabs
  let share = sharing?.share(coreOf)

  return {
    state: () => state,
    role: () => (share ? share.role() : isHere() ? 'solo' : undefined),
    endpoint: endpointNow,
    attach(sink) {
      askedBefore ||= sink.again
      if (sinks.size === 0) claim()
      listeners.add(sink)
      // Who polls is shown at once what the others know; who comes for one answer wants a new one.
      const known = last
      if (known && state.name === 'polling' && takesOld(sink))
        soon(() => sinks.has(sink) && last === known && sink.onAnswer(known, endpoint))
    },
    detach(sink) {
      if (!listeners.delete(sink)) return
      withdrawClaim()
      stop()
      unfollow?.stop()
      unfollow = undefined
      share?.park()
      onEmpty()
    },
    reschedule(restart) {
      if (restart && state.name === 'failed') state = calm
      settle()
    },
    pull,
    ...(tabs && {
      separate() {
        if (share) return share.separate()
        sharing = undefined
        look()
      },
      reconsider() {
        share ??= sharing?.share(coreOf)
        look()
      },
    }),
  }

  /** Whether this tab is the one that asks. */
  function isHere(): boolean {
    return share ? share.leads() : !sharing?.waits()
  }

  function look(): void {
    settle()
    if (!underWay?.isHere) turn()
  }

  /** What is polled needs a budget of its own, at the endpoint that it turns out to be. */
  function claim(): void {
    withdrawClaim()
    withdrawClaim = gate.claim(endpoint, () => 60_000 / Math.min(interval() ?? Infinity, share?.interval() ?? Infinity))
  }

  /** Whether what is known is new enough; to who does not say, anything is that others poll. */
  function isYoung(maxAge = Infinity): boolean {
    return last !== undefined && clock.elapsed() - (last.at ?? 0) < maxAge
  }

  function takesOld(sink: SnapshotSink): boolean {
    return takesAnyAnswer(sink) && (sink.interval() !== Infinity || isYoung(sink.maxAge()))
  }

  function interval(): number | undefined {
    const shortest = least(listeners.map((sink) => sink.interval()))
    return shortest === undefined ? undefined : Math.max(settings.shortestInterval, shortest)
  }

  function tellFloor(every: number): void {
    const shortest = [...sinks].find((sink) => (sink.interval() ?? Infinity) < every)
    if (!shortest || hasToldFloor) return
    hasToldFloor = true
    const message = `${endpoint} is polled every ${every} ms, not every ${shortest.interval()}: that is the shortest.`
    alert({ code: 'config', message, endpoint, channel: shortest.key, value: shortest.interval(), limit: every })
  }

  /** Polls if somebody wants it and it may. */
  function settle(change?: ConditionChange): void {
    if (sinks.size === 0) return
    // What could not be had meanwhile is asked for at once.
    if (change === 'online' && isCutOff) gridAt = undefined
    const held = listeners.reason()
    if (held) {
      // A hidden page may finish what it asks for; a frozen one would wait for ever. With other tabs, they ask.
      if (held === 'hidden' && !conditions.isFrozen && !sharing) cancelTimer()
      else stop()
      share?.park()
      set(heldBackState(held))
    } else {
      share?.join()
      if (state.name !== 'failed') schedule('ask')
    }
  }

  /** Sets the timer of the next poll. Overdue after a pause: it asks now; after a slow answer: it skips to the grid. */
  function schedule(overdue: 'ask' | 'skip'): void {
    cancelTimer()
    const every = interval()
    const error = 'error' in state ? state.error : undefined
    if (every === undefined) {
      gridAt = undefined
      const tried = failures
      failures = 0
      return set({ name: 'idle', failures: tried, retryAt: undefined, error })
    }
    tellFloor(every)
    const now = clock.elapsed()
    // Who polls at no time still wants one answer.
    const isFailing = failures > 0 || isCutOff
    const pace = isFailing && every === Infinity ? settings.shortestInterval : every
    // That the browser says it is offline is a hint: it is asked all the same, with little hope.
    const offline = isOffline()
    const slow = offline ? settings.backoff.cap : 0
    const backedOff = Math.max(pace, Math.min(pace * 2 ** Math.min(failures, 10), SLOWEST))
    const step = Math.max(slow, isFailing ? backedOff : every)
    // The grid begins with an answer that is new enough for everybody.
    const isFirst = gridAt === undefined
    const maxAge = isFirst ? Math.min(...listeners.map((sink) => sink.maxAge() ?? 0)) : 0
    if (isFirst && !isFailing && isYoung(maxAge)) gridAt = last?.at
    let place = gridAt === undefined ? now : gridAt + step
    if (gridAt !== undefined && place < now)
      place = overdue === 'ask' ? now : gridAt + step * Math.ceil((now - gridAt) / step)
    const at = Math.max(place > now && place < Infinity ? place + jitter * step : place, notBefore)
    // Said once of one moment: two readings of two clocks never agree to the last digit.
    if (due?.at !== at) due = { at, shownAs: Math.ceil(clock.now() + at - now) }
    const retryAt = at < Infinity ? due?.shownAs : undefined
    set(offline ? heldBackState('offline') : { name: 'polling', failures, error, retryAt })
    if (underWay || at === Infinity) return
    const poll = () => {
      gridAt = place
      jitter = clock.random() * JITTER
      void pull(askedBefore ? 'background' : 'foreground', false, maxAge)
    }
    cancelTimer = clock.after(at - now, poll, `poll ${endpoint}`)
  }

  function pull(kind: AskKind, fresh: boolean, maxAge = 0): Promise<void> {
    if (!fresh && isYoung(maxAge)) return Promise.resolve()
    const before = underWay
    if (before && fresh && before.isSent) {
      followUp ??= before.done.then(() => {
        followUp = undefined
        // Nobody may be left to be told.
        return sinks.size > 0 ? pull(kind, true) : undefined
      })
      return followUp
    }
    if (before) {
      before.isFresh ||= fresh
      if (kind === before.kind || kind === 'background' || before.isSent) return before.done
      // It waits for the budget, which this one need not.
      before.controller.abort()
    }
    const held = listeners.reason()
    if (held && (sharing || held !== 'hidden')) return Promise.resolve()
    if (interval() !== undefined) gridAt ??= clock.elapsed()
    return begin(kind, fresh, maxAge)
  }

  function begin(kind: AskKind, isFresh: boolean, maxAge: number): Promise<void> {
    const controller = new AbortController()
    const question: Question = {
      kind,
      maxAge,
      controller,
      isFresh,
      isSent: false,
      isHere: isHere(),
      done: Promise.resolve(),
    }
    underWay = question
    question.done = ask(question).then((next) => {
      if (underWay !== question) return underWay?.done
      underWay = undefined
      // Told once, by whatever comes next: with the time of the next attempt.
      if (next) state = next
      if (listeners.reason()) settle()
      else goOn()
      return undefined
    })
    return question.done
  }

  function goOn(): void {
    if (state.name === 'failed') set(state)
    else schedule('skip')
  }

  /** Asks once; resolves with the state that the outcome leads to, if that is not known yet. */
  async function ask(question: Question): Promise<SnapshotState | undefined> {
    askedBefore = true
    const { kind, maxAge } = question
    const { signal } = question.controller
    if (listeners.map((sink) => sink.onAsk()).includes(true)) question.isFresh = true
    if (!question.isHere) {
      await (share ? share.ask(question) : new Promise((resolve) => signal.addEventListener('abort', resolve)))
      return undefined
    }
    count(1)
    share?.asking()
    const isTold = share?.hasFollowers() === true
    // What came before they asked is too old for them.
    question.isFresh ||= isTold
    const [someone] = sinks
    try {
      const owner = { clock, of: someone ? `channel ${someone.key}` : endpoint }
      const resolved = fixed ?? (await resolveTarget(target, settings.baseUrl, owner))
      const { method, url } = resolved
      if (!fixed) {
        endpoint = endpointOf(method, url)
        if (sinks.size > 0) claim()
      }
      const headers = await headersOf(resolved, owner)
      const init = { ...(await initOf(resolved, owner)), signal, ...(headers && { headers }) }
      const answer = await requests.ask(url.href, init, {
        ...askOptions(),
        kind,
        get dedupe() {
          return !question.isFresh
        },
        ttl: Math.max(settings.cache.ttl, maxAge),
        get maxAge() {
          return question.isFresh ? 0 : maxAge
        },
        isTold,
        onSent() {
          question.isSent = true
        },
        label: someone?.label() ?? 'refresh',
        ...(someone && { channel: someone.key }),
      })
      if (signal.aborted) return undefined
      isCutOff = false
      if (answer.key !== undefined) follow(answer.key)
      take(answer, () => true)
      share?.tell(answer)
      return calm
    } catch (thrown) {
      if (signal.aborted) return undefined
      const error = isMillraceError(thrown) ? thrown : networkError(endpoint, 'could not be asked', thrown)
      // What fails while the browser says that it is offline is tried again when it no longer says so.
      isCutOff = isOffline()
      if (!isCutOff) failures++
      const wait = error.retryAfter ?? 0
      share?.tellTrouble({ error, failures, wait })
      return fail(error, wait)
    }
  }

  /** How many would each have asked, for so many requests. */
  function count(requests: 0 | 1): void {
    const askers = listeners.map((sink) => sink.askers()).reduce((sum, each) => sum + each, 0) || requests
    counters.asked += askers
    counters.shared += askers - requests
  }

  function fail(error: MillraceError, wait: number): SnapshotState {
    notBefore = clock.elapsed() + wait
    // A page instead of JSON may be a proxy's, for now: worth another look, slowly.
    const final = !error.retryable && error.code !== 'invalid-body'
    listeners.each((sink) => sink.onSnapshotError(error, final || (!isCutOff && failures > sink.retries())))
    return final ? { name: 'failed', error } : { name: 'polling', failures, error, retryAt: undefined }
  }

  /** Of those who say how: the most patient decides. */
  function askOptions(): AskOptions {
    const all = listeners.map((sink) => sink.definition)
    const { priority, group } = all.find((one) => one.priority ?? one.group) ?? {}
    const timeouts = all.map(({ timeout }) => timeout).filter((ms) => ms !== undefined)
    const timeout = timeouts.length > 0 ? Math.max(...timeouts) : undefined
    return { priority, group, timeout }
  }

  /** Hands out an answer, or that there is nothing new, to those of whom `isFor` is true, and to nobody twice. */
  function take(answer: JsonAnswer | undefined, isFor: (sink: SnapshotSink) => boolean): void {
    failures = notBefore = 0
    const isKnown = answer !== undefined && answer === received
    received = answer
    if (!answer || answer.isEmpty) {
      last &&= { ...last, at: answer?.at ?? clock.elapsed() }
      return listeners.each((sink) => isFor(sink) && sink.onAnswer(undefined, endpoint))
    }
    if (!isKnown || !last)
      last = { ...answer, at: answer.at ?? clock.elapsed(), value: shareStructure(last?.value, answer.value) }
    const current = last
    listeners.each((sink) => isFor(sink) && !(isKnown && takesAnyAnswer(sink)) && sink.onAnswer(current, endpoint))
  }

  /** What anybody is answered who asks the same is news here too, unless it was sent before what is known. */
  function follow(key: string): void {
    if (unfollow?.key === key || sinks.size === 0) return
    unfollow?.stop()
    const stop = requests.follow(key, (answer) => {
      if (answer === received || (answer.sentAt ?? 0) < (last?.sentAt ?? 0)) return
      const before = failures
      take(answer, takesAnyAnswer)
      if (underWay) return
      // Else they are told of what was asked for them.
      share?.tell(answer)
      if ('error' in state && (before > 0 || state.name === 'failed')) {
        state = calm
        settle()
      }
    })
    unfollow = { key, stop }
  }

  function stop(): void {
    cancelTimer()
    underWay?.controller.abort()
    underWay = undefined
  }

  function set(next: SnapshotState): void {
    state = next
    listeners.each((sink) => sink.onSnapshot(next))
  }

  // With other tabs.

  function turn(): void {
    unfollow?.stop()
    unfollow = undefined
    if (!underWay || (underWay.isHere && isHere())) return
    underWay.controller.abort()
    void begin(underWay.kind, underWay.isFresh, underWay.maxAge)
  }

  /** What it takes to share: made for those who do, since there are thousands who do not. */
  function coreOf(): SnapshotCore {
    return {
      endpoint: endpointNow,
      interval,
      last: () => last,
      trouble,
      onAsk: () => listeners.each((sink) => sink.onAsk()),
      pull,
      serve,
      hear,
      hearTrouble,
      turn,
      tell: () => set(state),
    }

    function serve(kind: AskKind, fresh: boolean, maxAge: number, every: number): Promise<void> {
      // Whose time is up at nearly the same moment as another's has been told already, or will be.
      const enough = every < Infinity ? Math.max(maxAge, every / 2) : maxAge
      if (fresh || !isYoung(enough)) gridAt = clock.elapsed()
      return pull(kind, fresh, enough)
    }

    function hear(answer: JsonAnswer | undefined, late = false): void {
      count(0)
      take(answer, late ? takesOld : () => true)
      begins(late ? last?.at : undefined)
      isCutOff = false
      state = calm
      schedule('skip')
    }

    function hearTrouble({ error, failures: times, wait }: Trouble): void {
      failures = times
      isCutOff = isOffline()
      begins()
      state = fail(error, wait)
      goOn()
    }

    /** The next poll comes so long after another tab's. */
    function begins(at = clock.elapsed()): void {
      if (underWay?.isSent) return
      gridAt = at
      jitter = clock.random() * JITTER
    }

    function trouble(): Trouble | undefined {
      const error = 'error' in state && state.error
      return error ? { error, failures, wait: Math.max(0, notBefore - clock.elapsed()) } : undefined
    }
  }
}
