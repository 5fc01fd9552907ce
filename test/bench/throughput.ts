import type { StreamEvent } from 'millrace'
import { unlimitedClient } from './clients'
import { compare } from './compare'
import type { Contender, Contenders } from './contender'
import { startCpuTime } from './cpu-time'
import { BURST, type Quote } from './server'
import { perSecond, type Row, rowOf } from './table'

/** Begins to read a stream, hands on the parsed data of each event, and answers how to stop. */
type Read = (url: string, take: (quote: Quote) => void) => () => void

/** What all that are like the browser's `EventSource` have. */
interface EventSourceLike {
  onmessage: ((event: MessageEvent<string>) => void) | null
  close(): void
}

export const contenders: Contenders = {
  async 'bare fetch'(origin) {
    const { createParser } = await import('eventsource-parser')
    return timed(origin, (url, take) => {
      const stop = new AbortController()
      void (async () => {
        const decoder = new TextDecoder()
        const parser = createParser({ onEvent: ({ data }) => take(JSON.parse(data)) })
        const { body } = await fetch(url, { signal: stop.signal, headers: { accept: 'text/event-stream' } })
        const reader = body?.getReader()
        for (;;) {
          const chunk = await reader?.read()
          if (!chunk?.value) return
          parser.feed(decoder.decode(chunk.value, { stream: true }))
        }
      })().catch(unlessAborted(stop.signal))
      return () => stop.abort()
    })
  },

  async 'millrace client'(origin) {
    const { defineChannel } = await import('millrace')
    const client = await unlimitedClient()
    return timed(origin, (url, take) => {
      const channel = defineChannel<Quote, StreamEvent<string, Quote>>({ key: url, stream: url, grace: 1, keep: 0 })
      return client.subscribe(channel, ({ data }) => take(data)).unsubscribe
    })
  },

  async ReconnectingEventSource(origin) {
    const { ReconnectingEventSource } = await import('millrace')
    return timedEventSource(origin, (url) => new ReconnectingEventSource(url))
  },

  async eventsource(origin) {
    const { EventSource } = await import('eventsource')
    return timedEventSource(origin, (url) => new EventSource(url) as EventSourceLike)
  },

  "Node's EventSource": (origin) => {
    const { EventSource } = globalThis as { EventSource?: new (url: string) => EventSourceLike }
    if (!EventSource) throw new Error('this Node has none')
    return timedEventSource(origin, (url) => new EventSource(url))
  },

  async 'eventsource-client'(origin) {
    const { createEventSource } = await import('eventsource-client')
    return timed(origin, (url, take) => {
      const source = createEventSource({ url, onMessage: ({ data }) => take(JSON.parse(data)) })
      return () => source.close()
    })
  },

  async 'fetch-event-source'(origin) {
    // It knows pages only: this is the part of one that it touches.
    Object.assign(globalThis, { window: globalThis, document: new EventTarget() })
    const { fetchEventSource } = await import('@microsoft/fetch-event-source')
    return timed(origin, (url, take) => {
      const stop = new AbortController()
      fetchEventSource(url, {
        signal: stop.signal,
        openWhenHidden: true,
        onmessage: ({ data }) => take(JSON.parse(data)),
      }).catch(unlessAborted(stop.signal))
      return () => stop.abort()
    })
  },
}

export async function throughput(origin: string): Promise<Row[]> {
  const flag = '--experimental-eventsource'
  const flags = process.allowedNodeEnvironmentFlags.has(flag) ? { "Node's EventSource": [flag] } : {}
  const all = await compare(import.meta.url, Object.keys(contenders), {
    origin,
    flags,
    rounds: 20,
    warmUps: 3,
    seconds: 40,
  })
  const ours = 'millrace client'
  const source = 'ReconnectingEventSource'
  const sources = ['eventsource', "Node's EventSource"]
  const row = (what: string, ours: string, against: string, limit?: Row['limit']) =>
    rowOf(all, 'perSecond', { what, ours, against, show: perSecond, limit })
  return [
    row('stream to one subscriber', ours, 'bare fetch', ['≥', 0.9]),
    ...[...sources, 'eventsource-client', 'fetch-event-source'].map((peer) =>
      row('stream to one subscriber', ours, peer, ['>', 1]),
    ),
    row(source, source, 'bare fetch'),
    ...sources.map((peer) => row(source, source, peer, ['>', 1])),
  ]
}

/** What it costs from the request to the last event of a burst. */
function timed(origin: string, read: Read): Contender {
  let rounds = 0
  return {
    async round() {
      rounds += 1
      let stop = () => {}
      const cpuTime = startCpuTime()
      await new Promise<void>((resolve) => {
        let left = BURST
        let volume = 0
        stop = read(`${origin}/burst?round=${rounds}`, (quote) => {
          volume += quote.volume
          left -= 1
          if (left === 0 && volume > 0) resolve()
        })
      })
      const ms = cpuTime()
      stop()
      return { perSecond: (BURST * 1_000) / ms }
    },
  }
}

function timedEventSource(origin: string, open: (url: string) => EventSourceLike): Contender {
  return timed(origin, (url, take) => {
    const source = open(url)
    source.onmessage = ({ data }) => take(JSON.parse(data))
    return () => source.close()
  })
}

function unlessAborted(signal: AbortSignal): (error: unknown) => void {
  return (error) => {
    if (!signal.aborted) throw error
  }
}
