import type { StandardSchemaV1 } from '@standard-schema/spec'

/**
 * Where a value does not fit its schema, for a message. The issue's own text may quote data, so it is left out; the
 * names on the path are the server's, so they are bounded and plain.
 */
export function issueAt(issues: readonly StandardSchemaV1.Issue[]): string {
  const path = issues[0]?.path?.map((part) => String(typeof part === 'object' ? part.key : part)).join('.')
  return path ? ` at \`${printable(path)}\`` : ''
}

/** A server's own word, fit for a message: bounded, and without control characters. */
export function printable(text: string): string {
  return text.slice(0, 80).replace(/[^ -~]/g, '?')
}
