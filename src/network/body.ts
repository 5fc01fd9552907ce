/** Reading bodies to their end, bounded in size and in time. */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { Clock } from '../primitives/clock'
import { isMillraceError, MillraceError } from '../primitives/errors'
import { networkError } from '../primitives/http'
import { issueAt, printable } from '../primitives/printable'

/** A JSON body beyond this is refused: it would be held in memory several times over. */
const LARGEST_JSON = 32 * 2 ** 20

/** Resolves with the bytes, or with undefined as soon as there are more than `limit` of them. */
export async function readBody(
  response: Response,
  {
    endpoint,
    clock,
    timeout,
    limit,
    signal,
  }: { endpoint: string; clock: Clock; timeout: number; limit: number; signal: AbortSignal },
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const reader = response.body?.getReader()
  if (!reader) return new Uint8Array()
  const chunks: Uint8Array[] = []
  let length = 0
  let late: MillraceError | undefined
  const drop = () => void reader.cancel().catch(() => {})
  const cancelTimer = clock.after(
    timeout,
    () => {
      const message = `${endpoint} did not finish its body within ${timeout} ms. Trying again later.`
      late = new MillraceError('timeout', message, { endpoint, retryable: true })
      drop()
    },
    `body ${endpoint}`,
  )
  signal.addEventListener('abort', drop)
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (late) throw late
      signal.throwIfAborted()
      if (done) break
      length += value.byteLength
      if (length > limit) {
        drop()
        return undefined
      }
      chunks.push(value)
    }
  } catch (error) {
    if (signal.aborted) throw signal.reason
    throw isMillraceError(error) ? error : networkError(endpoint, 'broke off its body', error)
  } finally {
    cancelTimer()
    signal.removeEventListener('abort', drop)
  }
  const bytes = new Uint8Array(length)
  let at = 0
  for (const chunk of chunks) {
    bytes.set(chunk, at)
    at += chunk.byteLength
  }
  return bytes
}

/** Reads a body as JSON. Rejects with `too-large` or `invalid-body`. */
export async function readJson(
  response: Response,
  options: { endpoint: string; clock: Clock; timeout: number; signal: AbortSignal },
): Promise<{ readonly value: unknown; readonly bytes: number }> {
  const { endpoint } = options
  const bytes = await readBody(response, { ...options, limit: LARGEST_JSON })
  if (!bytes)
    throw new MillraceError('too-large', `${endpoint} answered with a body of over 32 MiB: ask for less at once.`, {
      endpoint,
    })
  try {
    return { value: JSON.parse(new TextDecoder().decode(bytes)), bytes: bytes.byteLength }
  } catch {
    const type = printable(response.headers.get('content-type') ?? 'no content type')
    const message = `${endpoint} answered with a body that is not JSON (${type}): a login page or a proxy may have answered.`
    throw new MillraceError('invalid-body', message, { endpoint })
  }
}

/** Validates with any Standard Schema. Rejects with `invalid-body`. */
export async function validateBody<T>(
  schema: StandardSchemaV1<unknown, T>,
  value: unknown,
  endpoint: string,
): Promise<T> {
  const result = await schema['~standard'].validate(value)
  if (!result.issues) return result.value
  const message = `${endpoint} answered with a body that does not fit its schema${issueAt(result.issues)}: the server has changed, or the schema is wrong.`
  throw new MillraceError('invalid-body', message, { endpoint })
}
