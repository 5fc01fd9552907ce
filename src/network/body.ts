/** Reading bodies to their end, bounded in size. */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { waitFor } from '../primitives/callback'
import type { Timers } from '../primitives/clock'
import { isMillraceError } from '../primitives/errors'
import { headersOf, networkError, requestError } from '../primitives/http'
import { issueAt, outcomeOf, printable } from '../primitives/printable'
import { offAbort, onAbort, throwIfAborted } from '../primitives/until-aborted'
import { decodeUtf8, encodeUtf8 } from '../primitives/utf-8'

/** ms that a schema may take which does not answer at once. */
export { CALLBACK_TIMEOUT as SCHEMA_TIMEOUT } from '../primitives/callback'

/** A JSON body beyond this is refused: it would be held in memory several times over. */
const LARGEST_JSON = 32 * 2 ** 20

/** Resolves with the bytes, or with undefined as soon as there are more than `limit` of them. */
export async function readBytes(
  body: ReadableStream<Uint8Array>,
  limit: number,
  signal?: AbortSignal,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const reader = body.getReader()
  const chunks: Uint8Array[] = []
  let length = 0
  const drop = () => void reader.cancel().catch(() => {})
  if (signal) onAbort(signal, drop)
  try {
    for (;;) {
      const { done, value } = await reader.read()
      throwIfAborted(signal)
      if (done) break
      length += value.byteLength
      if (length > limit) {
        drop()
        return undefined
      }
      chunks.push(value)
    }
  } finally {
    if (signal) offAbort(signal, drop)
  }
  const bytes = new Uint8Array(length)
  let at = 0
  for (const chunk of chunks) {
    bytes.set(chunk, at)
    at += chunk.byteLength
  }
  return bytes
}

/** The same for an answer. A `fetch` of the user's may give a body that cannot be read in pieces: it is read whole. */
export async function readBody(
  response: Response,
  endpoint: string,
  limit: number,
  signal: AbortSignal,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const { body } = response
  try {
    if (isReadable(body)) return await readBytes(body, limit, signal)
    const bytes = await readWhole(response)
    return bytes.length > limit ? undefined : bytes
  } catch (error) {
    throwIfAborted(signal)
    throw isMillraceError(error) ? error : networkError(endpoint, 'broke off its body', error)
  }
}

export function isReadable(body: unknown): body is ReadableStream<Uint8Array> {
  return typeof (body as Partial<ReadableStream> | null | undefined)?.getReader === 'function'
}

async function readWhole(response: Response): Promise<Uint8Array<ArrayBuffer>> {
  if (typeof response.arrayBuffer === 'function') return new Uint8Array(await response.arrayBuffer())
  const text = typeof response.text === 'function' ? await response.text() : JSON.stringify(await response.json())
  return encodeUtf8(text)
}

/** Reads a body as JSON; undefined if it is empty where it may be. Rejects with `too-large` or `invalid-body`. */
export async function readJson(
  response: Response,
  endpoint: string,
  mayBeEmpty: boolean,
  signal: AbortSignal,
): Promise<{ readonly value: unknown; readonly bytes: number } | undefined> {
  const bytes = await readBody(response, endpoint, LARGEST_JSON, signal)
  if (!bytes) throw requestError('too-large', endpoint, 'answered with a body of over 32 MiB: ask for less at once.')
  if (mayBeEmpty && bytes.length === 0) return undefined
  const text = decodeUtf8(bytes).replace(/^\ufeff/, '')
  try {
    return { value: JSON.parse(text), bytes: bytes.byteLength }
  } catch (error) {
    const type = printable(headersOf(response).get('content-type') ?? 'no content type')
    throw invalidBody(endpoint, `is not JSON (${type}): ${whyNot(text, error as Error)}`)
  }
}

/** What the parser says, without what it quotes of the body. Each engine has words of its own for the end. */
function whyNot(text: string, { message }: Error): string {
  if (text.trim() === '') return 'it is empty, "Unexpected end of JSON input"'
  if (/^\s*</.test(text)) return 'a login page or a proxy may have answered, it begins with "<"'
  const where = / at (position|line) (\d+)( column \d+)?/.exec(message)
  const isAtEnd = where?.[1] === 'position' && Number(where[2]) >= text.length
  if (isAtEnd || /\bend\b|EOF|untermin/i.test(message)) return 'it ends in the middle, "Unexpected end of JSON input"'
  return `the parser stumbles${where?.[0] ?? ''}`
}

/** Validates with any Standard Schema. Rejects with `invalid-body`, or with `callback` if the schema itself fails. */
export async function validateBody<T>(
  schema: StandardSchemaV1<unknown, T>,
  value: unknown,
  endpoint: string,
  clock: Pick<Timers, 'after'>,
): Promise<T> {
  const result = outcomeOf(await waitFor('schema', endpoint, clock, () => schema['~standard'].validate(value)))
  if (!result.issues) return result.value
  throw invalidBody(
    endpoint,
    `does not fit its schema${issueAt(result.issues)}: the server has changed, or the schema is wrong`,
  )
}

function invalidBody(endpoint: string, what: string): Error {
  return requestError('invalid-body', endpoint, `answered with a body that ${what}.`)
}
