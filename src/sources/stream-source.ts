/**
 * One stream for all channels that want it: its connection, its cursor, its replay filter. A channel does not care
 * whether messages come from the network or from another tab.
 */
import { DEFAULT_TIMEOUT } from '../network/gate'
import { tellsHeadsLate } from '../primitives/environment'
import { MillraceError } from '../primitives/errors'
import { endpointOf } from '../primitives/url'
import { createEventStream } from '../stream/event-stream'
import type { Message } from '../stream/messages'
import type { ReconnectionState } from '../stream/reconnection'
import { streamHeaders } from '../stream/stream-http'
import { Audience } from './audience'
import type { PauseReason } from './conditions'
import { createReplayFilter, type ReplayFilter } from './replay-filter'
import type { SourceContext } from './source-context'
import { bodyOf, headersOf, type ResolvedTarget, resolveTarget, type Target } from './target'

export type StreamState = ReconnectionState | { readonly name: 'held-back'; readonly by: PauseReason }

/** What a channel asks of its stream, and is told by it. */
export interface StreamSink {
  readonly key: string
  /** It wanted the stream before: connecting is background work. */
  readonly again: boolean
  /** ms; undefined: 45 s, from the first comment on. */
  idleTimeout(): number | false | undefined
  maxEventBytes(): number
  streamWhenHidden(): 'keep' | 'pause'
  /** Whether there is a snapshot to poll while the stream cannot be had. */
  hasFallback(): boolean
  /** Who wants it, for alerts. */
  label(): string
  onStream(state: StreamState): void
  /** Gives messages the ids that a channel of this kind reads out of them. */
  identify?(messages: readonly Message[]): readonly Message[]
  onMessages(messages: readonly Message[]): void
  /** What came before no longer counts: the server began anew, or for the reason given. */
  onRestart(why?: string): void
  /** The name of the state that it takes from another tab; undefined if it has one. */
  wanted(): string | undefined
  /** The state that it gives to another tab, by name. */
  given(): readonly [name: string, value: unknown] | undefined
  take(states: Readonly<Record<string, unknown>>): void
}

/** What a stream takes over from the tab that had it before. */
export interface StreamHistory {
  readonly filter: ReplayFilter
  readonly lastEventId: string
  /** Shown until the first attempt has an outcome, so that a take-over does not flicker. */
  readonly shown: StreamState
}

export interface StreamSource {
  state(): StreamState
  lastEventId(): string
  /** Whether the connection that is open resumed from an id. */
  resumed(): boolean
  role(): 'leader' | 'follower' | 'solo' | undefined
  /** Without a query. */
  endpoint(): string
  reconnects(): number
  duplicates(): number
  attach(sink: StreamSink): void
  detach(sink: StreamSink): void
  /** Connects now, whatever it was waiting for; a failed or complete stream starts again. */
  restart(): void
  /** What came after this id; undefined if it is not known. */
  since(id: string): readonly Message[] | undefined
  /** From now on this page serves itself. */
  separate?(): void
}

const DEFAULT_IDLE = 45_000
/** ms without an answer before a snapshot no longer waits for its stream to open. */
const LATE = 2_000

export function createStreamSource(
  target: Target,
  context: SourceContext,
  onEmpty: () => void,
  history?: Partial<StreamHistory>,
): StreamSource {
  const { clock, settings, counters, gate, sender, slots, alert } = context
  const filter = history?.filter ?? createReplayFilter(context.account)
  let shown = history?.shown?.name === 'open' ? history.shown : undefined
  /** A target function tells its URL only when it is asked, at the attempt: such a stream takes no slot. */
  const fixed = typeof target === 'function' ? undefined : (resolveTarget(target, settings.baseUrl) as ResolvedTarget)
  let endpoint = fixed ? endpointOf(fixed.method, fixed.url) : 'a stream whose URL is not known yet'
  let leaveSlot: (() => void) | undefined
  let withdrawClaim: (() => void) | undefined
  let connectedBefore = false
  let resumed = false
  let reconnects = 0
  let duplicates = 0
  let heldBack: PauseReason | undefined
  const audience = new Audience<StreamSink>(context, {
    whenHidden: (sink) => sink.streamWhenHidden(),
    settle,
    endpoint: () => endpoint,
  })
  const { sinks } = audience

  const stream = createEventStream({
    clock,
    backoff: settings.backoff,
    lastEventId: history?.lastEventId,
    lateAfter: LATE,
    maxEventBytes: () => Math.max(...[...sinks].map((sink) => sink.maxEventBytes())),
    endpoint: () => endpoint,
    idleTimeout(open, commented) {
      const given = [...sinks].map((sink) => sink.idleTimeout()).filter((idle) => idle !== undefined)
      const armed = given.filter((idle) => idle !== false)
      if (armed.length > 0) return (open || tellsHeadsLate()) && Math.min(...armed)
      return open && commented && given.length === 0 && DEFAULT_IDLE
    },
    async connect(signal, lastEventId, failures) {
      const first = !connectedBefore && ![...sinks].some((sink) => sink.again)
      if (connectedBefore) reconnects++
      connectedBefore = true
      const resolved = await resolveTarget(target, settings.baseUrl)
      const { url, method, request } = resolved
      const { href } = url
      endpoint = endpointOf(method, url)
      resumed = lastEventId !== ''
      const body = await bodyOf(resolved)
      const credentials = request.credentials ?? settings.credentials
      const [someone] = sinks
      return sender.send({
        input: href,
        url: href,
        init: { method, cache: 'no-store', ...(credentials && { credentials }), ...(body !== undefined && { body }) },
        headers: async () => streamHeaders(await headersOf(resolved), lastEventId),
        endpoint,
        kind: first ? 'foreground' : 'background',
        stream: true,
        label: someone?.label() ?? '',
        channel: someone?.key,
        priority: 'high',
        timeout: tellsHeadsLate() ? Infinity : DEFAULT_TIMEOUT,
        attempt: failures,
        signal,
      })
    },
    reclassify(error) {
      // A snapshot can be polled meanwhile: a proxy's page is no reason to give the stream up for good.
      if (error.code !== 'content-type' || ![...sinks].some((sink) => sink.hasFallback())) return error
      const { message, status } = error
      return new MillraceError('content-type', message, {
        status,
        endpoint,
        retryable: true,
        retryAfter: settings.backoff.cap,
      })
    },
    onMessages(messages) {
      let named = messages
      for (const sink of sinks) named = sink.identify?.(named) ?? named
      const [last, read] = [named.at(-1), messages.at(-1)]
      // An id that came behind them, in a block of its own, is the last one all the same.
      if (last && last !== read && read?.lastEventId === stream.lastEventId()) stream.moveTo(last.lastEventId)
      const { fresh, restarted } = filter.sift(named)
      duplicates += messages.length - fresh.length
      if (restarted) audience.each((sink) => sink.onRestart())
      if (fresh.length > 0) audience.each((sink) => sink.onMessages(fresh))
    },
    onChange(state) {
      if (state.name === 'open') filter.expectReplay()
      if (state.name === 'failed' || state.name === 'complete') freeSlot()
      tell()
    },
  })

  return {
    state: stateNow,
    lastEventId: () => stream.lastEventId(),
    resumed: () => resumed,
    role: () => 'solo',
    endpoint: () => endpoint,
    reconnects: () => reconnects,
    duplicates: () => duplicates,
    since: (id) => filter.since(id) ?? (id === stream.lastEventId() ? [] : undefined),
    attach(sink) {
      if (sinks.size > 0) counters.shared++
      else if (fixed) withdrawClaim = gate.claim(endpoint, () => 0)
      audience.add(sink)
    },
    detach(sink) {
      audience.delete(sink)
      if (sinks.size === 0) dispose()
    },
    restart() {
      stream.send('due')
      if (stream.state().name === 'failed' || stream.state().name === 'complete') begin()
    },
  }

  function dispose(): void {
    withdrawClaim?.()
    freeSlot()
    stream.send('stop')
    if (!history?.filter) filter.clear()
    onEmpty()
  }

  /** Runs if it may, pauses if it may not. */
  function settle(replace: boolean): void {
    const reason = audience.reason() ?? (settings.streaming ? undefined : 'disabled')
    const { name } = stream.state()
    if (reason) {
      const wasHeldBack = heldBack
      heldBack = reason
      freeSlot()
      if (name !== 'paused' && name !== 'idle') stream.send('pause')
      else if (wasHeldBack !== reason) tell()
    } else if (heldBack || name === 'idle') begin()
    else if (replace) stream.send('replace')
  }

  /** Takes a slot of the origin, then connects. */
  function begin(): void {
    if (!fixed) return go()
    if (leaveSlot) return
    leaveSlot = slots.enter(fixed.url.origin, () => settings.limits.streams, go, waitForSlot)
  }

  function waitForSlot(): void {
    heldBack = 'stream-limit'
    const limit = settings.limits.streams
    const message = `${endpoint} waits: ${limit} streams to this origin are open, and browsers allow six connections. Channels with a snapshot poll meanwhile. Put several channels on one stream, serve over HTTP/2, or raise \`limits.streams\`.`
    alert({ code: 'stream-limit', message, endpoint, value: limit + 1, limit })
    tell()
  }

  function go(): void {
    heldBack = undefined
    stream.send(stream.state().name === 'paused' ? 'resume' : 'start')
  }

  function freeSlot(): void {
    const leave = leaveSlot
    leaveSlot = undefined
    leave?.()
  }

  function stateNow(): StreamState {
    const state = stream.state()
    if (state.name !== 'idle' && (state.name !== 'connecting' || state.failures > 0)) shown = undefined
    return heldBack ? { name: 'held-back', by: heldBack } : (shown ?? state)
  }

  function tell(): void {
    const state = stateNow()
    audience.each((sink) => sink.onStream(state))
  }
}
