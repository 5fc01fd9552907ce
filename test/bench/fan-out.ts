import { memoryFetch, unlimitedClient } from './clients'
import { compare } from './compare'
import type { Contender, Contenders } from './contender'
import { startCpuTime } from './cpu-time'
import { nanoseconds, type Row, rowOf } from './table'

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

  /** As a stream feeds a query: each event becomes its data. */
  async 'TanStack observers'() {
    const { QueryClient, QueryObserver, notifyManager } = await import('@tanstack/query-core')
    // At once, not with the next timer: the waiting is not what is measured.
    notifyManager.setScheduler((run) => run())
    const client = new QueryClient()
    const { listeners, told } = audience()
    for (const listener of listeners)
      new QueryObserver(client, { queryKey: ['quotes'], enabled: false }).subscribe((result) => listener(result))
    return timed(
      told,
      (events) => {
        for (const { data } of events) client.setQueryData(['quotes'], data)
      },
      EVENTS / 50,
    )
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
  const what = `an event to ${SUBSCRIBERS.toLocaleString('en')} subscribers, each`
  const row = (against: string, limit?: Row['limit']) =>
    rowOf(all, 'perSubscriber', { what, ours: 'millrace client', against, show: nanoseconds, limit })
  return [row('plain loop', ['≤', 3]), row('nanoevents'), row('TanStack observers')]
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

function timed(
  told: (count: number) => Promise<void>,
  tell: (events: readonly Told[]) => void,
  count = EVENTS,
): Contender {
  const events = Array.from({ length: count }, (_, n) => ({ data: { symbol: `XETR:${n % 500}`, last: 100 + n / 7 } }))
  return {
    async round() {
      const all = told(count)
      const cpuTime = startCpuTime()
      tell(events)
      await all
      return { perSubscriber: (cpuTime() * 1e6) / (count * SUBSCRIBERS) }
    },
  }
}

function blockOf({ data }: Told): string {
  return `data: ${JSON.stringify(data)}\n\n`
}
