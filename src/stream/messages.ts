import { createParser } from 'eventsource-parser'
import { networkError } from '../primitives/http'
import { createDecoder } from '../primitives/utf-8'
import { LONGEST_ID } from './stream-http'

/** One dispatched block of an event stream. */
export interface Message {
  /** What the server's `event:` says, '' if it said nothing. */
  readonly event: string
  readonly data: string
  /** The block's own id, if it has one. */
  readonly id: string | undefined
  /** The stream's last id when the block was dispatched: its own, or the one before it. */
  readonly lastEventId: string
}

/** What a stream remembers from one connection to the next. */
export interface StreamMemory {
  /** The id of the last finished block, blocks of an id alone included. */
  lastEventId: string
  /** ms: the delay that the server's last `retry:` asks for. */
  retry: number
  /** Whether a comment has come: the server sends heartbeats. */
  commented: boolean
}

/**
 * Bytes to messages (WHATWG HTML 9.2.6), for one connection: the function takes its chunks one by one, and hands on the
 * messages that each completes, at once. What is cut off at the end of a stream is never dispatched, and its id never
 * becomes the last one.
 *
 * @throws MillraceError `too-large` when a block, or a line, has outgrown the bound: nothing more can be read
 */
export function createMessageReader(
  memory: StreamMemory,
  maxEventBytes: number,
  endpoint: string,
  onMessages: (messages: readonly Message[]) => void,
): (chunk: Uint8Array) => void {
  const decode = createDecoder()
  let messages: Message[] = []
  let overflown = false

  const parser = createParser({
    maxBufferSize: maxEventBytes,
    onComment() {
      memory.commented = true
    },
    onRetry(ms) {
      memory.retry = ms
    },
    onId(id) {
      // What comes after an overflow is never dispatched: its ids must not count either.
      if (!overflown && id.length <= LONGEST_ID) memory.lastEventId = id
    },
    onEvent({ id, event, data }) {
      // An event that arrives in one chunk never meets the parser's buffer, hence its bound.
      overflown ||= data.length > maxEventBytes
      if (!overflown) messages.push({ event: event ?? '', data, id, lastEventId: memory.lastEventId })
    },
  })

  return (chunk) => {
    parser.feed(decode(chunk))
    try {
      // A parser that has overflown takes nothing more. To be told by `onError` would cost an error, with its stack, for
      // each line that it does not know: ten seconds for a million of them.
      parser.feed('')
    } catch {
      overflown = true
    }
    const read = messages
    messages = []
    if (read.length > 0) onMessages(read)
    if (!overflown) return
    const what = `sent an event of over ${maxEventBytes} bytes (\`maxEventBytes\`)`
    throw networkError(endpoint, what, undefined, 'too-large')
  }
}

/** What a message takes where it is kept. */
export function charactersOf({ event, data, lastEventId }: Message): number {
  return event.length + data.length + lastEventId.length
}
