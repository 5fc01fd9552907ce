/** Messages to typed events: JSON, one envelope, schemas. */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { issueAt, outcomeOf, printable } from '../primitives/printable'
import type { Message } from '../stream/messages'
import type { ChannelDefinition, Schemas, StreamEvent } from './define-channel'

/** An event; undefined if its type is not listed; or what is wrong with it. */
export type Decoded = StreamEvent | undefined | string

export function decode(definition: ChannelDefinition, message: Message, receivedAt: number): Decoded {
  const { events, normalize } = definition
  const { event, data, id } = message
  let named: { type: string; data: unknown } | undefined
  if (normalize) {
    try {
      named = normalize(id === undefined ? { event, data } : { event, data, id }) as typeof named
    } catch {
      return 'could not be read by `normalize`, which threw'
    }
    if (!named) return undefined
    if (named instanceof Promise) named.catch(() => {})
    if (typeof named.type !== 'string')
      return 'could not be read by `normalize`: expected it to answer `{ type, data }`'
  } else named = unwrap(event, parse(data), events)

  const { type } = named
  let value = named.data
  if (events) {
    const schema = Object.hasOwn(events, type) ? events[type] : undefined
    if (!schema) return undefined
    let result: ReturnType<StandardSchemaV1['~standard']['validate']>
    try {
      result = schema['~standard'].validate(value)
    } catch {
      return `"${type}" made its schema throw`
    }
    if (result instanceof Promise) {
      // Some libraries turn to promises when a function of the schema throws.
      result.catch(() => {})
      return `"${type}" has a schema that validates asynchronously, or throws: expected one that answers at once`
    }
    const outcome = outcomeOf(result)
    if (outcome.issues) return `"${printable(type)}" does not fit its schema${issueAt(outcome.issues)}`
    value = outcome.value
  }
  return id === undefined ? { type, data: value, receivedAt } : { type, data: value, id, receivedAt }
}

/** Whether every message is an event, the state is the latest, and nothing of the channel's own looks at it. */
export function isPlain({ events, normalize, sequence, reduce, until }: ChannelDefinition): boolean {
  return !(events || normalize || sequence || reduce || until)
}

/** What {@link decode} makes of a message of a plain channel. */
export function decodePlain({ event, data, id }: Message, receivedAt: number): StreamEvent {
  const type = event || 'message'
  const value = parse(data)
  return id === undefined ? { type, data: value, receivedAt } : { type, data: value, id, receivedAt }
}

/** What a text must look like to be JSON (RFC 8259): to find out by an error costs ten times the rest of the way. */
const MAY_BE_JSON = /^\s*(?:[{["]|-?\d[\d.eE+-]*\s*$|(?:true|false|null)\s*$)/

function parse(data: string): unknown {
  try {
    // Most data is an object: no more than a look at one character.
    return data.startsWith('{') || MAY_BE_JSON.test(data) ? JSON.parse(data) : data
  } catch {
    return data
  }
}

/**
 * The name is the server's `event:`, with the whole body as data. Without one, three formats are told apart, only for
 * names that are listed: `{ type, data }`, `{ event, ...rest }` and `{ name: data }`.
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
    const names = Object.keys(fields)
    const [only] = names
    if (lists(only) && names.length === 1) return { type: only, data: fields[only] }
  }
  return { type: 'message', data: body }
}
