/**
 * When a stream connects, waits and gives up: a pure state machine. The shell (event-stream.ts) runs its effects.
 *
 * ```
 *            start                  opened
 *    idle ───────────▶ connecting ───────────▶ open ── alive ──▶ open
 *                       ▲   │  ▲                │
 *           due, replace│   │  └────replace─────┤
 *                       │   ▼ lost              │ lost
 *                      waiting ◀────────────────┘
 *
 *    connecting, open ── refused ──▶ failed          connecting, open ── finished ──▶ complete
 *    connecting, open, waiting ── pause ──▶ paused ── resume, start ──▶ connecting
 *    failed, complete ── start ──▶ connecting        any ── stop ──▶ idle
 *    connecting ── late, overdue ──▶ connecting, which then shows that no answer has come for a while
 * ```
 *
 * `failures` counts in a row what brought nothing: bytes forget them, an open connection alone does not. The delay grows
 * with them, and with connections in a row (`short`) that brought something and yet were over within `backoff.resetAfter`:
 * a server that accepts, says a word and closes is neither called failing nor asked in a loop. Who has lived that long
 * and is ended by the server in good order (`planned`: functions and tokens have a limit) is asked again at once, once.
 */
import { type BackoffOptions, backoffDelay, LONGEST_SERVER_DELAY } from '../primitives/backoff'
import type { MillraceError } from '../primitives/errors'

/** What is known of the attempts so far. */
interface Attempts {
  readonly failures: number
  readonly short?: number
  /** The connection before opened and brought nothing: that the next one opens proves nothing either. */
  readonly mute?: true
}

export type ReconnectionState =
  | { readonly name: 'idle' }
  | (Attempts & {
      readonly name: 'connecting'
      /** ms since the epoch. */
      readonly since: number
      readonly error: MillraceError | undefined
      /** Nothing was answered for some time. */
      readonly late?: true
      /** Nothing was answered for so long that `error` says so. It is still waited for. */
      readonly overdue?: true
    })
  | (Attempts & { readonly name: 'open'; readonly since: number })
  | (Attempts & {
      readonly name: 'waiting'
      /** ms since the epoch, for people; the timer has `delay`. */
      readonly retryAt: number
      readonly delay: number
      readonly error: MillraceError
      readonly planned?: true
    })
  | (Attempts & { readonly name: 'paused' })
  | { readonly name: 'complete' }
  | { readonly name: 'failed'; readonly error: MillraceError }

export interface Loss {
  readonly error: MillraceError
  readonly random: number
  /** ms: what the server asks for. */
  readonly floor: number
  /** ms since it opened. */
  readonly lived: number
  /** Whether it brought a byte. */
  readonly brought: boolean
  /** The server has ended it in good order. */
  readonly ended: boolean
  /** The browser says that it is offline: little hope, and no fault of the server's. */
  readonly offline: boolean
}

export type ReconnectionEvent =
  | {
      readonly type:
        | 'start'
        | 'late'
        | 'opened'
        | 'alive'
        | 'finished'
        | 'due'
        | 'pause'
        | 'resume'
        | 'replace'
        | 'stop'
    }
  | ({ readonly type: 'lost' } & Loss)
  | { readonly type: 'refused' | 'overdue'; readonly error: MillraceError }

/** `disconnect` drops the connection, `connect` opens one, `sleep` waits for `delay`; any transition ends a sleep. */
export type ReconnectionEffect = 'disconnect' | 'connect' | 'sleep'

export interface ReconnectionStep {
  readonly state: ReconnectionState
  readonly effects: readonly ReconnectionEffect[]
}

/** ms: who was ended in good order is asked again within it; not all in the same instant. */
const AT_ONCE = 250
/** ms that it must have lived for that, however small `resetAfter` is. */
const A_WHILE = 5_000

export function createReconnection(
  backoff: BackoffOptions,
): (state: ReconnectionState, event: ReconnectionEvent, now: number) => ReconnectionStep {
  return (state, event, now) => {
    const connected = state.name === 'connecting' || state.name === 'open'
    const active = connected || state.name === 'waiting'
    const attempts = attemptsOf(state)
    const drop: ReconnectionEffect[] = connected ? ['disconnect'] : []
    const error = 'error' in state ? state.error : undefined
    /** Each event says when it counts, and what it leads to; where it does not count, it changes nothing. */
    const to = (
      counts: boolean,
      next: ReconnectionState,
      effects: readonly ReconnectionEffect[] = drop,
    ): ReconnectionStep => (counts ? { state: next, effects } : { state, effects: [] })
    const connect = (counts: boolean, cause?: MillraceError): ReconnectionStep =>
      to(counts, { name: 'connecting', ...attempts, since: now, error: cause }, [...drop, 'connect'])

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
        return state.name === 'connecting' ? to(true, { ...state, late: true }, []) : to(false, state)
      case 'overdue':
        return state.name === 'connecting'
          ? to(true, { ...state, late: true, overdue: true, error: event.error }, [])
          : to(false, state)
      case 'opened':
        return to(state.name === 'connecting', { name: 'open', ...attempts, since: now }, [])
      case 'alive':
        return state.name === 'open' && state.mute
          ? to(true, { name: 'open', failures: 0, since: state.since }, [])
          : to(false, state)
      case 'finished':
        return to(connected, { name: 'complete' })
      case 'refused':
        return to(connected, { name: 'failed', error: event.error })
      case 'pause':
        return to(active, { name: 'paused', ...attempts })
      case 'stop':
        return to(state.name !== 'idle', { name: 'idle' })
      case 'lost':
        return to(connected, waiting(state, event, now), [...drop, 'sleep'])
    }
  }

  function waiting(state: ReconnectionState, loss: Loss, now: number): ReconnectionState {
    const { error, random, floor, brought, ended, offline } = loss
    const wasOpen = state.name === 'open'
    const lasted = brought && loss.lived >= backoff.resetAfter
    const planned = lasted && ended && loss.lived >= A_WHILE
    const { failures, short = 0 } = 'failures' in state ? (state as Attempts) : { failures: 0 }
    const before = brought ? 0 : failures
    // A server that says by `retry` when to come back, and ends in good order, is taken at its word.
    const asBefore = lasted || (brought && ended && floor > 0) ? 0 : short
    const delay = planned
      ? Math.min(floor, LONGEST_SERVER_DELAY) + random * AT_ONCE
      : backoffDelay(
          backoff,
          offline ? Infinity : before + asBefore,
          random,
          wasOpen ? Math.max(floor, backoff.base) : floor,
        )
    const nowShort = brought && !lasted && !(ended && floor > 0) ? asBefore + 1 : asBefore
    return {
      name: 'waiting',
      failures: offline ? before || 1 : before + 1,
      retryAt: now + delay,
      delay,
      error,
      ...(nowShort > 0 && { short: nowShort }),
      ...(wasOpen && !brought && { mute: true }),
      ...(planned && { planned }),
    }
  }
}

/** What goes on to the next state. Who drops a connection that was open has not seen it fail. */
function attemptsOf(state: ReconnectionState): Attempts {
  if (!('failures' in state)) return { failures: 0 }
  const { failures, short, mute } = state
  return {
    failures: state.name === 'open' && !mute ? 0 : failures,
    ...(short && { short }),
    ...(mute && { mute }),
  }
}
