import { resolve } from 'node:path'
import type { Page } from 'playwright-core'
import { servePages, startBrowser } from '../support/browser'
import { until } from '../support/until'
import { type Ratio, type Spread, spreadOf } from './compare'
import { microseconds, milliseconds, type Row } from './table'

const FOLLOWERS = 7
/** Events in 10 ms. */
const PORTION = 100
const PORTIONS = 100
const EVENTS = PORTION * PORTIONS
const MOST_ROUNDS = 5
/** No further round begins after so many. */
const SECONDS = 14

/** A stream that begins in the page, so that each chunk is as large as it is meant to be. */
const SCRIPT = `
  const leads = location.search === '?leads'
  const encoder = new TextEncoder()
  let controller
  let seen = 0
  const body = () => new ReadableStream({ start(given) { controller = given } })
  const fetch = async () => new Response(body(), { headers: { 'content-type': 'text/event-stream' } })
  const client = Millrace.createClient({ environment: 'production', ...(leads && { fetch }) })
  client.subscribe('/stream', () => { seen += 1 })
  const block = 'data: ' + JSON.stringify({ symbol: 'XETR:1', last: 100.5, bid: 100.4, ask: 100.6, volume: 7 }) + '\\n\\n'

  async function run(perChunk) {
    const goal = seen + ${EVENTS}
    const chunk = encoder.encode(block.repeat(perChunk))
    let due = performance.now()
    let late = 0
    for (let portion = 0; portion < ${PORTIONS}; portion += 1) {
      due += 10
      await new Promise((resolve) => setTimeout(resolve, due - performance.now()))
      late = Math.max(late, performance.now() - due)
      for (let n = 0; n < ${PORTION}; n += perChunk) controller.enqueue(chunk)
    }
    while (seen < goal) await new Promise((resolve) => setTimeout(resolve))
    return late
  }
`
const PAGE =
  '<!doctype html><link rel="icon" href="/icon"><script src="/millrace.global.js"></script><script src="/script.js"></script>'

interface Round {
  /** µs that the leader is busy, of each event. */
  readonly cost: number
  /** ms that its timers were late at most. */
  readonly late: number
}

/** A tab in Chromium that leads, at 10,000 events a second, and those that follow it. */
export async function relay(): Promise<Row[]> {
  const end = performance.now() + SECONDS * 1_000
  const server = await servePages({ '/': PAGE, '/script.js': SCRIPT, '/icon': '' }, { folder: resolve('dist') })
  const browser = await startBrowser()
  const rounds: Record<'alone' | 'one' | 'batch', Round[]> = { alone: [], one: [], batch: [] }
  try {
    const leader = await browser.openPage(server.url('/?leads'))
    await until(() => leader.evaluate('client.stats().tabs.leading === 1'), 'a leader')
    const measure = await costOf(leader)
    await measure(PORTION)
    rounds.alone.push(await measure(PORTION))
    const followers: Page[] = []
    for (let n = 0; n < FOLLOWERS; n += 1) followers.push(await browser.openPage(server.url('/')))
    for (const page of followers) await until(() => page.evaluate('client.stats().tabs.following === 1'), 'a follower')
    let sent = 0
    const round = async (perChunk: number) => {
      const measured = await measure(perChunk)
      sent += EVENTS
      // Nothing is lost, and the next round does not begin with the work of this one.
      for (const page of followers) await until(() => page.evaluate(`seen === ${sent}`), { within: 20_000 })
      return measured
    }
    for (let n = 0; n < MOST_ROUNDS && (n < 1 || performance.now() < end); n += 1) {
      rounds.batch.push(await round(PORTION))
      rounds.one.push(await round(1))
    }
  } finally {
    await browser.close()
    await server.close()
  }
  return rowsOf(rounds)
}

async function costOf(page: Page): Promise<(perChunk: number) => Promise<Round>> {
  const session = await page.context().newCDPSession(page)
  await session.send('Performance.enable')
  const busy = async () => {
    const { metrics } = await session.send('Performance.getMetrics')
    return metrics.find(({ name }) => name === 'TaskDuration')?.value ?? Number.NaN
  }
  return async (perChunk) => {
    const before = await busy()
    const late = (await page.evaluate(`run(${perChunk})`)) as number
    return { cost: (((await busy()) - before) * 1e6) / EVENTS, late }
  }
}

function rowsOf({ alone, one, batch }: Record<'alone' | 'one' | 'batch', readonly Round[]>): Row[] {
  const of = (rounds: readonly Round[], figure: keyof Round) => rounds.map((round) => round[figure])
  const ratio = (ours: readonly number[], theirs: readonly number[]): Ratio | undefined => {
    const paired = spreadOf(ours.map((value, n) => value / (theirs[n] ?? Number.NaN)))
    return paired && { ...paired, best: Math.min(...ours) / Math.min(...theirs) }
  }
  const late = spreadOf(of(batch, 'late')) as Spread
  const rate = `${(EVENTS).toLocaleString('en')} events/s to ${FOLLOWERS} tabs`
  return [
    {
      what: `${rate}, the leader's work for each, in chunks of ${PORTION}`,
      ours: microseconds(spreadOf(of(batch, 'cost'))),
      against: 'one by one',
      theirs: microseconds(spreadOf(of(one, 'cost'))),
      value: ratio(of(batch, 'cost'), of(one, 'cost')),
      limit: ['<', 1],
    },
    {
      what: 'the same against no follower at all',
      ours: microseconds(spreadOf(of(batch, 'cost'))),
      against: 'a tab alone',
      theirs: microseconds(spreadOf(of(alone, 'cost'))),
      value: ratio(
        of(batch, 'cost'),
        batch.map(() => alone[0]?.cost ?? Number.NaN),
      ),
    },
    {
      what: `${rate}, how late the leader's timers get`,
      ours: milliseconds(late),
      against: 'one by one',
      theirs: milliseconds(spreadOf(of(one, 'late'))),
      value: late,
      unit: 'ms',
      limit: ['<', 50],
    },
  ]
}
