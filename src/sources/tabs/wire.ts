/** What is said between tabs about a source, made fit for the way, and checked on arrival: any script of the origin can post. */
import { MillraceError, type MillraceErrorCode } from '../../primitives/errors'
import type { Message } from '../../stream/messages'
import type { SnapshotState } from '../snapshot-source'
import type { StreamState } from '../stream-source'

interface WireError {
  readonly code: MillraceErrorCode
  readonly message: string
}

type State = StreamState | SnapshotState

/** An error is cloned without its class. */
export function pack(state: State): object {
  return 'error' in state && state.error ? { ...state, error: packError(state.error) } : state
}

export function packError({ code, message, retryable, status, endpoint, retryAfter }: MillraceError): object {
  return { code, message, retryable, status, endpoint, retryAfter }
}

const NAMES = ['idle', 'connecting', 'open', 'waiting', 'paused', 'complete', 'failed', 'held-back', 'polling']

/** Undefined for what is no state. */
export function unpack<S extends State>(value: unknown): S | undefined {
  const state = value as { name?: unknown; error?: unknown } | null | undefined
  if (!NAMES.includes(state?.name as string)) return undefined
  const error = unpackError(state?.error)
  if (!error && (state?.name === 'failed' || state?.name === 'waiting')) return undefined
  return (error ? { ...state, error } : state) as S
}

export function unpackError(value: unknown): MillraceError | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { code, message, ...details } = packError(value as MillraceError) as WireError
  return new MillraceError(code, `${message}`, details)
}

/** Messages of a stream; undefined if they are none. */
export function unpackMessages(value: unknown): readonly Message[] | undefined {
  return Array.isArray(value) && value.every(isMessage) ? value : undefined
}

function isMessage(value: unknown): value is Message {
  const message = value as Message | null
  return (
    typeof message?.event === 'string' && typeof message.data === 'string' && typeof message.lastEventId === 'string'
  )
}
