/** What a stream's request says, and what its answer means. */
import { requestError, statusError, toHeaders } from '../primitives/http'
import { printable } from '../primitives/printable'
import { toBinary } from '../primitives/utf-8'

const STREAM = 'text/event-stream'

/** A longer id would not fit into the header that sends it back, so it is neither kept nor sent. */
export const LONGEST_ID = 4_096

/**
 * The caller's headers and the stream's own. An id goes as its UTF-8 bytes, one character each, since `fetch` takes no
 * others (WHATWG HTML 9.2.4), and not at all if it is too long or has control characters, which no header can carry.
 */
export function streamHeaders(given: HeadersInit | undefined, lastEventId: string): Headers {
  const headers = toHeaders(given)
  headers.set('accept', STREAM)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  if (lastEventId.length <= LONGEST_ID && !/^$|[\x00-\x08\x0a-\x1f\x7f]/.test(lastEventId))
    headers.set('last-event-id', toBinary(lastEventId))
  return headers
}

/** Whether the answer says that what came after this id is not what follows: it has `Last-Event-ID`, and another one. */
export function hasLostHistory({ headers }: Response, lastEventId: string): boolean {
  const standsAt = headers.get('last-event-id')
  return lastEventId !== '' && standsAt !== null && standsAt !== lastEventId && standsAt !== toBinary(lastEventId)
}

/** @throws MillraceError `config` if this `fetch` hands out whole bodies alone: none of a stream would ever be read */
export function readerOf({ body }: Response, endpoint: string): ReadableStreamDefaultReader<Uint8Array> | undefined {
  // No body at all is a stream that has ended.
  if (body === null) return undefined
  if (typeof body?.getReader === 'function') return body.getReader()
  const what =
    'cannot be read: this `fetch` does not hand out a body in pieces. Use one that does (in React Native `expo/fetch`).'
  throw requestError('config', endpoint, what)
}

/** Whether an answer is a stream; false if it is the end of one (204). @throws MillraceError if it is neither */
export function isStream(response: Response, endpoint: string, now: number): boolean {
  const { status, headers } = response
  if (status === 204) return false
  if (status !== 200) throw statusError(endpoint, response, now)
  const [type = ''] = (headers.get('content-type') || 'no content type').split(';', 1)
  if (type.trim().toLowerCase() === STREAM) return true
  const what = `answered with ${printable(type)}, expected ${STREAM}: the URL is wrong, or a login page or a proxy answered.`
  throw requestError('content-type', endpoint, what, { status })
}
