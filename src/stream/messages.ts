import { createParser } from 'eventsource-parser'

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

export interface MessageReader {
  /** The messages that this chunk completes. */
  read(chunk: Uint8Array): readonly Message[]
  /** The id of the last finished block, blocks of an id alone included. */
  readonly lastEventId: string
  /** Whether a block, or a line, has outgrown the bound: nothing more can be read. */
  readonly overflown: boolean
}

/** A longer id would not fit into the header that sends it back, so it is not kept. */
const LONGEST_ID = 4_096

/**
 * Bytes to messages (WHATWG HTML 9.2.6). What is cut off at the end of a stream is never dispatched, and its id never
 * becomes the last one.
 */
export function createMessageReader(options: {
  lastEventId: string
  maxEventBytes: number
  onComment: () => void
  onRetry: (ms: number) => void
}): MessageReader {
  // The parser takes the byte order mark away; a decoder that took it too would take two.
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
  let { lastEventId } = options
  let messages: Message[] = []
  let overflown = false

  const parser = createParser({
    maxBufferSize: options.maxEventBytes,
    onComment: options.onComment,
    onRetry: options.onRetry,
    onId(id) {
      if (id.length <= LONGEST_ID) lastEventId = id
    },
    onEvent({ id, event, data }) {
      // An event that arrives in one chunk never meets the parser's buffer, hence its bound.
      if (data.length > options.maxEventBytes) overflown = true
      if (!overflown) messages.push({ event: event ?? '', data, id, lastEventId })
    },
    onError({ type }) {
      if (type === 'max-buffer-size-exceeded') overflown = true
    },
  })

  return {
    read(chunk) {
      parser.feed(decoder.decode(chunk, { stream: true }))
      const read = messages
      messages = []
      return read
    },
    get lastEventId() {
      return lastEventId
    },
    get overflown() {
      return overflown
    },
  }
}

/**
 * An id as a header value: its UTF-8 bytes, one character each, since `fetch` takes no others (WHATWG HTML 9.2.4);
 * undefined for none, and for one with control characters, which no header can carry.
 */
export function encodeLastEventId(id: string): string | undefined {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return /^$|[\x00-\x08\x0a-\x1f\x7f]/.test(id) ? undefined : String.fromCharCode(...new TextEncoder().encode(id))
}
