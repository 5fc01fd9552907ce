import { type BackoffOptions, defineChannel, type MillraceError, type StreamEvent } from 'millrace'
import { startClient } from '../behaviour/channels/watch'
import { record } from '../behaviour/reconnecting-event-source/recorder'

/** What somebody who follows a journal has seen of it, whatever they follow it with. */
export interface Reader {
  /** Of all events, in order, as numbers. */
  readonly ids: readonly number[]
  /** Of all events, in order. */
  readonly data: readonly unknown[]
  readonly isOpen: boolean
  readonly losses: readonly { code: MillraceError['code'] | undefined; at: number }[]
  /** Each time it was told that it is not connected, and not when it will be. */
  readonly deadEnds: readonly string[]
}

export interface ReaderOptions {
  idleTimeout?: number
  backoff?: Partial<BackoffOptions>
}

/** Reconnects within milliseconds. */
export const quick = { base: 4, cap: 20, resetAfter: 100 }

export const readers = { 'a channel': readChannel, ReconnectingEventSource: readSource }
export const readerNames = Object.keys(readers) as (keyof typeof readers)[]

function readChannel(url: string, { idleTimeout, backoff = quick }: ReaderOptions = {}): Reader {
  const { client } = startClient({ limits: { backgroundPerMinute: Infinity }, backoff })
  const channel = defineChannel<unknown, StreamEvent>({
    key: url,
    stream: url,
    ...(idleTimeout !== undefined && { idleTimeout }),
  })
  const ids: number[] = []
  const data: unknown[] = []
  const losses: { code: MillraceError['code'] | undefined; at: number }[] = []
  const deadEnds: string[] = []
  let before = { status: '', attempt: 0 }
  client.subscribe(channel, {
    next(event) {
      ids.push(Number(event.id))
      data.push(event.data)
    },
    state({ status, error, retryAt, attempt }) {
      const isLoss = status === 'reconnecting' && (before.status !== status || before.attempt < attempt)
      if (isLoss) losses.push({ code: error?.code, at: performance.now() })
      before = { status, attempt }
      const hasWay = status === 'connecting' || status === 'live' || (status === 'reconnecting' && error && retryAt)
      if (!hasWay) deadEnds.push(`${status}, ${error?.message}, next attempt at ${retryAt}`)
    },
  })
  return {
    ids,
    data,
    losses,
    deadEnds,
    get isOpen() {
      return client.getState(channel).status === 'live'
    },
  }
}

function readSource(url: string, { idleTimeout, backoff = quick }: ReaderOptions = {}): Reader {
  const { source, messages } = record(url, { backoff, ...(idleTimeout !== undefined && { idleTimeout }) })
  const losses: { code: MillraceError['code'] | undefined; at: number }[] = []
  const deadEnds: string[] = []
  source.onerror = ({ error, retryAt }) => {
    losses.push({ code: error?.code, at: performance.now() })
    if (source.readyState !== source.CONNECTING || !retryAt) deadEnds.push(`${source.readyState}, ${error?.message}`)
  }
  return {
    get ids() {
      return messages.map(({ id }) => Number(id))
    },
    get data() {
      return messages.map(({ data }) => JSON.parse(data))
    },
    losses,
    deadEnds,
    get isOpen() {
      return source.readyState === source.OPEN
    },
  }
}
