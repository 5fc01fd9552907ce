/**
 * One stream for all channels that want it: its connection, its cursor, its replay filter. A channel does not care
 * whether messages come from the network or from another tab.
 */
import { tellsHeadsLate } from '../primitives/environment'
import { MillraceError } from '../primitives/errors'
import { isOffline } from '../primitives/platform'
import { endpointOf } from '../primitives/url'
import { createEventStream, type Reconnect, reconnectOf } from '../stream/event-stream'
import type { Message } from '../stream/messages'
import type { ReconnectionState } from '../stream/reconnection'
import { hasLostHistory, streamHeaders } from '../stream/stream-http'
import { Audience } from './audience'
import { type ConditionChange, type HeldBack, heldBackState, type PauseReason } from './conditions'
import { createReplayFilter, type ReplayFilter } from './replay-filter'
import type { SourceContext } from './source-context'
import { bodyOf, fixedTarget, headersOf, resolveTarget, type Target } from './target'

export type StreamState = ReconnectionState | HeldBack

/** What a channel asks of its stream, and is told by it. */
export interface StreamSink {
  readonly key: string
  /** It wanted the stream before: connecting is background work. */
  readonly again: boolean
  /** ms; undefined: 45 s, from the first comment on. */
  idleTimeout(): number | false | undefined
  maxEventBytes(): number
  /** ms that an answer's head is waited for; undefined: as long as it takes. */
  connectTimeout(): number | undefined
  /** Whether it may be asked again by itself; undefined: as its method has it. */
  reconnect(): Reconnect | undefined
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
  /** Events are missing, or have come twice; what came before still counts. */
  onGap(why: string): void
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
  /** If it is open it is shown for a moment more, so that a take-over does not flicker. */
  readonly shown: StreamState
  /** Events have come already. */
  readonly hasPast?: boolean
  /** The other tab had asked: where that may not be done twice, it is not done here. */
  readonly asked?: boolean
}

/** Hears all that a stream brings, before any channel does: one that has heard the last word leaves. */
export type Relay = Pick<StreamSink, 'onStream' | 'onMessages' | 'onRestart' | 'onGap'>

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
  /** Somebody asks: connects now, whatever it was waiting for; a failed or complete stream starts again. */
  restart(): void
  /** Its next attempt is due: makes it, if it is late with that. */
  hurry?(): void
  /** Why it will not be asked again by itself; undefined if it may. */
  spent(): MillraceError | undefined
  /** What came after this id; undefined if it is not known. */
  since(id: string): readonly Message[] | undefined
  /** From now on this page serves itself. */
  separate?(): void
}

const DEFAULT_IDLE = 45_000
/** ms without an answer before a snapshot no longer waits for its stream to open. */
const LATE = 2_000
/** ms without an answer before a stream says so, and is stood in for by polls. */
const OVERDUE = 15_000
/** ms that an end which is no outage may last: until then nobody is told of it. */
const FLICKER = 2_000

/** From the strictest on: what may not be asked twice for one channel, may not for another. */
const STRICTEST: readonly Reconnect[] = ['never', 'resume', 'always']

export function createStreamSource(
  target: Target,
  context: SourceContext,
  onEmpty: () => void,
  history?: Partial<StreamHistory>,
  relay?: Relay,
): StreamSource {
  const { clock, settings, counters, gate, sender, slots, alert } = context
  const filter = history?.filter ?? createReplayFilter(context.account, clock.elapsed)
  const fixed = typeof target === 'function' ? undefined : fixedTarget(target, settings.baseUrl)
  let method = fixed?.method ?? 'GET'
  let endpoint = fixed ? endpointOf(method, fixed.url) : 'a stream whose URL is not known yet'
  let withdrawClaim: (() => void) | undefined
  let connectedBefore = false
  let hasPast = history !== undefined && (history.hasPast === true || !!history.lastEventId)
  let resumed = false
  /** When the browser said that it is offline, while it says so. */
  let cutOffAt: number | undefined
  let reconnects = 0
  let duplicates = 0
  let heldBack: PauseReason | undefined
  /** It waits for one of the origin's slots. */
  let isInLine = false
  /** Shown in place of what is, for a moment. */
  let shown: StreamState | undefined
  let lastOpen: StreamState | undefined
  let stopShowing = () => {}
  let told: StreamState | undefined
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
    asked: history?.asked,
    lateAfter: LATE,
    overdueAfter: tellsHeadsLate() ? undefined : OVERDUE,
    connectTimeout: () => least([...sinks].map((sink) => sink.connectTimeout())),
    reconnect() {
      const wanted = [...sinks].map((sink) => sink.reconnect())
      return STRICTEST.find((each) => wanted.includes(each)) ?? reconnectOf(method)
    },
    maxEventBytes: () => Math.max(...[...sinks].map((sink) => sink.maxEventBytes())),
    endpoint: () => endpoint,
    idleTimeout(open, commented) {
      const given = [...sinks].map((sink) => sink.idleTimeout()).filter((idle) => idle !== undefined)
      const armed = given.filter((idle) => idle !== false)
      if (armed.length > 0) return (open || tellsHeadsLate()) && Math.min(...armed)
      return open && commented && given.length === 0 && DEFAULT_IDLE
    },
    async connect(signal, lastEventId, failures, sent) {
      const first = !connectedBefore && ![...sinks].some((sink) => sink.again)
      if (connectedBefore) reconnects++
      connectedBefore = true
      const [someone] = sinks
      const owner = { clock, of: someone?.key || endpoint }
      const resolved = fixed ?? (await resolveTarget(target, settings.baseUrl, owner))
      const { url, request } = resolved
      const { href } = url
      method = resolved.method
      endpoint = endpointOf(method, url)
      await slot(url.origin, signal)
      const body = await bodyOf(resolved, owner)
      const { credentials } = request
      const response = await sender.send({
        input: href,
        url: href,
        init: { method, cache: 'no-store', ...(credentials && { credentials }), ...(body !== undefined && { body }) },
        headers: async () => streamHeaders(await headersOf(resolved, owner), lastEventId),
        endpoint,
        kind: first ? 'foreground' : 'background',
        stream: true,
        label: someone?.label() ?? '',
        channel: someone?.key,
        attempt: failures,
        signal,
        onSent: sent,
      })
      resumed = lastEventId !== '' && !hasLostHistory(response, lastEventId)
      return response
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
      // It is alive, whatever the browser says.
      if (cutOffAt !== undefined) tell()
      const { fresh, restarted, doubled } = filter.sift(named)
      duplicates += messages.length - fresh.length
      hasPast = true
      if (restarted) each((sink) => sink.onRestart())
      if (doubled) each((sink) => sink.onGap('the server has sent again what is longer ago than is remembered'))
      if (fresh.length > 0) each((sink) => sink.onMessages(fresh))
    },
    onChange(state) {
      const { name } = state
      if (name === 'open') {
        filter.expectReplay()
        lastOpen = state
      }
      if (name === 'waiting' && state.planned) show(lastOpen)
      else if (name !== 'connecting' && !(name === 'waiting' && shown === lastOpen)) show(undefined)
      tell()
      if (name === 'open' && hasPast && !resumed) tellLoss()
    },
  })
  if (history?.shown?.name === 'open') show(history.shown)

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
      // It may want to be told sooner that the connection is dead.
      if (sinks.size > 1 && sink.idleTimeout() !== undefined) stream.watchSilence()
    },
    detach(sink) {
      audience.delete(sink)
      if (sinks.size === 0) dispose()
    },
    restart() {
      const { name } = stream.state()
      stream.renew()
      stream.send(name === 'failed' || name === 'complete' ? 'start' : 'due')
    },
    hurry: () => stream.send('due'),
    spent: stream.spent,
  }

  function dispose(): void {
    withdrawClaim?.()
    show(undefined)
    stream.send('stop')
    if (!history?.filter) filter.clear()
    onEmpty()
  }

  /** Runs if it may, pauses if it may not. */
  function settle(change: ConditionChange): void {
    const reason = audience.reason() ?? (settings.streaming ? undefined : 'disabled')
    const { name } = stream.state()
    heldBack = reason
    if (isOffline()) cutOffAt ??= clock.elapsed()
    if (reason) {
      if (name !== 'paused' && name !== 'idle') stream.send('pause')
    } else if (name === 'idle') stream.send('start')
    else if (name === 'paused') stream.send('resume')
    else if (change === 'replace') stream.send('replace')
    else if (change === 'online') stream.send(isCutOff() && !stream.spent() ? 'replace' : 'due')
    if (!isOffline()) cutOffAt = undefined
    tell()
  }

  /** It was open when the network went, and has brought nothing since: nobody would say that it is dead. */
  function isCutOff(): boolean {
    return cutOffAt !== undefined && stream.state().name === 'open' && stream.lastByteAt() <= cutOffAt
  }

  /** One of the origin's, from here to the end of the connection: who has no connection takes none. */
  function slot(origin: string, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason)
      const { streams } = settings.limits
      const wait = (isWaiting: boolean) => {
        if (isInLine === isWaiting) return
        isInLine = isWaiting
        tell()
      }
      const onSlot = () => {
        wait(false)
        resolve()
      }
      const onWait = () => {
        const message = `${origin} has ${streams} streams open, and browsers allow six connections: "${endpoint}" waits. Channels with a snapshot poll meanwhile. Put several channels on one stream, serve over HTTP/2, or raise \`limits.streams\`.`
        alert({ code: 'stream-limit', message, endpoint: origin, value: streams + 1, limit: streams })
        wait(true)
      }
      const leave = slots.enter(origin, () => settings.limits.streams, onSlot, onWait)
      signal.addEventListener('abort', () => {
        isInLine = false
        leave()
        reject(signal.reason)
      })
    })
  }

  function show(state: StreamState | undefined): void {
    stopShowing()
    shown = state
    if (!state) return
    const end = () => {
      shown = undefined
      tell()
    }
    stopShowing = clock.after(FLICKER, end, `flicker ${endpoint}`, true)
  }

  function stateNow(): StreamState {
    if (heldBack) return heldBackState(heldBack)
    if (shown) return shown
    if (isInLine) return heldBackState('stream-limit')
    const state = stream.state()
    const isWaiting = state.name === 'connecting' || state.name === 'waiting' || isCutOff()
    return isWaiting && isOffline() ? heldBackState('offline') : state
  }

  function tell(): void {
    const state = stateNow()
    if (state === told) return
    told = state
    each((sink) => sink.onStream(state))
  }

  function tellLoss(): void {
    const why = stream.lastEventId() === '' ? 'names no ids to resume from' : 'no longer knows the last id'
    each((sink) => sink.onGap(`its server ${why}: what came while there was no connection is lost`))
  }

  function each(run: (sink: Relay) => void): void {
    // That everybody has left is no news of the stream.
    if (relay && sinks.size > 0) run(relay)
    audience.each(run)
  }
}

function least(given: readonly (number | undefined)[]): number | undefined {
  const ms = given.filter((each) => each !== undefined)
  return ms.length > 0 ? Math.min(...ms) : undefined
}
