import { MillraceError } from '../primitives/errors'
import { statusError } from '../primitives/http'
import { printable } from '../primitives/printable'

/** What an answer to a stream's request means: a stream, the end of it, or an error (retryable or final). */
export function judgeStreamAnswer(
  response: Response,
  endpoint: string,
  now: number,
): 'stream' | 'complete' | MillraceError {
  if (response.status === 204) return 'complete'
  if (response.status !== 200) return statusError(endpoint, response, now)
  const type = response.headers.get('content-type')?.split(';', 1)[0]?.trim().toLowerCase() || 'no content type'
  if (type === 'text/event-stream') return 'stream'
  const message = `${endpoint} answered with ${printable(type)}, expected text/event-stream: the stream URL is wrong, or a login page or a proxy answered.`
  return new MillraceError('content-type', message, { status: 200, endpoint })
}
