import { type Channel, type Client, defineChannel, type StreamEvent } from 'millrace'
import { createFaultScript, type FaultScript, type FaultScriptOptions } from '../support/fault-script'
import { type Journal, startJournal } from '../support/journal-server'
import { until } from '../support/until'

/** What the server can do for a client that comes back. */
export type Server = 'replays' | 'replays, with a snapshot' | 'has ids but replays nothing' | 'has no ids'

export interface ChaosOptions {
  seed: number
  server: Server
  /** How many events at least. */
  events: number
  faults: number
}

/** A state that shows whether any event was folded twice, or not at all, or whether time ran backwards. */
interface Tally {
  readonly count: number
  readonly sum: number
}

interface Numbered {
  n: number
}

type Kinds = NonNullable<FaultScriptOptions['kinds']>
const NO_REPLAY: Kinds = ['status', 'refuse', 'reset', 'end', 'cut', 'silent']

/**
 * Sends events through a server that suffers every fault in an order drawn from the seed, and fails unless the
 * subscriber has heard each once and in order, and the state has never taken a step back.
 */
export async function surviveChaos(client: Client, { seed, server, events, faults }: ChaosOptions): Promise<void> {
  const script = createFaultScript(seed, { faults, ...(server.startsWith('replays') ? {} : { kinds: NO_REPLAY }) })
  const journal = await startJournal({
    faults: rarerForSnapshots(script),
    heartbeat: 25,
    ids: server !== 'has no ids',
    // What lies before a known id by less than nothing: never anything is sent again.
    replayExtra: server === 'has ids but replays nothing' ? Number.NEGATIVE_INFINITY : 0,
    snapshot: (all) => (server === 'has no ids' ? all.map(({ id }) => id) : tallyOf(all.length)),
  })
  const heard: number[] = []
  const steps: string[] = []
  const channel = channelOf(server, journal)
  let reached = -1
  const subscription = client.subscribe(channel, {
    next: (event) => heard.push((event.data as Numbered).n),
    state({ data }) {
      if (data === undefined) return
      const size = sizeOf(data as Tally | readonly number[])
      if (size === undefined) steps.push(`no sum of the first events: ${JSON.stringify(data).slice(0, 200)}`)
      else if (size < reached) steps.push(`from ${reached} back to ${size}`)
      reached = Math.max(reached, size ?? 0)
    },
  })
  const feed = setInterval(() => {
    for (let n = 0; n < 5; n += 1) journal.append(numbered(journal))
    // A connection whose fault is that it began too early lives on: the next fault needs a next connection.
    if (script.log.at(-1)?.kind === 'replay' && script.log.length < faults) journal.drop()
  }, 4)
  const told = () => `${server}, seed ${seed}, faults ${JSON.stringify(script.log)}`
  try {
    await until(() => script.log.length >= faults, { what: `all faults: ${told()}`, within: 20_000 })
    clearInterval(feed)
    while (journal.events.length < events) journal.append(numbered(journal))
    await settled(journal, script, () => ({ heard, reached }), server, told)
  } finally {
    clearInterval(feed)
    subscription.unsubscribe()
  }

  if (steps.length > 0) throw new Error(`The state took ${steps.length} wrong steps, ${steps.slice(0, 3)}: ${told()}`)
  if (server.startsWith('replays')) journal.assertDelivered(heard, 1)
  else assertRising(heard, told)
  await journal.close()
}

/** Polls that fail slow down, each time to half the speed: a row of eight would take longer than the test. */
function rarerForSnapshots(script: FaultScript): FaultScript {
  let asked = 0
  return {
    ...script,
    next(request) {
      if (request === 'stream') return script.next(request)
      asked += 1
      return asked % 3 === 2 ? script.next(request) : { kind: 'none' }
    },
  }
}

/** All that was sent is there. */
async function settled(
  journal: Journal,
  script: FaultScript,
  seen: () => { heard: readonly number[]; reached: number },
  server: Server,
  told: () => string,
): Promise<void> {
  const read = (): boolean => {
    const last = journal.events.length
    const { heard, reached } = seen()
    if (script.log.length === 0) return false
    return server.startsWith('replays') && heard.at(-1) !== last ? false : server === 'replays' || reached === last
  }
  await until(read, {
    what: `the last of ${journal.events.length} events, ${inspectSeen(seen())}: ${told()}`,
    within: 8_000,
  }).catch(() => {
    throw new Error(`Of ${journal.events.length} events ${inspectSeen(seen())}: ${told()}`)
  })
}

function inspectSeen({ heard, reached }: { heard: readonly number[]; reached: number }): string {
  return `${heard.length} were heard, the last was ${heard.at(-1)}, the state has ${reached}`
}

function channelOf(
  server: Server,
  { streamUrl: stream, snapshotUrl: snapshot }: Journal,
): Channel<unknown, StreamEvent> {
  const common = { stream, idleTimeout: 150, interval: 200 }
  if (server === 'replays') return defineChannel<unknown, StreamEvent>({ key: 'chaos', ...common })
  if (server === 'has no ids') {
    return defineChannel<readonly number[], StreamEvent>({
      key: 'chaos',
      ...common,
      snapshot,
      // Without a position, what the snapshot has already is folded again: it must not count twice.
      reduce: (known, { data }) => (known.includes(data.n) ? known : [...known, data.n]),
    }) as Channel<unknown, StreamEvent>
  }
  return defineChannel<Tally, StreamEvent>({
    key: 'chaos',
    ...common,
    snapshot,
    reduce: ({ count, sum }, { data }) => ({ count: count + 1, sum: sum + data.n }),
    ...(server === 'has ids but replays nothing' && { replay: false }),
  }) as Channel<unknown, StreamEvent>
}

/** How many of the first events a state holds; undefined if it is not exactly the first of them. */
function sizeOf(data: Tally | readonly number[]): number | undefined {
  if (Array.isArray(data)) return data.length
  if (!('sum' in data)) return 0
  return data.sum === tallyOf(data.count).sum ? data.count : undefined
}

function tallyOf(count: number): Tally {
  return { count, sum: (count * (count + 1)) / 2 }
}

function numbered({ events }: Journal): Numbered & { text: string } {
  return { n: events.length + 1, text: `Größe ${events.length} € 😀` }
}

function assertRising(heard: readonly number[], told: () => string): void {
  const wrong = heard.findIndex((n, index) => index > 0 && n <= heard[index - 1]!)
  if (wrong >= 0) throw new Error(`Heard ${heard[wrong]} after ${heard[wrong - 1]}: ${told()}`)
}
