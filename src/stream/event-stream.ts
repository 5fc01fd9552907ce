/**
 * One logical stream over many connections: the shell around the reconnection machine. It reads bytes into messages,
 * watches for silence and keeps the last event id. A connection is its abort signal: whatever a replaced one still does
 * finds it aborted, and is dead.
 */
import type { BackoffOptions } from '../primitives/backoff'
import type { Timers } from '../primitives/clock'
import { isMillraceError, type MillraceError } from '../primitives/errors'
import { networkError } from '../primitives/http'
import { createMessageReader, type Message, type StreamMemory } from './messages'
import { createReconnection, type ReconnectionEvent, type ReconnectionState } from './reconnection'
import { isStream, LONGEST_ID } from './stream-http'

export interface EventStreamOptions {
  readonly clock: Timers
  readonly backoff: BackoffOptions
  readonly lastEventId?: string | undefined
  /** Names the request in errors and timers; asked when needed, since a target may change. */
  readonly endpoint: () => string
  /** Sends the request and resolves with its answer's head; `failures`: failed attempts in a row before this one. */
  readonly connect: (signal: AbortSignal, lastEventId: string, failures: number) => Promise<Response>
  /** Asked at each connection. */
  readonly maxEventBytes: () => number
  /**
   * ms without a byte before the connection counts as dead, if that is watched. `open`: the answer is here;
   * `commented`: the stream has sent a comment, now or on an earlier connection.
   */
  readonly idleTimeout: (open: boolean, commented: boolean) => number | false | undefined
  /** ms without an answer before a connection counts as late. */
  readonly lateAfter?: number
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
  /** The last id is another one: it stands in the data. */
  moveTo(id: string): void
  send(type: 'start' | 'due' | 'pause' | 'resume' | 'replace' | 'stop'): void
  /** To be called when `idleTimeout` may answer otherwise than before. */
  watchSilence(): void
}

export function createEventStream(options: EventStreamOptions): EventStream {
  const { clock, endpoint } = options
  const step = createReconnection(options.backoff)
  const memory: StreamMemory = { lastEventId: options.lastEventId ?? '', retry: 0, commented: false }
  let state: ReconnectionState = { name: 'idle' }
  let connection = new AbortController()
  let lastByteAt = 0
  let stopTimer = () => {}
  const effects = { connect, sleep, disconnect: () => connection.abort() }

  return {
    state: () => state,
    lastEventId: () => memory.lastEventId,
    moveTo(id) {
      if (id.length <= LONGEST_ID) memory.lastEventId = id
    },
    send: (type) => go({ type }),
    watchSilence,
  }

  function go(event: ReconnectionEvent): void {
    const next = step(state, event, clock.now())
    if (next.state === state) return
    state = next.state
    stopTimer()
    for (const effect of next.effects) effects[effect]()
    options.onChange(state)
  }

  function wake(ms: number, what: string, run: () => void): void {
    stopTimer()
    stopTimer = clock.after(ms, run, `${what} ${endpoint()}`)
  }

  function sleep(): void {
    if (state.name === 'waiting') wake(state.retryAt - clock.now(), 'reconnect', () => go({ type: 'due' }))
  }

  function connect(): void {
    connection = new AbortController()
    const { signal } = connection
    lastByteAt = clock.now()
    if (options.lateAfter) wake(options.lateAfter, 'late answer', late)
    else watchSilence()
    live(signal).catch((error: unknown) => {
      if (!signal.aborted) fail(error)
    })
  }

  function late(): void {
    go({ type: 'late' })
    watchSilence()
  }

  /** Runs until the connection is over, and rejects with the reason unless the server has ended the stream for good. */
  async function live(signal: AbortSignal): Promise<void> {
    const failures = 'failures' in state ? state.failures : 0
    const response = await options.connect(signal, memory.lastEventId, failures)
    const body = response.body?.getReader()
    // Also of an answer that nobody reads, and where `fetch` does not heed its signal.
    const cancel = () => void body?.cancel().catch(() => {})
    if (signal.aborted) return cancel()
    signal.addEventListener('abort', cancel)
    if (!isStream(response, endpoint(), clock.now())) return go({ type: 'finished' })

    const read = createMessageReader(memory, options.maxEventBytes(), endpoint(), options.onMessages)
    lastByteAt = clock.now()
    go({ type: 'opened' })
    watchSilence()
    for (;;) {
      const chunk = await body?.read()
      if (signal.aborted) return
      if (!chunk?.value) throw networkError(endpoint(), 'ended the stream')
      lastByteAt = clock.now()
      const { commented } = memory
      read(chunk.value)
      if (memory.commented !== commented) watchSilence()
    }
  }

  /** One timer that looks again when the silence could be long enough, not one per chunk. */
  function watchSilence(): void {
    const ms = options.idleTimeout(state.name === 'open', memory.commented)
    if (!ms || !('since' in state)) return
    const left = lastByteAt + ms - clock.now()
    if (left > 0) return wake(left, 'idle watch', watchSilence)
    fail(networkError(endpoint(), `sent nothing for ${ms} ms: the connection is taken for dead`, undefined, 'idle'))
  }

  function fail(thrown: unknown): void {
    const what = state.name === 'open' ? 'lost the connection' : 'could not be reached'
    const known = isMillraceError(thrown) ? thrown : networkError(endpoint(), what, thrown)
    const error = options.reclassify?.(known) ?? known
    const floor = Math.max(memory.retry, error.retryAfter ?? 0)
    go(error.retryable ? { type: 'lost', error, random: clock.random(), floor } : { type: 'refused', error })
  }
}
