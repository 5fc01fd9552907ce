/** Reading bodies to their end, bounded in size and in time. */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { Clock } from '../primitives/clock'
import { isMillraceError } from '../primitives/errors'
import { networkError, requestError } from '../primitives/http'
import { issueAt, outcomeOf, printable } from '../primitives/printable'

/** A JSON body beyond this is refused: it would be held in memory several times over. */
const LARGEST_JSON = 32 * 2 ** 20

/** Resolves with the bytes, or with undefined as soon as there are more than `limit` of them. */
export async function readBody(
  response: Response,
  endpoint: string,
  clock: Clock,
  timeout: number,
  limit: number,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const reader = response.body?.getReader()
  const chunks: Uint8Array[] = []
  let length = 0
  let isLate = false
  const drop = () => reader?.cancel().catch(() => {})
  const late = () => {
    isLate = true
    drop()
  }
  const cancelTimer = clock.after(timeout, late, `body ${endpoint}`)
  try {
    while (reader) {
      const { done, value } = await reader.read()
      if (isLate) throw networkError(endpoint, `did not finish its body within ${timeout} ms`, undefined, 'timeout')
      if (done) break
      length += value.byteLength
      if (length > limit) {
        drop()
        return undefined
      }
      chunks.push(value)
    }
  } catch (error) {
    throw isMillraceError(error) ? error : networkError(endpoint, 'broke off its body', error)
  } finally {
    cancelTimer()
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
  endpoint: string,
  clock: Clock,
  timeout: number,
): Promise<{ readonly value: unknown; readonly bytes: number }> {
  const bytes = await readBody(response, endpoint, clock, timeout, LARGEST_JSON)
  if (!bytes) throw requestError('too-large', endpoint, 'answered with a body of over 32 MiB: ask for less at once.')
  try {
    return { value: JSON.parse(new TextDecoder().decode(bytes)), bytes: bytes.byteLength }
  } catch {
    const type = printable(response.headers.get('content-type') ?? 'no content type')
    throw invalidBody(endpoint, `is not JSON (${type}): a login page or a proxy may have answered`)
  }
}

/** ms that a schema may take which does not answer at once. */
export const SCHEMA_TIMEOUT = 15_000

/** Validates with any Standard Schema. Rejects with `invalid-body`. */
export async function validateBody<T>(
  schema: StandardSchemaV1<unknown, T>,
  value: unknown,
  endpoint: string,
  clock: Clock,
): Promise<T> {
  let answer = schema['~standard'].validate(value)
  if (answer instanceof Promise) {
    let cancelTimer = () => {}
    const late = new Promise<never>((_, reject) => {
      const giveUp = () => reject(invalidBody(endpoint, `its schema has not validated within ${SCHEMA_TIMEOUT} ms`))
      cancelTimer = clock.after(SCHEMA_TIMEOUT, giveUp, `schema ${endpoint}`)
    })
    answer = await Promise.race([answer, late]).finally(cancelTimer)
  }
  const result = outcomeOf(answer)
  if (!result.issues) return result.value
  throw invalidBody(
    endpoint,
    `does not fit its schema${issueAt(result.issues)}: the server has changed, or the schema is wrong`,
  )
}

function invalidBody(endpoint: string, what: string): Error {
  return requestError('invalid-body', endpoint, `answered with a body that ${what}.`)
}
