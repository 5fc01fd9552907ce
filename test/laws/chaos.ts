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

/** A state that shows whether any event was folded twice, or not at all. */
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
 * subscriber has heard each once and in order, and the state is right at the end. Where every event counts only once,
 * however often it is folded, the state may never take a step back either.
 */
export async function surviveChaos(client: Client, { seed, server, events, faults }: ChaosOptions): Promise<void> {
  const script = createFaultScript(seed, {
    faults,
    ...(!server.startsWith('replays') && { kinds: NO_REPLAY }),
    // Only the snapshot knows what was missed: while it cannot be had, the state has a hole, and says so in `error`.
    snapshots: server !== 'has ids but replays nothing',
  })
  const journal = await startJournal({
    faults: rarerForSnapshots(script),
    heartbeat: 25,
    ids: server !== 'has no ids',
    fresh: server.startsWith('replays') ? 'all' : 'new',
    // What lies before a known id by less than nothing: never anything is sent again.
    replayExtra: server === 'has ids but replays nothing' ? Number.NEGATIVE_INFINITY : 0,
    snapshot: (all) => (server === 'replays, with a snapshot' ? tallyOf(all.length) : all.map(({ id }) => id)),
  })
  const heard: number[] = []
  const steps: string[] = []
  const channel = channelOf(server, journal)
  let begun = 0
  let reached = -1
  const subscription = client.subscribe(channel, {
    next: (event) => heard.push((event.data as Numbered).n),
    state({ data }) {
      if (data === undefined) return
      const size = sizeOf(data as Tally | readonly number[])
      if (Array.isArray(data) && size < reached) steps.push(`from ${reached} back to ${size}`)
      if (reached < 0) begun = size
      reached = size
    },
  })
  const feed = setInterval(() => {
    for (let n = 0; n < 5; n += 1) journal.append(numbered(journal))
  }, 4)
  const told = () => `${server}, seed ${seed}, faults ${JSON.stringify(script.log)}`
  try {
    await until(() => script.log.length >= faults, { what: `all faults: ${told()}`, within: 60_000 })
    clearInterval(feed)
    while (journal.events.length < events) journal.append(numbered(journal))
    await settled(journal, script, () => ({ heard, reached }), server, told)
  } finally {
    clearInterval(feed)
    subscription.unsubscribe()
  }

  if (steps.length > 0) throw new Error(`The state took ${steps.length} steps back, ${steps.slice(0, 3)}: ${told()}`)
  // What the first snapshot contains is in the state, and not told again.
  const first = Math.min(heard[0] ?? 1, server === 'replays' ? 1 : begun + 1)
  if (server.startsWith('replays')) journal.assertDelivered(heard, first)
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
    within: 40_000,
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
  if (server === 'replays, with a snapshot') {
    return defineChannel<Tally, StreamEvent>({
      key: 'chaos',
      ...common,
      snapshot,
      reduce: ({ count, sum }, { data }) => ({ count: count + 1, sum: sum + data.n }),
    }) as Channel<unknown, StreamEvent>
  }
  return defineChannel<readonly number[], StreamEvent>({
    key: 'chaos',
    ...common,
    snapshot,
    // Where nothing tells what the snapshot has already, it is folded again: it must not count twice.
    reduce: (known, { data }) => (known.includes(data.n) ? known : [...known, data.n]),
    ...(server === 'has ids but replays nothing' && { replay: false }),
  }) as Channel<unknown, StreamEvent>
}

/** How many events a state holds; -1 if they are not exactly the first of them. */
function sizeOf(data: Tally | readonly number[]): number {
  if ('sum' in data) return data.sum === tallyOf(data.count).sum ? data.count : -1
  return data.length
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
