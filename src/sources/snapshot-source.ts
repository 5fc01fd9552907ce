/**
 * One request for all channels that want its answer: asked now and then (a snapshot), or again and again (polling, one
 * interval for all). Polls keep to a grid, so that they neither drift nor overlap, with jitter on top of it.
 */
import type { JsonAnswer } from '../network/coordinated-fetch'
import { isMillraceError, type MillraceError } from '../primitives/errors'
import { networkError } from '../primitives/http'
import { soon } from '../primitives/platform'
import { shareStructure } from '../primitives/structural-sharing'
import { endpointOf } from '../primitives/url'
import { Audience } from './audience'
import type { PauseReason } from './conditions'
import type { SourceContext } from './source-context'
import { bodyOf, headersOf, type ResolvedTarget, resolveTarget, type Target } from './target'

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

export interface SnapshotSink {
  readonly key: string
  /** It wanted answers before: asking is background work. */
  readonly again: boolean
  snapshotWhenHidden(): 'keep' | 'pause'
  /** ms between polls; undefined: this channel does not poll now. */
  interval(): number | undefined
  /** How many would each have asked. */
  askers(): number
  /** Who wants it, for alerts. */
  label(): string
  onSnapshot(state: SnapshotState): void
  /** A request is about to be sent; true if its answer must not be older than that. */
  onAsk(): boolean
  onAnswer(answer: JsonAnswer, endpoint: string): void
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
  /** Asks now, within the budget unless it is `foreground`; `fresh`: what is under way already is too old. Never rejects. */
  pull(kind: 'foreground' | 'background', fresh: boolean): Promise<void>
  /** From now on this page serves itself. */
  separate?(): void
  /** What another tab was answered: newer than what this source knows. */
  learn?(answer: JsonAnswer): void
}

const calm: SnapshotState = { name: 'idle', failures: 0, retryAt: undefined, error: undefined }
const JITTER = 0.1
/** ms: failing polls slow down to this, unless they are slower anyway. */
const SLOWEST = 60_000

export function createSnapshotSource(target: Target, context: SourceContext, onEmpty: () => void): SnapshotSource {
  const { clock, settings, conditions, gate, requests, counters } = context
  const fixed = typeof target === 'function' ? undefined : (resolveTarget(target, settings.baseUrl) as ResolvedTarget)
  let endpoint = fixed ? endpointOf(fixed.method, fixed.url) : 'a snapshot whose URL is not known yet'
  let state: SnapshotState = calm
  let failures = 0
  let last: JsonAnswer | undefined
  let askedBefore = false
  let underWay: { readonly at: number; readonly controller: AbortController; readonly done: Promise<void> } | undefined
  let followUp: Promise<void> | undefined
  let gridAt: number | undefined
  /** Drawn once a poll: who comes or goes meanwhile does not move it. */
  let jitter = 0
  /** When the server may be asked again, by what it answered last. */
  let notBefore = 0
  let cancelTimer: (() => void) | undefined
  let withdrawClaim: (() => void) | undefined
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
      if (known && state.name === 'polling' && sink.interval() !== undefined)
        soon(() => sinks.has(sink) && last === known && sink.onAnswer(known, endpoint))
    },
    detach(sink) {
      audience.delete(sink)
      if (sinks.size > 0) return
      withdrawClaim?.()
      stop()
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

  function interval(): number | undefined {
    const asked = [...sinks].map((sink) => sink.interval()).filter((ms) => ms !== undefined)
    return asked.length > 0 ? Math.max(settings.shortestInterval, Math.min(...asked)) : undefined
  }

  /** Polls if somebody wants it and it may. */
  function settle(): void {
    if (sinks.size === 0) return
    const held = audience.reason()
    if (held) {
      // A hidden page may finish what it asks for; a frozen one would wait for ever.
      if (held === 'hidden' && !conditions.isFrozen) cancelTimer?.()
      else stop()
      set({ name: 'held-back', by: held })
    } else if (state.name !== 'failed') schedule('ask')
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
    const now = clock.now()
    // Who polls at no time still wants one answer.
    const pace = failures > 0 && every === Infinity ? settings.shortestInterval : every
    const step = failures > 0 ? Math.max(pace, Math.min(pace * 2 ** Math.min(failures, 10), SLOWEST)) : every
    let nominal = gridAt === undefined ? now : gridAt + step
    let due = nominal
    if (gridAt !== undefined && nominal < now) {
      nominal = overdue === 'ask' ? now : gridAt + step * Math.ceil((now - gridAt) / step)
      due = nominal
    }
    if (due > now) due += jitter * step
    due = Math.max(due, notBefore)
    set({ name: 'polling', failures, error, retryAt: due })
    if (underWay) return
    cancelTimer = clock.after(
      due - now,
      () => {
        gridAt = nominal
        jitter = clock.random() * JITTER
        void pull(askedBefore ? 'background' : 'foreground', false)
      },
      `poll ${endpoint}`,
    )
  }

  function pull(kind: 'foreground' | 'background', fresh: boolean): Promise<void> {
    if (underWay) {
      // What was asked for in this very moment has not been sent yet.
      if (!fresh || underWay.at === clock.now()) return underWay.done
      followUp ??= underWay.done.then(() => {
        followUp = undefined
        return pull(kind, true)
      })
      return followUp
    }
    const held = audience.reason()
    if (held && held !== 'hidden') return Promise.resolve()
    const controller = new AbortController()
    const done = ask(kind, fresh, controller.signal).then((next) => {
      if (underWay?.controller !== controller) return
      underWay = undefined
      // Told once, by whatever comes next: with the time of the next attempt.
      if (next) state = next
      if (audience.reason()) settle()
      else if (state.name === 'failed') set(state)
      else schedule('skip')
    })
    underWay = { at: clock.now(), controller, done }
    return done
  }

  /** Asks once; resolves with the state that the outcome leads to. */
  async function ask(
    kind: 'foreground' | 'background',
    fresh: boolean,
    signal: AbortSignal,
  ): Promise<SnapshotState | undefined> {
    askedBefore = true
    const askers = [...sinks].reduce((sum, sink) => sum + sink.askers(), 0) || 1
    counters.asked += askers
    counters.shared += askers - 1
    const exact = [...sinks].map((sink) => sink.onAsk()).includes(true)
    try {
      const resolved = fixed ?? (await resolveTarget(target, settings.baseUrl))
      const { method, request, url } = resolved
      if (!fixed) {
        endpoint = endpointOf(method, url)
        if (sinks.size > 0) claim()
      }
      const headers = await headersOf(resolved)
      const body = await bodyOf(resolved)
      const credentials = request.credentials ?? settings.credentials
      const [someone] = sinks
      const answer = await requests.ask(
        url.href,
        {
          method,
          signal,
          ...(headers && { headers }),
          ...(body !== undefined && { body }),
          ...(credentials && { credentials }),
        },
        {
          kind,
          dedupe: !fresh && !exact,
          label: someone?.label() ?? 'refresh',
          ...(someone && { channel: someone.key }),
        },
      )
      if (signal.aborted) return undefined
      failures = notBefore = 0
      last = { ...answer, value: shareStructure(last?.value, answer.value) }
      const current = last
      audience.each((sink) => sink.onAnswer(current, endpoint))
      return calm
    } catch (thrown) {
      if (signal.aborted) return undefined
      const error = isMillraceError(thrown) ? thrown : networkError(endpoint, 'could not be asked', thrown)
      failures++
      notBefore = clock.now() + (error.retryAfter ?? 0)
      // A page instead of JSON may be a proxy's, for now: worth another look, slowly.
      const final = !error.retryable && error.code !== 'invalid-body'
      audience.each((sink) => sink.onSnapshotError(error, final))
      return final ? { name: 'failed', error } : { name: 'polling', failures, error, retryAt: undefined }
    }
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
