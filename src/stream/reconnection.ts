/**
 * What a stream is at a moment, and what follows when one of its connections ends.
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
  readonly short?: number | undefined
  /** The connection before opened and brought nothing: that the next one opens proves nothing either. */
  readonly mute?: boolean | undefined
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
      readonly planned?: boolean
    })
  | (Attempts & { readonly name: 'paused' })
  /** The server has said that nothing more will come: `error` has its answer. */
  | { readonly name: 'complete'; readonly error?: MillraceError }
  | { readonly name: 'failed'; readonly error: MillraceError }

/** There is a connection, or the attempt at one. */
export type Connected = Extract<ReconnectionState, { since: number }>

/** How it ended. */
export interface End {
  readonly error: MillraceError
  /** By the server, in good order. */
  readonly inOrder: boolean
  /** ms since it opened, if it did. */
  readonly lived: number
  /** Whether it brought a byte. */
  readonly brought: boolean
  /** ms: what the stream's last `retry:` asks for. */
  readonly retry: number
  /** The browser says that it is offline: little hope, and no fault of the server's. */
  readonly offline: boolean
  readonly random: number
}

const NO_CONTENT = 204
/** ms: who was ended in good order is asked again within it; not all in the same instant. */
const AT_ONCE = 250
/** ms that it must have lived for that, however small `resetAfter` is. */
const A_WHILE = 5_000

/** Whether to wait, and for how long, when the connection of this state has ended. */
export function afterEnd(backoff: BackoffOptions, state: Connected, end: End, now: number): ReconnectionState {
  const { error, inOrder, lived, brought, offline, random } = end
  if (error.status === NO_CONTENT) return { name: 'complete', error }
  if (!error.retryable) return { name: 'failed', error }
  const isOpen = state.name === 'open'
  const asked = Math.max(end.retry, error.retryAfter ?? 0)
  const lasted = brought && lived >= backoff.resetAfter
  const planned = lasted && inOrder && lived >= A_WHILE
  // A server that says by `retry` when to come back, and ends in good order, is taken at its word.
  const isFine = lasted || (brought && inOrder && asked > 0)
  const failures = brought ? 0 : state.failures
  const short = (!isFine && state.short) || 0
  const delay = planned
    ? Math.min(asked, LONGEST_SERVER_DELAY) + random * AT_ONCE
    : backoffDelay(
        backoff,
        offline ? Infinity : failures + short,
        random,
        isOpen ? Math.max(asked, backoff.base) : asked,
      )
  return {
    name: 'waiting',
    failures: offline ? failures || 1 : failures + 1,
    short: brought && !isFine ? short + 1 : short,
    mute: isOpen && !brought,
    planned,
    retryAt: now + delay,
    delay,
    error,
  }
}

/** What counts for the next connection. Who drops one that was open has not seen it fail. */
export function attemptsOf(state: ReconnectionState): Attempts {
  if (!('failures' in state)) return { failures: 0 }
  const { name, failures, short, mute } = state
  return { failures: name === 'open' && !mute ? 0 : failures, short, mute }
}
