/**
 * When a stream connects, waits and gives up: a pure state machine. The shell (event-stream.ts) runs its effects.
 *
 * ```
 *            start                  opened
 *    idle ───────────▶ connecting ───────────▶ open
 *                       ▲   │  ▲                │
 *           due, replace│   │  └────replace─────┤
 *                       │   ▼ lost              │ lost
 *                      waiting ◀────────────────┘
 *
 *    connecting, open ── refused ──▶ failed          connecting, open ── finished ──▶ complete
 *    connecting, open, waiting ── pause ──▶ paused ── resume, start ──▶ connecting
 *    failed, complete ── start ──▶ connecting        any ── stop ──▶ idle
 * ```
 *
 * `failures` counts failed attempts in a row. An open connection forgets them only when it has lived for
 * `backoff.resetAfter`: a server that accepts and closes at once never becomes a loop.
 */
import { type BackoffOptions, backoffDelay } from '../primitives/backoff'
import type { MillraceError } from '../primitives/errors'

export type ReconnectionState =
  | { readonly name: 'idle' }
  | { readonly name: 'connecting'; readonly failures: number; readonly since: number; readonly error?: MillraceError }
  | { readonly name: 'open'; readonly failures: number; readonly since: number }
  | { readonly name: 'waiting'; readonly failures: number; readonly retryAt: number; readonly error: MillraceError }
  | { readonly name: 'paused'; readonly failures: number }
  | { readonly name: 'complete' }
  | { readonly name: 'failed'; readonly error: MillraceError }

export type ReconnectionEvent =
  | { readonly type: 'start' | 'opened' | 'finished' | 'due' | 'pause' | 'resume' | 'replace' | 'stop' }
  | { readonly type: 'lost'; readonly error: MillraceError; readonly random: number; readonly floor: number }
  | { readonly type: 'refused'; readonly error: MillraceError }

/** `disconnect` drops the connection, `connect` opens one, `sleep` waits until `retryAt`; any transition ends a sleep. */
export type ReconnectionEffect = 'disconnect' | 'connect' | 'sleep'

export interface ReconnectionStep {
  readonly state: ReconnectionState
  readonly effects: readonly ReconnectionEffect[]
}

export function createReconnection(
  backoff: BackoffOptions,
): (state: ReconnectionState, event: ReconnectionEvent, now: number) => ReconnectionStep {
  return (state, event, now) => {
    const connected = state.name === 'connecting' || state.name === 'open'
    const failures = 'failures' in state ? state.failures : 0
    const drop: ReconnectionEffect[] = connected ? ['disconnect'] : []
    const connect = (error?: MillraceError): ReconnectionStep => ({
      state: { name: 'connecting', failures, since: now, ...(error && { error }) },
      effects: [...drop, 'connect'],
    })

    switch (event.type) {
      case 'start':
        if (connected || state.name === 'waiting') break
        return connect()
      case 'opened':
        if (state.name !== 'connecting') break
        return { state: { name: 'open', failures, since: now }, effects: [] }
      case 'lost': {
        if (!connected) break
        const wasOpen = state.name === 'open'
        const inARow = wasOpen && now - state.since >= backoff.resetAfter ? 0 : failures
        const floor = wasOpen ? Math.max(event.floor, backoff.base) : event.floor
        const retryAt = now + backoffDelay(backoff, inARow, event.random, floor)
        return {
          state: { name: 'waiting', failures: inARow + 1, retryAt, error: event.error },
          effects: [...drop, 'sleep'],
        }
      }
      case 'refused':
        if (!connected) break
        return { state: { name: 'failed', error: event.error }, effects: drop }
      case 'finished':
        if (!connected) break
        return { state: { name: 'complete' }, effects: drop }
      case 'due':
        if (state.name !== 'waiting') break
        return connect(state.error)
      case 'replace':
        if (!connected && state.name !== 'waiting') break
        return connect('error' in state ? state.error : undefined)
      case 'pause':
        if (!connected && state.name !== 'waiting') break
        return { state: { name: 'paused', failures }, effects: drop }
      case 'resume':
        if (state.name !== 'paused') break
        return connect()
      case 'stop':
        if (state.name === 'idle') break
        return { state: { name: 'idle' }, effects: drop }
    }
    return { state, effects: [] }
  }
}
