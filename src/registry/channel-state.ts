/** The public state of a channel, and the one place where inner states become it. */
import type { MillraceError } from '../primitives/errors'
import type { PauseReason } from '../sources/conditions'
import type { SnapshotState } from '../sources/snapshot'
import type { StreamState } from '../sources/stream'

/**
 * `idle`: nobody subscribes. `connecting`: on its way for the first time. `live`: the stream is open. `reconnecting`: the
 * next attempt is at `retryAt`, or in flight. `polling`: asking again and again. `paused`: for the reason in `pausedBy`.
 * `complete`: a terminal event came, or the server ended the stream. `failed`: for good, `error` says what to do.
 */
export type ChannelStatus =
  | 'idle'
  | 'connecting'
  | 'live'
  | 'reconnecting'
  | 'polling'
  | 'paused'
  | 'complete'
  | 'failed'

/** What is known of a channel. Immutable, and the same reference until something changes. */
export interface ChannelState<S> {
  readonly status: ChannelStatus
  readonly data: S | undefined
  /** The last error; gone after the next success. */
  readonly error: MillraceError | undefined
  /** ms since the epoch, when `data` last changed. */
  readonly updatedAt: number | undefined
  /** Failed attempts in a row. */
  readonly attempt: number
  /** ms since the epoch of the next attempt, or of the one in flight. */
  readonly retryAt: number | undefined
  /** Whether this tab holds the connection, or another one does for it. */
  readonly role: 'leader' | 'follower' | 'solo' | undefined
  readonly pausedBy: PauseReason | undefined
  /** Data is from before: kept, or the source is not live at the moment. */
  readonly isStale: boolean
}

/** The part of a {@link ChannelState} that the sources decide. */
export type Connectivity = Pick<ChannelState<unknown>, 'status' | 'error' | 'attempt' | 'retryAt' | 'pausedBy'>

function show(
  status: ChannelStatus,
  error?: MillraceError,
  attempt = 0,
  retryAt?: number,
  pausedBy?: PauseReason,
): Connectivity {
  return { status, error, attempt, retryAt, pausedBy }
}

export const idle: Connectivity = /* @__PURE__ */ show('idle')
export const complete: Connectivity = /* @__PURE__ */ show('complete')
export const failed = (error: MillraceError): Connectivity => show('failed', error)
/** The stream is over; what it comes to is asked for once more. */
export const lastAsked = (error: MillraceError | undefined): Connectivity =>
  error ? retrying(error, 1, undefined) : show('connecting')
const paused = (by: PauseReason): Connectivity => show('paused', undefined, 0, undefined, by)

/** The state of a channel of which nothing but this is known. */
export function stateOf<S>(data: S | undefined, how: Connectivity = idle, updatedAt?: number): ChannelState<S> {
  return Object.freeze({ ...how, data, updatedAt, role: undefined, isStale: updatedAt !== undefined })
}

/** If it was the guard that closed the gate, it is not the source that fails. */
function retrying(error: MillraceError | undefined, failures: number, retryAt: number | undefined): Connectivity {
  return error?.code === 'runaway'
    ? show('paused', error, failures, retryAt, 'runaway')
    : show('reconnecting', error, failures, retryAt)
}

/** A stream is given up for polling after so many failed attempts in a row. */
const PATIENCE = 3

/** Whether a channel with a snapshot should poll while its stream is in this state. */
export function isGivenUp(stream: StreamState): boolean {
  if (stream.name === 'held-back') return stream.by === 'stream-limit'
  // That it opens proves nothing, where the connection before opened too, and brought nothing.
  if (stream.name === 'open') return stream.mute === true && stream.failures >= PATIENCE
  if (stream.name !== 'waiting' && stream.name !== 'connecting') return false
  const isOverdue = stream.name === 'connecting' && stream.overdue === true
  return isOverdue || stream.failures >= PATIENCE || stream.error?.code === 'content-type'
}

/** A stream's state as a channel shows it; `hasData`: its snapshot is in, or it needs none. */
export function fromStream(stream: StreamState, hasData: boolean): Connectivity {
  switch (stream.name) {
    case 'idle':
    case 'paused':
      return show('connecting')
    case 'connecting':
      return stream.failures > 0
        ? retrying(stream.error, stream.failures, stream.since)
        : show('connecting', stream.error)
    case 'open':
      return show(hasData ? 'live' : 'connecting')
    case 'waiting':
      return retrying(stream.error, stream.failures, stream.retryAt)
    case 'held-back':
      return paused(stream.by)
    case 'complete':
      return complete
    case 'failed':
      return failed(stream.error)
  }
}

/**
 * A poller's state as a channel shows it; an answer may have come and not be usable. What is asked once is complete with
 * its answer, whatever keeps from asking again.
 */
export function fromSnapshot(
  snapshot: SnapshotState,
  hasData: boolean,
  bodyError?: MillraceError,
  isAskedOnce = false,
): Connectivity {
  if (snapshot.name === 'failed') return failed(snapshot.error)
  const error = snapshot.name === 'held-back' ? undefined : (snapshot.error ?? bodyError)
  if (error && snapshot.name !== 'held-back') return retrying(error, snapshot.failures || 1, snapshot.retryAt)
  if (isAskedOnce && hasData) return complete
  if (snapshot.name === 'held-back') return paused(snapshot.by)
  return show(hasData ? 'polling' : 'connecting')
}

/** A channel whose stream is given up shows that it polls, if it does, and why the stream cannot be had. */
export function fromFallback(stream: StreamState, snapshot: SnapshotState, hasData: boolean): Connectivity {
  const polling = fromSnapshot(snapshot, hasData)
  if (polling.status === 'paused') return polling
  const streaming = fromStream(stream, true)
  return polling.status === 'polling' ? { ...streaming, status: 'polling', pausedBy: undefined } : streaming
}
