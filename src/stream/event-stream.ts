/**
 * One logical stream over many connections: the shell around the reconnection machine. It reads bytes into messages,
 * watches for silence and keeps the last event id. Late callbacks of a connection that was replaced are dead: each
 * compares its own connection with the current one.
 */
import type { BackoffOptions } from '../primitives/backoff'
import type { Clock } from '../primitives/clock'
import { isMillraceError, MillraceError } from '../primitives/errors'
import { networkError } from '../primitives/http'
import { createMessageReader, type Message } from './messages'
import { createReconnection, type ReconnectionEvent, type ReconnectionState } from './reconnection'
import { judgeStreamAnswer } from './stream-answer'

export interface Attempt {
  readonly lastEventId: string
  /** Failed attempts in a row before this one. */
  readonly failures: number
  readonly signal: AbortSignal
}

export interface IdleWatch {
  /** ms without a byte before the connection counts as dead. */
  readonly after: number
  /** From when: the request, the answer, or the stream's first comment (which shows a server that sends heartbeats). */
  readonly from: 'request' | 'answer' | 'comment'
}

export interface EventStreamOptions {
  readonly clock: Clock
  readonly backoff: BackoffOptions
  readonly maxEventBytes: number
  readonly lastEventId?: string
  /** Names the request in errors and timers; asked when needed, since a target may change. */
  readonly endpoint: () => string
  /** Sends the request and resolves with its answer's head. */
  readonly connect: (attempt: Attempt) => Promise<Response>
  readonly idle: () => IdleWatch | undefined
  /** After each change of state. */
  readonly onChange: (state: ReconnectionState) => void
  /** Once per network chunk that completed messages. */
  readonly onMessages: (messages: readonly Message[]) => void
  /** The answer of a connection that has just opened. */
  readonly onOpen?: (response: Response) => void
  /** A last look at an error before it is acted on. */
  readonly reclassify?: (error: MillraceError) => MillraceError
}

export interface EventStream {
  readonly state: ReconnectionState
  readonly lastEventId: string
  send(event: { readonly type: 'start' | 'due' | 'pause' | 'resume' | 'replace' | 'stop' }): void
}

interface Connection {
  readonly controller: AbortController
  lastByteAt: number
  cancelBody?: () => void
}

export function createEventStream(options: EventStreamOptions): EventStream {
  const { clock } = options
  const step = createReconnection(options.backoff)
  let state: ReconnectionState = { name: 'idle' }
  let connection: Connection | undefined
  let stopTimer: (() => void) | undefined
  let lastEventId = options.lastEventId ?? ''
  let serverDelay = 0
  let heardComment = false

  return {
    get state() {
      return state
    },
    get lastEventId() {
      return lastEventId
    },
    send,
  }

  function send(event: ReconnectionEvent): void {
    const before = state
    const next = step(state, event, clock.now())
    if (next.state === before) return
    state = next.state
    stopTimer?.()
    stopTimer = undefined
    for (const effect of next.effects) {
      if (effect === 'disconnect') disconnect()
      else if (effect === 'connect') connect()
      else sleep()
    }
    options.onChange(state)
  }

  function sleep(): void {
    if (state.name !== 'waiting') return
    const ms = state.retryAt - clock.now()
    stopTimer = clock.after(ms, () => send({ type: 'due' }), `reconnect ${options.endpoint()}`)
  }

  function disconnect(): void {
    const old = connection
    connection = undefined
    old?.controller.abort()
    old?.cancelBody?.()
  }

  function connect(): void {
    const mine: Connection = { controller: new AbortController(), lastByteAt: clock.now() }
    connection = mine
    watchSilence(mine)
    live(mine).then(
      (event) => mine === connection && send(event),
      (error: unknown) => mine === connection && send(judge(error)),
    )
  }

  /** Resolves with what ended the connection. */
  async function live(mine: Connection): Promise<ReconnectionEvent> {
    const failures = 'failures' in state ? state.failures : 0
    const response = await options.connect({ lastEventId, failures, signal: mine.controller.signal })
    const reader = response.body?.getReader()
    mine.cancelBody = () => void reader?.cancel().catch(() => {})
    if (mine !== connection) {
      mine.cancelBody()
      return { type: 'stop' }
    }
    const answer = judgeStreamAnswer(response, options.endpoint(), clock.now())
    if (answer === 'complete') return { type: 'finished' }
    if (answer !== 'stream') throw answer

    mine.lastByteAt = clock.now()
    options.onOpen?.(response)
    send({ type: 'opened' })
    watchSilence(mine)
    if (reader) await pump(reader, mine)
    throw networkError(options.endpoint(), 'ended the stream')
  }

  async function pump(reader: ReadableStreamDefaultReader<Uint8Array>, mine: Connection): Promise<void> {
    const messages = createMessageReader({
      lastEventId,
      maxEventBytes: options.maxEventBytes,
      onRetry: (ms) => {
        serverDelay = ms
      },
      onComment: () => {
        if (heardComment) return
        heardComment = true
        watchSilence(mine)
      },
    })
    while (mine === connection) {
      const { done, value } = await reader.read()
      if (done || mine !== connection) return
      mine.lastByteAt = clock.now()
      const read = messages.read(value)
      lastEventId = messages.lastEventId
      if (read.length > 0) options.onMessages(read)
      if (messages.overflown) {
        const { maxEventBytes } = options
        const message = `${options.endpoint()} sent an event of over ${maxEventBytes} bytes: send less at once, or raise \`maxEventBytes\`.`
        throw new MillraceError('too-large', message, { endpoint: options.endpoint(), retryable: true })
      }
    }
  }

  /** One timer that looks again when the silence could be long enough, not one per chunk. */
  function watchSilence(mine: Connection): void {
    const idle = options.idle()
    if (mine !== connection || !idle) return
    if (idle.from !== 'request' && (state.name !== 'open' || (idle.from === 'comment' && !heardComment))) return
    const left = mine.lastByteAt + idle.after - clock.now()
    stopTimer?.()
    if (left > 0) {
      stopTimer = clock.after(left, () => watchSilence(mine), `idle watch ${options.endpoint()}`)
      return
    }
    const message = `${options.endpoint()} sent nothing for ${idle.after} ms: the connection is taken for dead. Trying again.`
    send(judge(new MillraceError('idle', message, { endpoint: options.endpoint(), retryable: true })))
  }

  function judge(thrown: unknown): ReconnectionEvent {
    const known = isMillraceError(thrown) ? thrown : networkError(options.endpoint(), 'lost the connection', thrown)
    const error = options.reclassify?.(known) ?? known
    if (!error.retryable) return { type: 'refused', error }
    return { type: 'lost', error, random: clock.random(), floor: Math.max(serverDelay, error.retryAfter ?? 0) }
  }
}
