/** Messages to typed events: JSON, one envelope, schemas. */

import type { StandardSchemaV1 } from '@standard-schema/spec'
import { isThenable } from '../primitives/callback'
import { lastIndexOf } from '../primitives/plain'
import { issueAt, outcomeOf, printable } from '../primitives/printable'
import type { Message } from '../stream/messages'
import { ignoreRejection, type Mishap, mayReject } from './callbacks'
import type { ChannelDefinition, Normalized, NormalizedEvent, Schemas, StreamEvent } from './define-channel'

/** What is wrong with an event; `mishap`: a function of the channel's own is. */
export interface Invalid {
  readonly why: string
  readonly mishap?: Mishap
}

/** A type that is not listed; '' if a message is no event at all. */
export type Decoded = StreamEvent | Invalid | string

/** An event is told from what is wrong with it. */
export function isEvent(decoded: Decoded): decoded is StreamEvent {
  return typeof decoded === 'object' && 'receivedAt' in decoded
}

/** What `normalize` makes of a message, or what it threw. */
export type Reading =
  | { readonly answer: Normalized /** The last one that it gives. */; readonly id: string | undefined }
  | Invalid

export function decode(
  definition: ChannelDefinition,
  message: Message,
  receivedAt: number,
  reading?: Reading,
): readonly Decoded[] {
  const { event, data, id } = message
  if (reading) {
    if (!('answer' in reading)) return [reading]
    const answers = [reading.answer].flat() as readonly (NormalizedEvent | undefined)[]
    return answers.map((one) => shape(definition, one, id, receivedAt))
  }
  const body = parse(data, definition.parse)
  if (body === notJson) return [{ why: 'is not JSON, as `parse` expects' }]
  const { type, data: value } = unwrap(event, body, definition.events)
  return [validate(definition, type, value, id, receivedAt)]
}

/** Calls `normalize`, once for each message. */
export function normalized({ normalize }: ChannelDefinition, { event, data, id }: Message): Reading {
  const misread = 'could not be read by `normalize`'
  try {
    const answer = normalize?.(id === undefined ? { event, data } : { event, data, id })
    if (!mayReject(answer)) return { answer, id: idOf(answer) }
    ignoreRejection(answer)
    return { why: `${misread}, which answered a promise` }
  } catch (cause) {
    return { why: `${misread}, which threw`, mishap: { name: 'normalize', cause } }
  }
}

function idOf(answer: Normalized): string | undefined {
  const answers = (Array.isArray(answer) ? answer : [answer]) as readonly (NormalizedEvent | undefined)[]
  return answers[lastIndexOf(answers, (one) => typeof one?.id === 'string')]?.id
}

function shape(
  definition: ChannelDefinition,
  named: Partial<NormalizedEvent> | undefined,
  id: string | undefined,
  receivedAt: number,
): Decoded {
  if (!named) return ''
  const { type } = named
  if (typeof type === 'string') return validate(definition, type, named.data, named.id ?? id, receivedAt)
  if (type === undefined && typeof named.id === 'string' && !Object.hasOwn(named, 'data')) return ''
  return { why: 'could not be read by `normalize`: expected `{ type, data }`' }
}

function validate(
  { events }: ChannelDefinition,
  type: string,
  data: unknown,
  id: string | undefined,
  receivedAt: number,
): Decoded {
  let value = data
  if (events) {
    const schema = Object.hasOwn(events, type) ? events[type] : undefined
    if (!schema) return type || 'message'
    const name = printable(type)
    try {
      const result = schema['~standard'].validate(value)
      if (isThenable(result)) {
        // Some libraries turn to promises when a function of the schema throws.
        ignoreRejection(result)
        return { why: `"${name}" has a schema that answers later, or throws` }
      }
      const outcome = outcomeOf(result as StandardSchemaV1.Result<unknown>)
      if (outcome.issues) return { why: `"${name}" does not fit its schema${issueAt(outcome.issues)}` }
      value = outcome.value
    } catch (cause) {
      return { why: `"${name}" made its schema throw`, mishap: { name: `events.${name}`, cause } }
    }
  }
  return id === undefined ? { type, data: value, receivedAt } : { type, data: value, id, receivedAt }
}

/** Whether every message is an event, the state is the latest, and nothing of the channel's own looks at it. */
export function isPlain({ events, normalize, sequence, reduce, until, done, parse }: ChannelDefinition): boolean {
  return !(events || normalize || sequence || reduce || until || done || parse)
}

/** What {@link decode} makes of a message of a plain channel. */
export function decodePlain({ event, data, id }: Message, receivedAt: number): StreamEvent {
  const type = event || 'message'
  const value = parse(data, undefined)
  return id === undefined ? { type, data: value, receivedAt } : { type, data: value, id, receivedAt }
}

const notJson = Symbol('not JSON')

/**
 * `{`, `[` and `"` begin JSON. Anything else is the text that came, to the last digit and blank; a number is read as one
 * only if it says exactly the same, so that no digit of an id is lost.
 */
function parse(data: string, how: ChannelDefinition['parse']): unknown {
  if (how === 'text') return data
  const first = data.charCodeAt(0)
  if (how !== 'json' && first !== 0x7b && first !== 0x5b && first !== 0x22) return asNumber(data, first)
  // To find out by an error costs ten times the rest of the way: a line of a log ends otherwise than it begins.
  if (how !== 'json' && !ENDS_LIKE_JSON.test(data.at(-1) as string)) return data
  try {
    return JSON.parse(data)
  } catch {
    return how === 'json' ? notJson : data
  }
}

function asNumber(data: string, first: number): string | number {
  if (first !== 0x2d && !(first >= 0x30 && first <= 0x39)) return data
  const number = Number(data)
  return Number.isFinite(number) && String(number) === data ? number : data
}

const ENDS_LIKE_JSON = /[\s}\]"]/

/**
 * The name is the server's `event:`, with the whole body as data. Without one, four formats are told apart, only for
 * names that are listed: `{ type, data }`, `{ event, ...rest }`, `{ type, ...rest }` and `{ name: data }`.
 */
function unwrap(name: string, body: unknown, events: Schemas | undefined): { type: string; data: unknown } {
  if (name !== '') return { type: name, data: body }
  if (events && typeof body === 'object' && body !== null && !Array.isArray(body)) {
    const lists = (type: unknown): type is string => typeof type === 'string' && Object.hasOwn(events, type)
    const fields = body as Record<string, unknown>
    if (lists(fields.type) && Object.hasOwn(fields, 'data')) return { type: fields.type, data: fields.data }
    if (lists(fields.event)) {
      const { event, ...data } = fields
      return { type: event as string, data }
    }
    if (lists(fields.type)) return { type: fields.type, data: body }
    const names = Object.keys(fields)
    const [only] = names
    if (lists(only) && names.length === 1) return { type: only, data: fields[only] }
    // What it calls itself, where nothing is listed that would be it.
    if (!lists('message') && typeof fields.type === 'string') return { type: fields.type, data: body }
  }
  return { type: 'message', data: body }
}
