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
  | { readonly name: 'connecting'; readonly failures: number; readonly since: number; readonly error: MillraceError | undefined }
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
    const { name } = state
    const waits = name === 'waiting'
    const connected = name === 'connecting' || name === 'open'
    const failures = 'failures' in state ? state.failures : 0

    const next = after() || state
    if (next === state) return { state, effects: [] }
    const effects: ReconnectionEffect[] = connected && next.name !== 'open' ? ['disconnect'] : []
    if (next.name === 'connecting') effects.push('connect')
    if (next.name === 'waiting') effects.push('sleep')
    return { state: next, effects }

    /** Each event, the states in which it counts, and what it leads to. */
    function after(): ReconnectionState | false {
      switch (event.type) {
        case 'start':
          return !connected && !waits && connecting()
        case 'resume':
          return name === 'paused' && connecting()
        case 'due':
          return waits && connecting(state.error)
        case 'replace':
          return (connected || waits) && connecting('error' in state ? state.error : undefined)
        case 'opened':
          return name === 'connecting' && { name: 'open', failures, since: now }
        case 'lost':
          return connected && waiting(event.error, event.random, event.floor)
        case 'refused':
          return connected && { name: 'failed', error: event.error }
        case 'finished':
          return connected && { name: 'complete' }
        case 'pause':
          return (connected || waits) && { name: 'paused', failures }
        case 'stop':
          return name !== 'idle' && { name: 'idle' }
      }
    }

    function connecting(error?: MillraceError): ReconnectionState {
      return { name: 'connecting', failures, since: now, error }
    }

    function waiting(error: MillraceError, random: number, floor: number): ReconnectionState {
      const lived = state.name === 'open' ? now - state.since : undefined
      const before = lived !== undefined && lived >= backoff.resetAfter ? 0 : failures
      const least = lived === undefined ? floor : Math.max(floor, backoff.base)
      return { name: 'waiting', failures: before + 1, retryAt: now + backoffDelay(backoff, before, random, least), error }
    }
  }
}
