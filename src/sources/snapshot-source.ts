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
import { Audience } from './audience'
import { type ConditionChange, heldBackState, type PauseReason } from './conditions'
import type { SourceContext } from './source-context'
import { bodyOf, fixedTarget, headersOf, resolveTarget, type Target } from './target'

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
export type AskOptions = Pick<Coordination, 'timeout' | 'priority' | 'group'>

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
  asksWith(): AskOptions
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
  role(): 'leader' | 'follower' | 'solo' | undefined
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
  /** What another tab was answered: newer than what this source knows. */
  learn?(answer: JsonAnswer): void
}

export type AskKind = PolicyRequest['kind']

/** One question, from the first thought of it to its answer. */
interface Question {
  readonly kind: AskKind
  readonly controller: AbortController
  /** Its answer must not be to anything that was sent before it. */
  isFresh: boolean
  isSent: boolean
  done: Promise<void>
}

const calm: SnapshotState = { name: 'idle', failures: 0, retryAt: undefined, error: undefined }
const JITTER = 0.1
/** ms: failing polls slow down to this, unless they are slower anyway. */
const SLOWEST = 60_000

/** Whether an answer that somebody else asked for is of use to a channel: one with a stream waits for its own. */
export const takesAnyAnswer = (sink: SnapshotSink): boolean => sink.interval() !== undefined

export function createSnapshotSource(
  target: Target,
  context: SourceContext,
  onEmpty: () => void,
  isTold: () => boolean = () => false,
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
  let cancelTimer: (() => void) | undefined
  let withdrawClaim: (() => void) | undefined
  let unfollow: { readonly key: string; readonly stop: () => void } | undefined
  let hasToldFloor = false
  const audience = new Audience<SnapshotSink>(context, {
    whenHidden: (sink) => sink.snapshotWhenHidden(),
    settle,
    endpoint: () => endpoint,
  })
  const { sinks } = audience

  return {
    state: () => state,
    role: () => 'solo',
    endpoint: () => endpoint,
    attach(sink) {
      askedBefore ||= sink.again
      if (sinks.size === 0) claim()
      audience.add(sink)
      // Who polls is shown at once what the others know; who comes for one answer wants a new one.
      const known = last
      const polls = sink.interval() !== Infinity
      if (known && state.name === 'polling' && takesAnyAnswer(sink) && (polls || isYoung(sink.maxAge())))
        soon(() => sinks.has(sink) && last === known && sink.onAnswer(known, endpoint))
    },
    detach(sink) {
      audience.delete(sink)
      if (sinks.size > 0) return
      withdrawClaim?.()
      stop()
      unfollow?.stop()
      unfollow = undefined
      onEmpty()
    },
    reschedule(restart) {
      if (restart && state.name === 'failed') state = calm
      settle()
    },
    pull,
    learn(answer) {
      last = answer
    },
  }

  /** What is polled needs a budget of its own, at the endpoint that it turns out to be. */
  function claim(): void {
    withdrawClaim?.()
    withdrawClaim = gate.claim(endpoint, () => 60_000 / (interval() ?? Infinity))
  }

  /** Whether what is known is new enough; to who does not say, anything is that others poll. */
  function isYoung(maxAge = Infinity): boolean {
    return last !== undefined && clock.elapsed() - (last.at ?? 0) < maxAge
  }

  function interval(): number | undefined {
    const asked = [...sinks].map((sink) => sink.interval()).filter((ms) => ms !== undefined)
    return asked.length > 0 ? Math.max(settings.shortestInterval, Math.min(...asked)) : undefined
  }

  function tellFloor(every: number): void {
    // Of another tab's interval that one tells.
    const shortest = [...sinks].find((sink) => sink.key !== '' && (sink.interval() ?? Infinity) < every)
    if (!shortest || hasToldFloor) return
    hasToldFloor = true
    const message = `${endpoint} is polled every ${every} ms, not every ${shortest.interval()}: no interval is shorter than that.`
    alert({ code: 'config', message, endpoint, channel: shortest.key, value: shortest.interval(), limit: every })
  }

  /** Polls if somebody wants it and it may. */
  function settle(change?: ConditionChange): void {
    if (sinks.size === 0) return
    // What could not be had meanwhile is asked for at once.
    if (change === 'online' && isCutOff) gridAt = undefined
    const held = audience.reason()
    if (held) {
      // A hidden page may finish what it asks for; a frozen one would wait for ever.
      if (held === 'hidden' && !conditions.isFrozen) cancelTimer?.()
      else stop()
      set(heldBackState(held))
    } else if (state.name !== 'failed') schedule('ask')
  }

  /** Asks after so long, unless that is decided anew. */
  function wake(ms: number, before: () => void, maxAge = 0): void {
    cancelTimer = clock.after(
      ms,
      () => {
        before()
        jitter = clock.random() * JITTER
        void pull(askedBefore ? 'background' : 'foreground', false, maxAge)
      },
      `poll ${endpoint}`,
    )
  }

  /** Sets the timer of the next poll. Overdue after a pause: it asks now; after a slow answer: it skips to the grid. */
  function schedule(overdue: 'ask' | 'skip'): void {
    cancelTimer?.()
    cancelTimer = undefined
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
    const maxAge = Math.min(...[...sinks].map((sink) => sink.maxAge() ?? 0))
    const isFirst = gridAt === undefined
    if (!isFailing && isYoung(maxAge)) gridAt ??= last?.at
    let nominal = gridAt === undefined ? now : gridAt + step
    let at = nominal
    if (gridAt !== undefined && nominal < now) {
      nominal = overdue === 'ask' ? now : gridAt + step * Math.ceil((now - gridAt) / step)
      at = nominal
    }
    if (at > now && at < Infinity) at += jitter * step
    at = Math.max(at, notBefore)
    // Said once of one moment: two readings of two clocks never agree to the last digit.
    if (due?.at !== at) due = { at, shownAs: Math.ceil(clock.now() + at - now) }
    const retryAt = at < Infinity ? due?.shownAs : undefined
    set(offline ? heldBackState('offline') : { name: 'polling', failures, error, retryAt })
    if (underWay || at === Infinity) return
    const place = nominal
    const begin = () => {
      gridAt = place
    }
    wake(at - now, begin, isFirst ? maxAge : 0)
  }

  function pull(kind: AskKind, fresh: boolean, maxAge = 0): Promise<void> {
    if (!fresh && isYoung(maxAge)) return Promise.resolve()
    if (underWay) {
      const before = underWay
      if (!fresh || !before.isSent) {
        before.isFresh ||= fresh
        if (kind === before.kind || kind === 'background' || before.isSent) return before.done
        // It waits for the budget, which this one need not.
        before.controller.abort()
      } else {
        followUp ??= before.done.then(() => {
          followUp = undefined
          // Nobody may be left to be told.
          return sinks.size > 0 ? pull(kind, true) : undefined
        })
        return followUp
      }
    }
    const held = audience.reason()
    if (held && held !== 'hidden') return Promise.resolve()
    if (interval() !== undefined) gridAt ??= clock.elapsed()
    const question: Question = {
      kind,
      controller: new AbortController(),
      isFresh: fresh,
      isSent: false,
      done: Promise.resolve(),
    }
    underWay = question
    question.done = ask(question, maxAge).then((next) => {
      if (underWay !== question) return underWay?.done
      underWay = undefined
      // Told once, by whatever comes next: with the time of the next attempt.
      if (next) state = next
      if (audience.reason()) settle()
      else if (state.name === 'failed') set(state)
      else schedule('skip')
      return undefined
    })
    return question.done
  }

  /** Asks once; resolves with the state that the outcome leads to. */
  async function ask(question: Question, maxAge: number): Promise<SnapshotState | undefined> {
    askedBefore = true
    const { signal } = question.controller
    const askers = [...sinks].reduce((sum, sink) => sum + sink.askers(), 0) || 1
    counters.asked += askers
    counters.shared += askers - 1
    if ([...sinks].map((sink) => sink.onAsk()).includes(true)) question.isFresh = true
    const [someone] = sinks
    const of = someone ? `channel ${someone.key}` : endpoint
    try {
      const owner = { clock, of: of }
      const resolved = fixed ?? (await resolveTarget(target, settings.baseUrl, owner))
      const { method, request, url } = resolved
      if (!fixed) {
        endpoint = endpointOf(method, url)
        if (sinks.size > 0) claim()
      }
      const headers = await headersOf(resolved, owner)
      const body = await bodyOf(resolved, owner)
      const { credentials } = request
      const init = {
        method,
        signal,
        ...(headers && { headers }),
        ...(body !== undefined && { body }),
        ...(credentials && { credentials }),
      }
      const answer = await requests.ask(url.href, init, {
        ...askOptions(),
        kind: question.kind,
        get dedupe() {
          return !question.isFresh
        },
        ttl: Math.max(settings.cache.ttl, maxAge),
        get maxAge() {
          return question.isFresh ? 0 : maxAge
        },
        isTold: isTold(),
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
      return calm
    } catch (thrown) {
      if (signal.aborted) return undefined
      const error = isMillraceError(thrown) ? thrown : networkError(endpoint, 'could not be asked', thrown)
      isCutOff = isOffline()
      if (!isCutOff) failures++
      notBefore = clock.elapsed() + (error.retryAfter ?? 0)
      // A page instead of JSON may be a proxy's, for now: worth another look, slowly.
      const final = !error.retryable && error.code !== 'invalid-body'
      // What fails while the browser says that it is offline is tried again when it no longer says so.
      audience.each((sink) => sink.onSnapshotError(error, final || (!isCutOff && failures > sink.retries())))
      return final ? { name: 'failed', error } : { name: 'polling', failures, error, retryAt: undefined }
    }
  }

  /** Of those who say how: the most patient decides. */
  function askOptions(): AskOptions {
    const all = [...sinks].map((sink) => sink.asksWith())
    const timeouts = all.map(({ timeout }) => timeout).filter((ms) => ms !== undefined)
    return {
      ...all.find(({ priority, group }) => priority ?? group),
      ...(timeouts.length > 0 && { timeout: Math.max(...timeouts) }),
    }
  }

  /** Hands out an answer to those of whom `isFor` is true, and to nobody twice. */
  function take(answer: JsonAnswer, isFor: (sink: SnapshotSink) => boolean): void {
    failures = notBefore = 0
    const isKnown = answer === received
    received = answer
    if (answer.isEmpty) {
      last &&= { ...last, at: answer.at ?? clock.elapsed() }
      return audience.each((sink) => isFor(sink) && sink.onAnswer(undefined, endpoint))
    }
    if (!isKnown || !last)
      last = { ...answer, at: answer.at ?? clock.elapsed(), value: shareStructure(last?.value, answer.value) }
    const current = last
    audience.each((sink) => isFor(sink) && !(isKnown && takesAnyAnswer(sink)) && sink.onAnswer(current, endpoint))
  }

  /** What anybody is answered who asks the same is news here too, unless it was sent before what is known. */
  function follow(key: string): void {
    if (unfollow?.key === key || sinks.size === 0) return
    unfollow?.stop()
    const stop = requests.follow(key, (answer) => {
      if (answer === received || (answer.sentAt ?? 0) < (last?.sentAt ?? 0)) return
      const before = failures
      take(answer, takesAnyAnswer)
      if (underWay || !('error' in state)) return
      if (before > 0 || state.name === 'failed') {
        state = calm
        settle()
      }
    })
    unfollow = { key, stop }
  }

  function stop(): void {
    cancelTimer?.()
    cancelTimer = undefined
    underWay?.controller.abort()
    underWay = undefined
  }

  function set(next: SnapshotState): void {
    state = next
    audience.each((sink) => sink.onSnapshot(next))
  }
}
