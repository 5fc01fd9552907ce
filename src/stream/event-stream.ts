/**
 * One logical stream over many connections: a loop of connecting, reading and waiting, for as long as it is wanted. A
 * connection is its abort signal: whatever a replaced one still does finds it aborted, and is dead.
 */
import type { BackoffOptions } from '../primitives/backoff'
import type { Timers } from '../primitives/clock'
import { isMillraceError, type MillraceError } from '../primitives/errors'
import { networkError, requestError } from '../primitives/http'
import { isOffline } from '../primitives/platform'
import { createMessageReader, type Message, type StreamMemory } from './messages'
import { afterEnd, attemptsOf, type Connected, type ReconnectionState } from './reconnection'
import { bytesOf, LONGEST_ID } from './stream-http'

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

type Command = 'start' | 'resume' | 'due' | 'replace' | 'pause' | 'stop'

export interface EventStream {
  state(): ReconnectionState
  lastEventId(): string
  /** When the connection brought something last, or was opened; by the clock's second hand. */
  lastByteAt(): number
  /** The last id is another one: it stands in the data. */
  moveTo(id: string): void
  send(command: Command): void
  /** To be called when `idleTimeout` may answer otherwise than before. */
  watchSilence(): void
  /** Somebody asks for it: it may be asked once more, whatever `reconnect` says. */
  renew(): void
  /** Why it will not be asked again by itself; undefined if it may. */
  spent(): MillraceError | undefined
}

interface Ending {
  readonly error: MillraceError
  /** By the server. */
  readonly inOrder?: boolean
}

/** The states in which a command counts; in all others it changes nothing. */
const COUNTS: Readonly<Record<Command, RegExp>> = {
  start: /idle|paused|complete|failed/,
  resume: /paused/,
  due: /waiting/,
  replace: /connecting|open|waiting/,
  pause: /connecting|open|waiting/,
  stop: /^(?!idle)/,
}

/** Answers that say "not now" of a request that was not acted on (RFC 9110, 6585, 8470). */
const NOT_NOW = [408, 425, 429, 503]

export function createEventStream(options: EventStreamOptions): EventStream {
  const { clock, endpoint } = options
  const memory: StreamMemory = { lastEventId: options.lastEventId ?? '', retry: 0, commented: false }
  let state: ReconnectionState = { name: 'idle' }
  let connection = new AbortController()
  /** Ends the connection that there is. */
  let over = (_end: Ending): void => {}
  let lastByteAt = 0
  let openedAt = 0
  /** Since it was asked last: what an answer that cannot be had again has brought. */
  let asked = options.asked === true
  let bytes = 0
  let events = 0
  /** By name, those that the connection has, or the wait for the next. */
  let timers: Record<string, () => void> = {}

  return {
    state: () => state,
    lastEventId: () => memory.lastEventId,
    lastByteAt: () => lastByteAt,
    moveTo(id) {
      if (id.length <= LONGEST_ID) memory.lastEventId = id
    },
    send(command) {
      if (!COUNTS[command].test(state.name)) return
      if (command === 'stop') halt({ name: 'idle' })
      else if (command === 'pause') halt({ name: 'paused', ...attemptsOf(state) })
      else void run()
    },
    renew() {
      asked = false
    },
    spent,
    watchSilence,
  }

  /** From here until it ends, is halted, or another run takes over: each of them drops this one's connection. */
  async function run(): Promise<void> {
    for (;;) {
      drop()
      connection = new AbortController()
      const { signal } = connection
      const ended = connect(signal)
      options.onChange(state)
      const { error, inOrder = false } = await ended
      if (signal.aborted) return

      drop()
      const end = {
        error: judged(error),
        inOrder,
        lived: clock.elapsed() - openedAt,
        brought: bytes > 0,
        retry: memory.retry,
        offline: isOffline(),
        random: clock.random(),
      }
      const next = afterEnd(options.backoff, state as Connected, end, clock.now())
      if (next.name !== 'waiting') return show(next)
      // Never, if the timer is stopped: whoever does that needs this run no more.
      const due = new Promise<void>((resolve) => wake('reconnect', next.delay, resolve, false))
      show(next)
      await due
    }
  }

  function drop(): void {
    connection.abort()
    stopTimers()
  }

  function halt(last: ReconnectionState): void {
    drop()
    show(last)
  }

  function show(next: ReconnectionState): void {
    state = next
    options.onChange(state)
  }

  /** A connection, until it is over. */
  function connect(signal: AbortSignal): Promise<Ending> {
    const error = 'failures' in state && 'error' in state ? state.error : undefined
    state = { name: 'connecting', ...attemptsOf(state), since: clock.now(), error }
    lastByteAt = clock.elapsed()
    bytes = events = 0
    wake('late answer', options.lateAfter, () => showLate({}))
    watchSilence()
    return new Promise((resolve) => {
      over = resolve
      void read(signal, resolve)
    })
  }

  async function read(signal: AbortSignal, end: (how: Ending) => void): Promise<void> {
    try {
      const why = spent()
      if (why) throw why
      const { failures, short, mute } = state as Connected
      const response = await options.connect(signal, memory.lastEventId, failures, () => signal.aborted || sent())
      let reader: Pick<ReadableStreamDefaultReader<Uint8Array>, 'read' | 'cancel'> | undefined
      // Also of an answer that nobody reads, and where `fetch` does not heed its signal.
      const cancel = () => void (reader ?? response.body)?.cancel?.().catch(() => {})
      if (signal.aborted) return cancel()
      signal.addEventListener('abort', cancel)
      reader = bytesOf(response, endpoint(), clock.now())
      const take = createMessageReader(memory, options.maxEventBytes(), endpoint(), (messages) => {
        events += messages.length
        options.onMessages(messages)
      })
      openedAt = lastByteAt = clock.elapsed()
      stopTimers()
      show({ name: 'open', failures, short, mute, since: clock.now() })
      watchSilence()
      for (;;) {
        const chunk = await reader.read()
        if (signal.aborted) return
        if (!chunk.value) return end({ error: failure('ended the stream'), inOrder: true })
        lastByteAt = clock.elapsed()
        if (bytes === 0 && mute) show({ name: 'open', failures: 0, since: clock.now() })
        bytes += chunk.value.length
        const { commented } = memory
        take(chunk.value)
        if (memory.commented !== commented) watchSilence()
      }
    } catch (thrown) {
      const what = state.name === 'open' ? 'lost the connection' : 'could not be reached'
      end({ error: isMillraceError(thrown) ? thrown : failure(what, 'network', thrown) })
    }
  }

  function sent(): void {
    asked = true
    const { overdueAfter } = options
    wake('overdue answer', overdueAfter, () => {
      const what = `has not answered for ${overdueAfter} ms; only \`connectTimeout\` gives up.`
      showLate({ overdue: true, error: requestError('timeout', endpoint(), what, { retryable: true }) })
    })
    const most = options.connectTimeout?.()
    wake('timeout', most, () => over({ error: failure(`did not answer within ${most} ms`, 'timeout') }))
  }

  function failure(what: string, code?: 'timeout' | 'idle' | 'network', cause?: unknown): MillraceError {
    return networkError(endpoint(), what, cause, code)
  }

  function showLate(more: { overdue?: true; error?: MillraceError }): void {
    if (state.name === 'connecting') show({ ...state, late: true, ...more })
  }

  /** One timer that looks again when the silence could be long enough, not one per chunk. */
  function watchSilence(): void {
    const ms = options.idleTimeout(state.name === 'open', memory.commented)
    if (!ms || !('since' in state)) return
    const left = lastByteAt + ms - clock.elapsed()
    if (left > 0) return wake('idle watch', left, watchSilence)
    over({ error: failure(`sent nothing for ${ms} ms: it is taken for dead`, 'idle') })
  }

  function wake(what: string, ms: number | undefined, then: () => void, unref = true): void {
    if (ms === undefined) return
    timers[what]?.()
    timers[what] = clock.after(ms, then, `${what} ${endpoint()}`, unref)
  }

  function stopTimers(): void {
    for (const what in timers) timers[what]?.()
    timers = {}
  }

  /** What an error means here. */
  function judged(known: MillraceError): MillraceError {
    // It was answered, and not acted on.
    if (NOT_NOW.includes(known.status ?? 0) && options.reconnect() === 'resume') asked = false
    const error = options.reclassify?.(known) ?? known
    return (error.retryable && spent(error)) || error
  }

  function spent(cause?: MillraceError): MillraceError | undefined {
    const reconnect = options.reconnect()
    if (!asked || reconnect === 'always' || (reconnect === 'resume' && memory.lastEventId !== '')) return undefined
    const why = reconnect === 'never' ? 'is not to be asked again' : 'has no ids to resume from'
    const what = `broke off after ${events} events in ${bytes} bytes, and ${why}: \`refresh()\` does.`
    return requestError('interrupted', endpoint(), what, { cause })
  }
}
