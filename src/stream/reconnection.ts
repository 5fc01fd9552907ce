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
 *    connecting ── late ──▶ connecting, which then shows that no answer has come for a while
 * ```
 *
 * `failures` counts failed attempts in a row. An open connection forgets them only when it has lived for
 * `backoff.resetAfter`: a server that accepts and closes at once never becomes a loop.
 */
import { type BackoffOptions, backoffDelay } from '../primitives/backoff'
import type { MillraceError } from '../primitives/errors'

export type ReconnectionState =
  | { readonly name: 'idle' }
  | {
      readonly name: 'connecting'
      readonly failures: number
      readonly since: number
      readonly error: MillraceError | undefined
      /** Nothing was answered for some time. */
      readonly late?: true
    }
  | { readonly name: 'open'; readonly failures: number; readonly since: number }
  | { readonly name: 'waiting'; readonly failures: number; readonly retryAt: number; readonly error: MillraceError }
  | { readonly name: 'paused'; readonly failures: number }
  | { readonly name: 'complete' }
  | { readonly name: 'failed'; readonly error: MillraceError }

export type ReconnectionEvent =
  | { readonly type: 'start' | 'late' | 'opened' | 'finished' | 'due' | 'pause' | 'resume' | 'replace' | 'stop' }
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
    const active = connected || state.name === 'waiting'
    const failures = 'failures' in state ? state.failures : 0
    const drop: ReconnectionEffect[] = connected ? ['disconnect'] : []
    const error = 'error' in state ? state.error : undefined
    /** Each event says when it counts, and what it leads to; where it does not count, it changes nothing. */
    const to = (
      counts: boolean,
      next: ReconnectionState,
      effects: readonly ReconnectionEffect[] = drop,
    ): ReconnectionStep => (counts ? { state: next, effects } : { state, effects: [] })
    const connect = (counts: boolean, cause?: MillraceError): ReconnectionStep =>
      to(counts, { name: 'connecting', failures, since: now, error: cause }, [...drop, 'connect'])

    switch (event.type) {
      case 'start':
        return connect(!active)
      case 'resume':
        return connect(state.name === 'paused')
      case 'due':
        return connect(state.name === 'waiting', error)
      case 'replace':
        return connect(active, error)
      case 'late':
        return state.name === 'connecting' ? { state: { ...state, late: true }, effects: [] } : { state, effects: [] }
      case 'opened':
        return to(state.name === 'connecting', { name: 'open', failures, since: now }, [])
      case 'finished':
        return to(connected, { name: 'complete' })
      case 'refused':
        return to(connected, { name: 'failed', error: event.error })
      case 'pause':
        return to(active, { name: 'paused', failures })
      case 'stop':
        return to(state.name !== 'idle', { name: 'idle' })
      case 'lost': {
        const wasOpen = state.name === 'open'
        const before = wasOpen && now - state.since >= backoff.resetAfter ? 0 : failures
        const floor = wasOpen ? Math.max(event.floor, backoff.base) : event.floor
        const retryAt = now + backoffDelay(backoff, before, event.random, floor)
        return to(connected, { name: 'waiting', failures: before + 1, retryAt, error: event.error }, [...drop, 'sleep'])
      }
    }
  }
}
