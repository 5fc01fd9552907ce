import type { StreamEvent } from 'millrace'
import { settledHeap } from '../support/heap'
import { openFiles } from '../support/open-files'
import { unlimitedClient } from './clients'
import { compare, quantile } from './compare'
import type { Contender, Contenders } from './contender'
import { monotonic, type Quote } from './server'
import { kilobytes, milliseconds, type Row } from './table'

const WANTED = 10_000
/** Descriptors that a process needs besides its sockets. */
const SPARE = 200
const streams = Math.min(WANTED, (openFiles() ?? Infinity) - SPARE)
/** Streams that are opened side by side. */
const BATCH = 200
const PER_SECOND = 2_000
/** Streams that get an event in one pulse. */
const EVENTS = Math.floor(streams / 2)

interface Listening {
  /** Its answer has come. */
  opened(): void
  take(quote: Quote): void
}

export const contenders: Contenders = {
  /** Holds the connections and reads them, no more. */
  'bare fetch': (origin) => {
    const decoder = new TextDecoder()
    return measured(origin, async (url, { opened, take }) => {
      const { body } = await fetch(url)
      opened()
      const reader = body?.getReader()
      for (;;) {
        const chunk = await reader?.read()
        if (!chunk?.value) return
        const [, data] = /^data: (.*)$/m.exec(decoder.decode(chunk.value)) ?? []
        if (data) take(JSON.parse(data))
      }
    })
  },

  async 'millrace client'(origin) {
    const { defineChannel } = await import('millrace')
    const client = await unlimitedClient()
    return measured(origin, (url, { opened, take }) => {
      const channel = defineChannel<Quote, StreamEvent<string, Quote>>({ key: url, stream: url })
      client.subscribe(channel, {
        next: ({ data }) => take(data),
        state: ({ status }) => status === 'live' && opened(),
      })
    })
  },
}

export async function manyStreams(origin: string): Promise<Row[]> {
  const ours = 'millrace client'
  const against = 'bare fetch'
  const all = await compare(import.meta.url, [against, ours], { origin, rounds: 1, fresh: true, seconds: 30 })
  const short = streams < WANTED ? ` (for ${WANTED.toLocaleString('en')}, raise \`ulimit -n\`)` : ''
  const what = `${streams.toLocaleString('en')} channels on as many streams${short}`
  const failure = all.failure(ours) ?? all.failure(against)
  const heap = all.spread(ours, 'heap')
  const bare = all.spread(against, 'heap')
  const p99 = all.spread(ours, 'p99')
  const best = all.spread(ours, 'best')
  const worst = all.spread(ours, 'worst')
  return [
    {
      what: `${what}: heap each, above`,
      ours: kilobytes(heap),
      against,
      theirs: kilobytes(bare),
      value: heap &&
        bare && {
          median: (heap.median - bare.median) / 1_000,
          low: (heap.low - bare.high) / 1_000,
          high: (heap.high - bare.low) / 1_000,
        },
      unit: 'kB',
      limit: ['<', 20],
      failure,
    },
    {
      what: `p99 from write to handler, ${PER_SECOND.toLocaleString('en')} events/s`,
      ours: milliseconds(p99),
      against,
      theirs: milliseconds(all.spread(against, 'p99')),
      value: p99 && best && worst && { median: p99.median, low: best.median, high: worst.median, best: best.median },
      unit: 'ms',
      limit: ['<', 100],
      failure,
    },
  ]
}

function measured(origin: string, open: (url: string, listening: Listening) => unknown): Contender {
  return {
    async round() {
      const latencies: number[] = []
      let told = () => {}
      const before = await settledHeap()
      for (let first = 0; first < streams; first += BATCH)
        await Promise.all(
          Array.from(
            { length: Math.min(BATCH, streams - first) },
            (_, n) =>
              new Promise<void>((resolve) => {
                open(`${origin}/quiet?n=${first + n}`, { opened: resolve, take })
              }),
          ),
        )
      const heap = ((await settledHeap()) - before) / streams
      const pulses = [await pulse(), await pulse(), await pulse()]
      const [best = Number.NaN, p99 = Number.NaN, worst = Number.NaN] = pulses.sort((a, b) => a - b)
      return { heap, best, p99, worst }

      async function pulse(): Promise<number> {
        latencies.length = 0
        const all = new Promise<void>((resolve) => {
          told = resolve
        })
        await fetch(`${origin}/pulse?events=${EVENTS}&perSecond=${PER_SECOND}`)
        await all
        return quantile(latencies, 0.99) ?? Number.NaN
      }

      function take({ at }: Quote): void {
        latencies.push(monotonic() - at)
        if (latencies.length === EVENTS) told()
      }
    },
  }
}
