/** What a snapshot's answer says: its body validated and shaped, and where in the stream it stands. */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { JsonAnswer } from '../network/coordinated-fetch'
import { reportException } from '../primitives/errors'
import { issueAt, outcomeOf } from '../primitives/printable'
import type { ChannelDefinition, Position } from './define-channel'

export type SnapshotBody =
  | { readonly value: unknown; readonly position: Position | undefined }
  /** What is wrong with it. */
  | { readonly why: string; readonly cause?: unknown }

/** At once, unless the schema takes its time. */
export function readSnapshot(
  { schema, fromSnapshot, position }: ChannelDefinition,
  { value, headers }: JsonAnswer,
): SnapshotBody | Promise<SnapshotBody> {
  const threw = (cause: unknown): SnapshotBody => {
    reportException(cause)
    return { why: 'could not be taken by `schema`, `fromSnapshot` or `position`, which threw', cause }
  }
  const shape = (answer: StandardSchemaV1.Result<unknown> | undefined): SnapshotBody => {
    const validated = schema && outcomeOf(answer)
    if (validated?.issues) return { why: `does not fit its schema${issueAt(validated.issues)}` }
    const body = validated ? validated.value : value
    const id = headers.get('last-event-id')
    const where = position ? position(body, headers) : id === null ? undefined : { id }
    return { value: fromSnapshot ? fromSnapshot(body) : body, position: where }
  }
  try {
    const result = schema?.['~standard'].validate(value)
    return result instanceof Promise ? result.then(shape).catch(threw) : shape(result)
  } catch (cause) {
    return threw(cause)
  }
}
