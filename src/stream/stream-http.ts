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

/** A stream without a body is one that has ended. */
const nothing = { read: async () => ({ done: true, value: undefined }) as const, cancel: async () => {} }

/** What an answer brings. @throws MillraceError if it is no stream, or says that there will be none (204) */
export function bytesOf(
  response: Response,
  endpoint: string,
  now: number,
): Pick<ReadableStreamDefaultReader<Uint8Array>, 'read' | 'cancel'> {
  const { status, headers, body } = response
  if (status !== 200) throw statusError(endpoint, response, now)
  const [type = ''] = (headers.get('content-type') || 'no content type').split(';', 1)
  if (type.trim().toLowerCase() !== STREAM) {
    const what = `answered with ${printable(type)}, expected ${STREAM}: a wrong URL, a login page or a proxy.`
    throw requestError('content-type', endpoint, what, { status })
  }
  if (body === null) return nothing
  if (typeof body?.getReader === 'function') return body.getReader()
  const what = 'cannot be read in pieces by this `fetch`: use one that streams (in React Native `expo/fetch`).'
  throw requestError('config', endpoint, what)
}
