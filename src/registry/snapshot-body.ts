/** What a snapshot's answer says: its body validated and shaped, and where in the stream it stands. */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { JsonAnswer } from '../network/coordinated-fetch'
import { isThenable } from '../primitives/callback'
import { issueAt, outcomeOf } from '../primitives/printable'
import { answered, ignoreRejection, type Mishap } from './callbacks'
import type { ChannelDefinition, Position } from './define-channel'

/** What is wrong with it, or with a function of the channel's own. */
export interface UnreadableBody {
  readonly why: string
  readonly mishap?: Mishap
}

export type SnapshotBody = { readonly value: unknown; readonly position: Position | undefined } | UnreadableBody

/** At once, unless the schema takes its time. */
export function readSnapshot(
  { schema, fromSnapshot, position }: ChannelDefinition,
  { value, headers }: JsonAnswer,
): SnapshotBody | Promise<SnapshotBody> {
  let name = 'schema'
  const threw = (cause: unknown): SnapshotBody => ({
    why: `could not be taken by \`${name}\`, which threw`,
    mishap: { name, cause },
  })
  const shape = (answer: StandardSchemaV1.Result<unknown> | undefined): SnapshotBody => {
    const validated = schema && outcomeOf(answer)
    if (validated?.issues) return { why: `does not fit its schema${issueAt(validated.issues)}` }
    const body = validated ? validated.value : value
    const id = headers.get('last-event-id')
    name = 'position'
    const where = position ? position(body, headers) : id === null ? undefined : { id }
    const stands = placeOf(where)
    name = 'fromSnapshot'
    return { value: fromSnapshot ? answered(fromSnapshot(body), 'the state') : body, position: stands }
  }
  try {
    const result = schema?.['~standard'].validate(value)
    return isThenable(result) ? Promise.resolve(result).then(shape).catch(threw) : shape(result)
  } catch (cause) {
    return threw(cause)
  }
}

/** What `position` answers need not be one. */
function placeOf(answer: Position | undefined): Position | undefined {
  if (isThenable(answer)) ignoreRejection(answer)
  const { id, sequence } = Object(answer) as Position
  return {
    id: typeof id === 'string' ? id : undefined,
    sequence: Number.isSafeInteger(sequence) ? sequence : undefined,
  }
}
