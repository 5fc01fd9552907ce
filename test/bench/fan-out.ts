import { memoryFetch, unlimitedClient } from './clients'
import { type Comparison, compare } from './compare'
import type { Contender, Contenders } from './contender'
import { startCpuTime } from './cpu-time'
import { nanoseconds, type Row } from './table'

const SUBSCRIBERS = 1_000
const EVENTS = 10_000
/** Events that come in one chunk of the network. */
const CHUNK = 50

interface Told {
  readonly data: unknown
}
type Listener = (event: Told) => void

export const contenders: Contenders = {
  'plain loop': () => {
    const { listeners, told } = audience()
    return timed(told, (events) => {
      for (const event of events) for (const listener of listeners) listener(event)
    })
  },

  async nanoevents() {
    const { createNanoEvents } = await import('nanoevents')
    const emitter = createNanoEvents<{ quote: Listener }>()
    const { listeners, told } = audience()
    for (const listener of listeners) emitter.on('quote', listener)
    return timed(told, (events) => {
      for (const event of events) emitter.emit('quote', event)
    })
  },

  /** The whole way: bytes of a stream, parsed, decoded, folded into the state and told to each. */
  async 'millrace client'() {
    const { defineChannel } = await import('millrace')
    let write = (_: string) => {}
    const opened = new Promise<void>((resolve) => {
      const fetch = memoryFetch((writeNow) => {
        write = writeNow
        resolve()
      })
      void unlimitedClient({ fetch }).then((client) => {
        const channel = defineChannel({ key: 'quotes', stream: 'https://example.com/quotes' })
        for (const listener of listeners) client.subscribe(channel, listener)
      })
    })
    const { listeners, told } = audience()
    await opened
    return timed(told, (events) => {
      for (let n = 0; n < events.length; n += CHUNK)
        write(
          events
            .slice(n, n + CHUNK)
            .map(blockOf)
            .join(''),
        )
    })
  },
}

export async function fanOut(): Promise<Row[]> {
  const all = await compare(import.meta.url, Object.keys(contenders), { rounds: 15, warmUps: 3, seconds: 15 })
  return [row(all, 'plain loop', ['≤', 3]), row(all, 'nanoevents')]
}

function row(all: Comparison, against: string, limit?: Row['limit']): Row {
  const ours = 'millrace client'
  const figure = 'perSubscriber'
  return {
    what: `an event to ${SUBSCRIBERS.toLocaleString('en')} subscribers, each`,
    ours: nanoseconds(all.spread(ours, figure)),
    against,
    theirs: nanoseconds(all.spread(against, figure)),
    value: all.ratio(ours, against, figure),
    limit,
    failure: all.failure(ours) ?? all.failure(against),
  }
}

/** Listeners, and how to wait until the last of them was told so many events. */
function audience(): { listeners: Listener[]; told: (count: number) => Promise<void> } {
  const seen = { count: 0, last: undefined as unknown }
  let wanted = Number.POSITIVE_INFINITY
  let resolve = () => {}
  // Subscribers differ. A loop that only ever calls one function would have it inlined.
  const kinds: (() => Listener)[] = [
    () => (event) => {
      seen.last = event
    },
    () => (event) => {
      seen.last = event.data
    },
    () => () => {
      seen.count += 1
    },
    () => (event) => {
      if (event.data === undefined) seen.count += 2
    },
    () => (event) => {
      seen.last = event.data ?? seen.last
    },
  ]
  const listeners = Array.from({ length: SUBSCRIBERS - 1 }, (_, n) => (kinds[n % kinds.length] as () => Listener)())
  listeners.push(() => {
    wanted -= 1
    if (wanted === 0) resolve()
  })
  const told = (count: number) =>
    new Promise<void>((done) => {
      wanted = count
      resolve = done
    })
  return { listeners, told }
}

function timed(told: (count: number) => Promise<void>, tell: (events: readonly Told[]) => void): Contender {
  const events = Array.from({ length: EVENTS }, (_, n) => ({ data: { symbol: `XETR:${n % 500}`, last: 100 + n / 7 } }))
  return {
    async round() {
      const all = told(EVENTS)
      const cpuTime = startCpuTime()
      tell(events)
      await all
      return { perSubscriber: (cpuTime() * 1e6) / (EVENTS * SUBSCRIBERS) }
    },
  }
}

function blockOf({ data }: Told): string {
  return `data: ${JSON.stringify(data)}\n\n`
}
