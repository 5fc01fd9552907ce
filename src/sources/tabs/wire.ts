/** What is said between tabs about a source, made fit for the way, and checked on arrival: any script of the origin can post. */
import type { Alert } from '../../primitives/alerts'
import { MillraceError, type MillraceErrorCode } from '../../primitives/errors'
import { fingerprint } from '../../primitives/fingerprint'
import type { Message } from '../../stream/messages'
import type { StreamState } from '../stream'

/** How many other tabs are remembered: those that crash do not say so, and any script of the origin may claim to be some. */
export const MOST_TABS = 500

/** For messages that no tab of ours can have sent. */
export const malformed: Alert = {
  code: 'tab-protocol',
  message: 'Another script of this origin sends on our channels: a message could not be read.',
}

/** Locks and channels of another major version of the protocol have other names: they neither talk nor break. */
const PROTOCOL = 2

/**
 * The name of a lock or channel. Names can be seen by every script of the origin, so what tells of a URL or a person is
 * hashed.
 */
export function tabName(kind: string, secret: string): string {
  return `millrace${PROTOCOL} ${kind} ${fingerprint(secret)}`
}

/** An error is cloned without its class. */
export function pack(state: StreamState): object {
  return 'error' in state && state.error ? { ...state, error: packError(state.error) } : state
}

export function packError({ code, message, retryable, status, endpoint, retryAfter }: MillraceError): object {
  return { code, message, retryable, status, endpoint, retryAfter }
}

/** The states, and the numbers that each must have. */
const STATES: Readonly<Record<string, readonly string[]>> = {
  idle: [],
  connecting: ['failures', 'since'],
  open: ['failures', 'since'],
  waiting: ['failures', 'retryAt'],
  paused: ['failures'],
  complete: [],
  failed: [],
  'held-back': [],
}

/** What is a number in every state that has it. */
const NUMBERS = ['failures', 'since', 'retryAt', 'delay']

/** Undefined for what is no state. */
export function unpack(value: unknown): StreamState | undefined {
  const state = (value ?? {}) as Readonly<Record<string, unknown>>
  const { name, by } = state
  if (typeof name !== 'string' || !Object.hasOwn(STATES, name)) return undefined
  const isNumber = (field: string) => typeof state[field] === 'number'
  const isWrong = (field: string) => state[field] !== undefined && !isNumber(field)
  if (!STATES[name]?.every(isNumber) || NUMBERS.some(isWrong)) return undefined
  if (name === 'held-back' && typeof by !== 'string') return undefined
  const error = unpackError(state.error)
  if (!error && (name === 'failed' || name === 'waiting' || state.error !== undefined)) return undefined
  return (error ? { ...state, error } : state) as unknown as StreamState
}

export function unpackError(value: unknown): MillraceError | undefined {
  const { code, message, retryable, status, endpoint, retryAfter } = (value ?? {}) as Readonly<Record<string, unknown>>
  if (typeof code !== 'string' || typeof message !== 'string') return undefined
  return new MillraceError(code as MillraceErrorCode, message, {
    retryable: retryable === true,
    status: typeof status === 'number' ? status : undefined,
    endpoint: typeof endpoint === 'string' ? endpoint : undefined,
    retryAfter: typeof retryAfter === 'number' ? retryAfter : undefined,
  })
}

/** Messages of a stream; undefined if they are none. */
export function unpackMessages(value: unknown): readonly Message[] | undefined {
  return isListOf(isMessage, value) ? value : undefined
}

/** What `new Headers` takes without looking for long. */
export function isHeaderList(value: unknown): value is [string, string][] {
  return isListOf(isPair, value)
}

function isPair(value: unknown): value is [string, string] {
  return Array.isArray(value) && value.length === 2 && typeof value[0] === 'string' && typeof value[1] === 'string'
}

/** Not by `every`: it passes over holes, of which a message of a few bytes may have four billion. */
function isListOf<T>(isOne: (value: unknown) => value is T, value: unknown): value is T[] {
  return Array.isArray(value) && value.findIndex((each) => !isOne(each)) < 0
}

function isMessage(value: unknown): value is Message {
  const message = value as Message | null
  return (
    typeof message?.event === 'string' &&
    typeof message.data === 'string' &&
    typeof message.lastEventId === 'string' &&
    (message.id === undefined || typeof message.id === 'string')
  )
}
