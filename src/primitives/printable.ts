import type { StandardSchemaV1 } from '@standard-schema/spec'

/** What a schema has answered; what no Standard Schema may answer is taken for a value that does not fit. */
export function outcomeOf<T>(answer: StandardSchemaV1.Result<T> | undefined): StandardSchemaV1.Result<T> {
  const given = Object(answer) as StandardSchemaV1.Result<T>
  const isOutcome = given.issues ? Array.isArray(given.issues) : 'value' in given
  return isOutcome ? given : { issues: [] }
}

/**
 * Where a value does not fit its schema, for a message. The issue's own text may quote data, so it is left out; the
 * names on the path are the server's, so they are bounded and plain.
 */
export function issueAt(issues: readonly StandardSchemaV1.Issue[]): string {
  const path: unknown = issues[0]?.path
  if (!Array.isArray(path) || path.length === 0) return ''
  return ` at \`${printable(path.map((part) => String(part?.key ?? part)).join('.'))}\``
}

/** A server's own word, fit for a message: bounded, and without control characters. */
export function printable(text: string): string {
  return text.slice(0, 80).replace(/[^ -~]/g, '?')
}
