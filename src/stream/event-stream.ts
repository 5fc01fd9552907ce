/**
 * One logical stream over many connections: the shell around the reconnection machine. It reads bytes into messages,
 * watches for silence and keeps the last event id. A connection is its abort signal: whatever a replaced one still does
 * finds it aborted, and is dead.
 */
import type { BackoffOptions } from '../primitives/backoff'
import type { Timers } from '../primitives/clock'
import { isMillraceError, type MillraceError } from '../primitives/errors'
import { networkError, requestError } from '../primitives/http'
import { isOffline } from '../primitives/platform'
import { createMessageReader, type Message, type StreamMemory } from './messages'
import { createReconnection, type ReconnectionEvent, type ReconnectionState } from './reconnection'
import { isStream, LONGEST_ID, readerOf } from './stream-http'

/**
 * Whether a stream that broke off is asked again: `resume` only from an id that the server has named, `never` not at all.
 */
export type Reconnect = 'always' | 'resume' | 'never'

/** What a method's streams do unless they are told otherwise: a request that may have an effect is sent once. */
export const reconnectOf = (method: string): Reconnect => (method === 'GET' ? 'always' : 'resume')

export interface EventStreamOptions {
  readonly clock: Timers
  readonly backoff: BackoffOptions
  readonly lastEventId?: string | undefined
  /** It was asked before, by somebody else. */
  readonly asked?: boolean | undefined
  /** Names the request in errors and timers; asked when needed, since a target may change. */
  readonly endpoint: () => string
  /**
   * Sends the request and resolves with its answer's head; `failures`: failed attempts in a row before this one. Calls
   * `sent` when the request goes out: what fails before that was never asked.
   */
  readonly connect: (signal: AbortSignal, lastEventId: string, failures: number, sent: () => void) => Promise<Response>
  readonly reconnect: () => Reconnect
  /** ms that an answer's head is waited for. */
  readonly connectTimeout?: () => number | undefined
  /** Asked at each connection. */
  readonly maxEventBytes: () => number
  /**
   * ms without a byte before the connection counts as dead, if that is watched. `open`: the answer is here;
   * `commented`: the stream has sent a comment, now or on an earlier connection.
   */
  readonly idleTimeout: (open: boolean, commented: boolean) => number | false | undefined
  /** ms without an answer before a connection counts as late. */
  readonly lateAfter?: number
  /** ms without an answer before a connection says so, by an error: it is waited for all the same. */
  readonly overdueAfter?: number | undefined
  /** After each change of state. */
  readonly onChange: (state: ReconnectionState) => void
  /** Once per network chunk that completed messages. */
  readonly onMessages: (messages: readonly Message[]) => void
  /** A last look at an error before it is acted on. */
  readonly reclassify?: (error: MillraceError) => MillraceError
}

export interface EventStream {
  state(): ReconnectionState
  lastEventId(): string
  /** When the connection brought something last, or was opened; by the clock's second hand. */
  lastByteAt(): number
  /** The last id is another one: it stands in the data. */
  moveTo(id: string): void
  send(type: 'start' | 'due' | 'pause' | 'resume' | 'replace' | 'stop'): void
  /** To be called when `idleTimeout` may answer otherwise than before. */
  watchSilence(): void
  /** Somebody asks for it: it may be asked once more, whatever `reconnect` says. */
  renew(): void
  /** Why it will not be asked again by itself; undefined if it may. */
  spent(): MillraceError | undefined
}

/** Answers that say "not now" of a request that was not acted on (RFC 9110, 6585, 8470). */
const NOT_NOW = [408, 425, 429, 503]

export function createEventStream(options: EventStreamOptions): EventStream {
  const { clock, endpoint } = options
  const step = createReconnection(options.backoff)
  const memory: StreamMemory = { lastEventId: options.lastEventId ?? '', retry: 0, commented: false }
  let state: ReconnectionState = { name: 'idle' }
  let connection = new AbortController()
  let lastByteAt = 0
  let openedAt = 0
  /** Since it was asked last: what an answer that cannot be had again has brought. */
  let asked = options.asked === true
  let bytes = 0
  let events = 0
  let stopTimer = () => {}
  let headTimers: (() => void)[] = []
  const effects = { connect, sleep, disconnect: () => connection.abort() }

  return {
    state: () => state,
    lastEventId: () => memory.lastEventId,
    lastByteAt: () => lastByteAt,
    moveTo(id) {
      if (id.length <= LONGEST_ID) memory.lastEventId = id
    },
    send: (type) => go({ type }),
    renew() {
      asked = false
    },
    spent,
    watchSilence,
  }

  function go(event: ReconnectionEvent): void {
    const next = step(state, event, clock.now())
    if (next.state === state) return
    if (next.state.name !== state.name || next.effects.length > 0) stopTimer()
    state = next.state
    if (state.name !== 'connecting') stopHeadTimers()
    for (const effect of next.effects) effects[effect]()
    options.onChange(state)
  }

  function wake(ms: number, what: string, run: () => void, unref?: boolean): void {
    stopTimer()
    stopTimer = clock.after(ms, run, `${what} ${endpoint()}`, unref)
  }

  function sleep(): void {
    if (state.name === 'waiting') wake(state.delay, 'reconnect', () => go({ type: 'due' }))
  }

  function connect(): void {
    connection = new AbortController()
    const { signal } = connection
    lastByteAt = clock.elapsed()
    bytes = events = 0
    stopHeadTimers()
    whileNoHead(options.lateAfter, 'late answer', () => go({ type: 'late' }))
    watchSilence()
    live(signal).catch((error: unknown) => {
      if (!signal.aborted) fail(error)
    })
  }

  function whileNoHead(ms: number | undefined, what: string, run: () => void): void {
    if (ms !== undefined) headTimers.push(clock.after(ms, run, `${what} ${endpoint()}`, true))
  }

  function stopHeadTimers(): void {
    for (const stop of headTimers) stop()
    headTimers = []
  }

  function sent(): void {
    asked = true
    const { overdueAfter } = options
    whileNoHead(overdueAfter, 'overdue answer', () => {
      const what = `has not answered for ${overdueAfter} ms. It is waited for, since some servers answer with their first event; \`connectTimeout\` gives up.`
      go({ type: 'overdue', error: requestError('timeout', endpoint(), what, { retryable: true }) })
    })
    const most = options.connectTimeout?.()
    whileNoHead(most, 'timeout', () =>
      fail(networkError(endpoint(), `did not answer within ${most} ms`, undefined, 'timeout')),
    )
  }

  /** Runs until the connection is over, and rejects with the reason unless the server has ended the stream for good. */
  async function live(signal: AbortSignal): Promise<void> {
    const why = spent()
    if (why) throw why
    const failures = 'failures' in state ? state.failures : 0
    const response = await options.connect(signal, memory.lastEventId, failures, () => signal.aborted || sent())
    let reader: ReadableStreamDefaultReader<Uint8Array> | undefined
    // Also of an answer that nobody reads, and where `fetch` does not heed its signal.
    const cancel = () => void (reader ?? response.body)?.cancel?.().catch(() => {})
    if (signal.aborted) return cancel()
    signal.addEventListener('abort', cancel)
    if (!isStream(response, endpoint(), clock.now())) return go({ type: 'finished' })

    reader = readerOf(response, endpoint())
    const read = createMessageReader(memory, options.maxEventBytes(), endpoint(), (messages) => {
      events += messages.length
      options.onMessages(messages)
    })
    openedAt = lastByteAt = clock.elapsed()
    go({ type: 'opened' })
    watchSilence()
    for (;;) {
      const chunk = await reader?.read()
      if (signal.aborted) return
      if (!chunk?.value) return fail(networkError(endpoint(), 'ended the stream'), true)
      lastByteAt = clock.elapsed()
      if (bytes === 0) go({ type: 'alive' })
      bytes += chunk.value.length
      const { commented } = memory
      read(chunk.value)
      if (memory.commented !== commented) watchSilence()
    }
  }

  /** One timer that looks again when the silence could be long enough, not one per chunk. */
  function watchSilence(): void {
    const ms = options.idleTimeout(state.name === 'open', memory.commented)
    if (!ms || !('since' in state)) return
    const left = lastByteAt + ms - clock.elapsed()
    if (left > 0) return wake(left, 'idle watch', watchSilence, true)
    fail(networkError(endpoint(), `sent nothing for ${ms} ms: the connection is taken for dead`, undefined, 'idle'))
  }

  /** `ended`: by the server, in good order. */
  function fail(thrown: unknown, ended = false): void {
    const what = state.name === 'open' ? 'lost the connection' : 'could not be reached'
    const known = isMillraceError(thrown) ? thrown : networkError(endpoint(), what, thrown)
    // It was answered, and not acted on.
    if (NOT_NOW.includes(known.status ?? 0) && options.reconnect() === 'resume') asked = false
    const why = options.reclassify?.(known) ?? known
    const error = (why.retryable && spent(why)) || why
    if (!error.retryable) return go({ type: 'refused', error })
    const floor = Math.max(memory.retry, error.retryAfter ?? 0)
    const lived = state.name === 'open' ? clock.elapsed() - openedAt : 0
    const loss = { error, floor, lived, ended, brought: bytes > 0, offline: isOffline(), random: clock.random() }
    go({ type: 'lost', ...loss })
  }

  function spent(cause?: MillraceError): MillraceError | undefined {
    const reconnect = options.reconnect()
    if (!asked || reconnect === 'always' || (reconnect === 'resume' && memory.lastEventId !== '')) return undefined
    const why = reconnect === 'never' ? 'is not to be asked again' : 'cannot be resumed: its server names no ids'
    const what = `was interrupted after ${events} events in ${bytes} bytes, and ${why}. Not asking again; \`refresh()\` does.`
    return requestError('interrupted', endpoint(), what, { cause })
  }
}
