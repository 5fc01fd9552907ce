/**
 * One stream for all channels that want it: its connection, its cursor, its replay filter. A channel does not care
 * whether messages come from the network or from another tab.
 */
import { tellsHeadsLate } from '../primitives/environment'
import { MillraceError } from '../primitives/errors'
import { isOffline } from '../primitives/platform'
import { endpointOf } from '../primitives/url'
import { createEventStream, type EventStream, type Reconnect, reconnectOf } from '../stream/event-stream'
import type { Message } from '../stream/messages'
import type { ReconnectionState } from '../stream/reconnection'
import { hasLostHistory, streamHeaders } from '../stream/stream-http'
import { type ConditionChange, type HeldBack, heldBackState, type PauseReason } from './conditions'
import { Listeners, least } from './listeners'
import { createReplayFilter } from './replay-filter'
import type { Role } from './snapshot'
import type { SourceContext } from './source-context'
import type { Sharing } from './tabs/arrival'
import { fixedTarget, headersOf, initOf, resolveTarget, type Target } from './target'

export type StreamState = ReconnectionState | HeldBack

/** What a channel's definition says of its stream. */
export interface StreamOptions {
  /** ms. @defaultValue 45_000, from the first comment on */
  readonly idleTimeout?: number | false | undefined
  readonly maxEventBytes?: number | undefined
  /** ms that an answer's head is waited for. @defaultValue as long as it takes */
  readonly connectTimeout?: number | undefined
  /** Whether it may be asked again by itself. @defaultValue as its method has it */
  readonly reconnect?: Reconnect | undefined
  readonly whenHidden?: 'keep' | 'pause' | undefined
  /** What may be polled while the stream cannot be had. */
  readonly snapshot?: unknown
  readonly fallback?: 'poll' | 'none' | undefined
}

/** Whether there is a snapshot to poll while the stream cannot be had. */
export const hasFallback = ({ snapshot, fallback }: StreamOptions): boolean =>
  snapshot !== undefined && fallback !== 'none'

/** What a channel asks of its stream, and is told by it. */
export interface StreamSink {
  readonly key: string
  /** It wanted the stream before: connecting is background work. */
  readonly again: boolean
  /** How it wants it: read at every use. */
  readonly definition: StreamOptions
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
  wanted?(): string | undefined
  /** The state that it gives to another tab, by name. */
  given?(): readonly [name: string, value: unknown] | undefined
  take?(states: Readonly<Record<string, unknown>>): void
}

export interface StreamSource {
  state(): StreamState
  lastEventId(): string
  /** Whether the connection that is open resumed from an id. */
  resumed(): boolean
  role(): Role
  /** Without a query. */
  endpoint(): string
  reconnects(): number
  duplicates(): number
  attach(sink: StreamSink): void
  detach(sink: StreamSink): void
  /** Somebody asks: connects now, whatever it was waiting for; a failed or complete stream starts again. */
  restart(): void
  /** Why it will not be asked again by itself; undefined if it may. */
  spent(): MillraceError | undefined
  /** What came after this id; undefined if it is not known. */
  since(id: string): readonly Message[] | undefined
  /** From now on this page serves itself. */
  separate?(): void
  /** What it takes to share with other tabs is here, or late. */
  reconsider?(): void
}

/** What other tabs may make of a stream. */
export interface StreamCore {
  readonly sinks: ReadonlySet<StreamSink>
  endpoint(): string
  state(): StreamState
  resumed(): boolean
  /** Whether anything ever came. */
  hasPast(): boolean
  /** The last id that was applied. */
  cursor(): string
  seek(id: string): void
  since(id: string): readonly Message[] | undefined
  /** From now on this tab has the connection that is shown, from its cursor on. */
  lead(): void
  /** A connection that is not shown, from its cursor on. */
  run(): void
  halt(): void
  /** Takes no part for now. */
  rest(): void
  /** Whether this tab's own connection is shown. */
  isShown(): boolean
  /** What another tab's connection is like. */
  mirror(state: StreamState, resumed: boolean, hasPast?: boolean): void
  /** What another tab's connection has brought. */
  receive(messages: readonly Message[], isReplay: boolean): void
  /** The server began anew, or what is known does not lead to what comes. */
  startOver(why?: string): void
  forget(): void
  onGap(why: string): void
  restart(): void
  hurry(): void
  /** Nobody needs any more what cannot be asked again. */
  letGo(): void
  tell(): void
}

/** What makes one of the streams of several tabs. It hears all that a connection brings before any channel does. */
export interface StreamShare {
  role(): Role
  leads(): boolean
  join(): void
  park(): void
  separate(): void
  /** Somebody has come who may want what other tabs know. */
  greet(): void
  restart(): void
  /** ms that an answer's head is waited for; undefined: as its channels say. */
  connectTimeout(): number | undefined
  hasFollowers(): boolean
  onConnection(state: ReconnectionState): void
  onState(state: StreamState): void
  onMessages(messages: readonly Message[], restarted: boolean): void
  onGap(why: string): void
}

/** Stands in for the channels that have left, while other tabs follow what cannot be asked again. */
const keeper: StreamSink = {
  key: '',
  again: false,
  definition: {},
  label: () => '',
  onStream() {},
  onMessages() {},
  onRestart() {},
  onGap() {},
}

const nothing = (): void => {}
const whenHidden = ({ definition }: StreamSink): 'keep' | 'pause' => definition.whenHidden ?? 'keep'
const idle: StreamState = { name: 'idle' }
const DEFAULT_IDLE = 45_000
const DEFAULT_EVENT_BYTES = 2 ** 20
/** ms without an answer before a snapshot no longer waits for its stream to open. */
const LATE = 2_000
/** ms without an answer before a stream says so, and is stood in for by polls. */
const OVERDUE = 15_000
/** ms that an end which is no outage may last: until then nobody is told of it. */
const FLICKER = 2_000

/** From the strictest on: what may not be asked twice for one channel, may not for another. */
const STRICTEST: readonly Reconnect[] = ['never', 'resume', 'always']

export function createStream(
  target: Target,
  context: SourceContext,
  onEmpty: () => void,
  from: string,
  tabs?: Sharing<StreamCore, StreamShare>,
): StreamSource {
  const { clock, settings, counters, gate, sender, slots, alert } = context
  const filter = createReplayFilter(context.account, clock.elapsed)
  const fixed = typeof target === 'function' ? undefined : fixedTarget(target, settings.baseUrl)
  let method = fixed?.method ?? 'GET'
  let endpoint = fixed ? endpointOf(method, fixed.url) : 'a stream whose URL is not known yet'
  let withdrawClaim = nothing
  let connectedBefore = false
  let hasPast = from !== ''
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
  let stopShowing = nothing
  /** While another tab has the connection: what that is like. */
  let elsewhere: StreamState | undefined
  /** Another tab had asked: where that may not be done twice, it is not done here. */
  let hasAsked = false
  let told: StreamState | undefined
  const endpointNow = () => endpoint
  const listeners = new Listeners<StreamSink>(context, whenHidden, { settle, endpoint: endpointNow })
  const sinks = listeners.all
  let stream = createConnection(from)
  let sharing = tabs
  let share = sharing?.share(coreOf)
  if (sharing) elsewhere = idle

  return {
    state: stateNow,
    lastEventId: () => stream.lastEventId(),
    resumed: () => resumed,
    role: () => (share ? share.role() : elsewhere ? undefined : 'solo'),
    endpoint: endpointNow,
    reconnects: () => reconnects,
    duplicates: () => duplicates,
    since,
    attach,
    detach,
    restart,
    spent,
    ...(tabs && {
      separate() {
        if (share) return share.separate()
        sharing = undefined
        settle('now')
      },
      reconsider() {
        share ??= sharing?.share(coreOf)
        settle('now')
      },
    }),
  }

  function attach(sink: StreamSink): void {
    if (sinks.size > 0) {
      counters.shared++
      share?.greet()
    } else if (fixed) withdrawClaim = gate.claim(endpoint, () => 0)
    listeners.add(sink)
    // It may want to be told sooner that the connection is dead.
    if (sinks.size > 1 && sink.definition.idleTimeout !== undefined) stream.watchSilence()
  }

  function detach(sink: StreamSink): void {
    // What cannot be asked again this tab goes on with for the others.
    const isLast = sinks.size === 1 && sinks.has(sink) && sink !== keeper
    if (isLast && share?.hasFollowers() && stream.spent()) attach(keeper)
    if (!listeners.delete(sink)) return
    withdrawClaim()
    show(undefined)
    share?.park()
    stream.send('stop')
    filter.clear()
    onEmpty()
  }

  /** Runs if it may, pauses if it may not. */
  function settle(change: ConditionChange): void {
    heldBack = listeners.reason() ?? (settings.streaming ? undefined : 'disabled')
    if (isOffline()) cutOffAt ??= clock.elapsed()
    const { name } = stream.state()
    if (heldBack) {
      if (share) share.park()
      else if (name !== 'idle') stream.send('pause')
    } else {
      // Takes part while it may; what may not run here is left to the other tabs.
      if (share) share.join()
      else if (!sharing?.waits()) {
        elsewhere = undefined
        if (name === 'idle') stream.send('start')
        else if (name === 'paused') stream.send('resume')
      }
      if (change === 'replace') stream.send('replace')
      else if (change === 'online') stream.send(isCutOff() && !stream.spent() ? 'replace' : 'due')
    }
    if (!isOffline()) cutOffAt = undefined
    tell()
  }

  /** Somebody asks: whatever it waited for, and whatever may not be done twice by itself. */
  function restart(): void {
    if (share && elsewhere) return share.restart()
    const { name } = stream.state()
    stream.renew()
    stream.send(name === 'failed' || name === 'complete' ? 'start' : 'due')
  }

  /** It was open when the network went, and has brought nothing since: nobody would say that it is dead. */
  function isCutOff(): boolean {
    return cutOffAt !== undefined && stream.state().name === 'open' && stream.lastByteAt() <= cutOffAt
  }

  function createConnection(lastEventId: string): EventStream {
    const connection = createEventStream({
      clock,
      backoff: settings.backoff,
      lastEventId,
      asked: hasAsked,
      lateAfter: LATE,
      overdueAfter: tellsHeadsLate() ? undefined : OVERDUE,
      connectTimeout: () =>
        share?.connectTimeout() ?? least(listeners.map(({ definition }) => definition.connectTimeout)),
      reconnect() {
        const wanted = listeners.map(({ definition }) => definition.reconnect)
        return STRICTEST.find((each) => wanted.includes(each)) ?? reconnectOf(method)
      },
      maxEventBytes: () =>
        Math.max(...listeners.map(({ definition }) => definition.maxEventBytes ?? DEFAULT_EVENT_BYTES)),
      endpoint: endpointNow,
      idleTimeout(open, commented) {
        const given = listeners.map(({ definition }) => definition.idleTimeout).filter((idle) => idle !== undefined)
        const armed = given.filter((idle) => idle !== false)
        if (armed.length > 0) return (open || tellsHeadsLate()) && Math.min(...armed)
        return open && commented && given.length === 0 && DEFAULT_IDLE
      },
      connect,
      reclassify(error) {
        // A snapshot can be polled meanwhile: a proxy's page is no reason to give the stream up for good.
        if (error.code !== 'content-type' || !listeners.map(({ definition }) => hasFallback(definition)).includes(true))
          return error
        const { message, status } = error
        const retryAfter = settings.backoff.cap
        return new MillraceError('content-type', message, { status, endpoint, retryable: true, retryAfter })
      },
      onMessages,
      onChange(state) {
        if (connection === stream) onChange(state)
      },
    })
    return connection
  }

  async function connect(
    signal: AbortSignal,
    lastEventId: string,
    failures: number,
    sent: () => void,
  ): Promise<Response> {
    const first = !connectedBefore && !listeners.map((sink) => sink.again).includes(true)
    if (connectedBefore) reconnects++
    connectedBefore = true
    const [someone] = sinks
    const owner = { clock, of: someone?.key || endpoint }
    const resolved = fixed ?? (await resolveTarget(target, settings.baseUrl, owner))
    const { url } = resolved
    const { href } = url
    method = resolved.method
    endpoint = endpointOf(method, url)
    await slot(url.origin, signal)
    const init = await initOf(resolved, owner)
    const response = await sender.send({
      input: href,
      url: href,
      init: { ...init, cache: 'no-store' },
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
  }

  function onMessages(messages: readonly Message[]): void {
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
    if (restarted) listeners.each((sink) => sink.onRestart())
    if (doubled) tellGap('the server has sent again what is no longer remembered')
    if (fresh.length === 0) return
    share?.onMessages(fresh, restarted)
    listeners.each((sink) => sink.onMessages(fresh))
  }

  function onChange(state: ReconnectionState): void {
    const { name } = state
    if (name === 'open') {
      filter.expectReplay()
      lastOpen = state
    }
    if (name === 'waiting' && state.planned) show(lastOpen)
    else if (name !== 'connecting' && !(name === 'waiting' && shown === lastOpen)) show(undefined)
    share?.onConnection(state)
    tell()
    if (name !== 'open' || !hasPast || resumed) return
    const why = stream.lastEventId() === '' ? 'names no ids to resume from' : 'no longer knows the last id'
    tellGap(`its server ${why}: what came meanwhile is lost`)
  }

  /** One of the origin's, from here to the end of the connection: who has no connection takes none. */
  async function slot(origin: string, signal: AbortSignal): Promise<void> {
    const { streams } = settings.limits
    const onWait = () => {
      const message = `${origin} has ${streams} streams open, of six connections that browsers allow: "${endpoint}" waits. Put several channels on one stream, serve over HTTP/2, or raise \`limits.streams\`.`
      alert({ code: 'stream-limit', message, endpoint: origin, value: streams + 1, limit: streams })
      isInLine = true
      tell()
    }
    signal.addEventListener('abort', () => {
      isInLine = false
    })
    await slots.take(origin, () => settings.limits.streams, signal, onWait)
    if (!isInLine) return
    isInLine = false
    tell()
  }

  function spent(): MillraceError | undefined {
    return (elsewhere ? createConnection(stream.lastEventId()) : stream).spent()
  }

  function since(id: string): readonly Message[] | undefined {
    return filter.since(id) ?? (id === stream.lastEventId() ? [] : undefined)
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
    if (elsewhere) return elsewhere
    if (shown) return shown
    if (isInLine) return heldBackState('stream-limit')
    const state = stream.state()
    const isWaiting = state.name === 'connecting' || state.name === 'waiting' || isCutOff()
    return isWaiting && isOffline() ? heldBackState('offline') : state
  }

  function tell(isNews = false): void {
    const state = stateNow()
    if (state === told && !isNews) return
    told = state
    // That everybody has left is no news of the stream.
    if (sinks.size > 0 && !elsewhere) share?.onState(state)
    listeners.each((sink) => sink.onStream(state))
  }

  function tellGap(why: string): void {
    share?.onGap(why)
    listeners.each((sink) => sink.onGap(why))
  }

  /** What it takes to share: made for those who do, since there are thousands who do not. */
  function coreOf(): StreamCore {
    return {
      sinks,
      endpoint: endpointNow,
      state: stateNow,
      resumed: () => resumed,
      hasPast: () => hasPast,
      cursor: () => stream.lastEventId(),
      seek: (id) => stream.moveTo(id),
      since,
      lead,
      run,
      halt,
      rest,
      isShown: () => !elsewhere,
      mirror,
      receive,
      startOver: (why) => listeners.each((sink) => sink.onRestart(why)),
      forget: () => filter.clear(),
      onGap: (why) => listeners.each((sink) => sink.onGap(why)),
      restart,
      hurry: () => stream.send('due'),
      letGo,
      tell: () => tell(true),
    }

    function halt(): void {
      if (!elsewhere) {
        elsewhere = stateNow()
        hasAsked = stream.spent() !== undefined
        resumed = true
      }
      show(undefined)
      stream.send('stop')
    }

    function rest(): void {
      halt()
      elsewhere = idle
      letGo()
    }

    function letGo(): void {
      if (sinks.has(keeper)) detach(keeper)
    }

    /** A take-over does not flicker: what was open is shown for a moment more. */
    function lead(): void {
      const before = elsewhere
      // It has gone on alone until now.
      if (!before) return
      elsewhere = undefined
      shown = before.name === 'open' ? before : undefined
      run()
    }

    function run(): void {
      const before = stream
      if (!elsewhere) {
        const now = stateNow()
        show(now.name === 'open' ? now : undefined)
      }
      connectedBefore = false
      stream = createConnection(before.lastEventId())
      before.send('stop')
      stream.send('start')
    }

    function mirror(state: StreamState, isResumed: boolean, isPast = false): void {
      if (!elsewhere) return
      elsewhere = state
      hasPast ||= isPast
      hasAsked = state.name === 'open' || state.name === 'connecting'
      resumed = isResumed
      tell()
    }

    function receive(messages: readonly Message[], isReplay: boolean): void {
      if (isReplay) filter.expectReplay()
      const { fresh } = filter.sift(messages)
      duplicates += messages.length - fresh.length
      const last = fresh.at(-1)
      if (!last) return
      if (last.lastEventId) stream.moveTo(last.lastEventId)
      hasPast = true
      share?.onMessages(fresh, false)
      listeners.each((sink) => sink.onMessages(fresh))
    }
  }
}
