import type { CDPSession } from 'playwright-core'
import { afterEach, describe, expect, test } from 'vitest'
import { closeBrowsers } from '../support/browser'
import { figure } from '../support/figures'
import { closeServers } from '../support/http-server'
import { startTabs, type Tab } from '../support/tabs'
import { until } from '../support/until'

afterEach(closeBrowsers)
afterEach(closeServers)

const ROUNDS = Number(process.env.ROUNDS ?? 15)
/** Events a second. */
const RATE = 200

type World = Awaited<ReturnType<typeof startTabs>>

interface Departure {
  /** What the leader does. */
  readonly name: string
  readonly bfcache?: boolean
  readonly query?: string
  /** What takes time and is no part of it; what it resolves with is the leaving. */
  prepare?(leader: Tab): Promise<() => unknown>
  leave?(leader: Tab, world: World): unknown
  /** Brings it back to the end of the queue; without it another tab is opened. */
  rejoin?(leader: Tab, world: World): Promise<unknown>
}

const departures: Departure[] = [
  { name: 'closes its tab', leave: ({ page }) => page.close() },
  {
    name: 'crashes',
    async prepare({ page }) {
      const session = await page.context().newCDPSession(page)
      return () => session.send('Page.crash')
    },
  },
  {
    name: 'has its process killed',
    async prepare(leader) {
      const id = await processOf(leader)
      return () => process.kill(id, 'SIGKILL')
    },
  },
  {
    name: 'navigates away',
    leave: ({ page }, { server }) => page.goto(server.url('/away')),
    rejoin: ({ page }, { server }) => page.goto(server.url('/')),
  },
  {
    name: 'goes into the back/forward cache',
    bfcache: true,
    leave: ({ page }, { server }) => page.goto(server.url('/away')),
    rejoin: ({ page }) => page.goBack({ waitUntil: 'commit' }),
  },
  { name: 'reloads', leave: ({ page }) => page.reload(), rejoin: async () => {} },
  { name: 'switches off', leave: ({ run }) => run('client.disable()'), rejoin: ({ run }) => run('client.enable()') },
  {
    name: 'unsubscribes',
    // Without it the source would outlive its subscriber for a second.
    query: `?channel=${encodeURIComponent('{"grace":0}')}`,
    leave: ({ run }) => run('subscription.unsubscribe()'),
    // What comes while it is away is not for it.
    rejoin: ({ run }) => run('void (record.ids.length = 0, window.subscription = listen())'),
  },
]

/** The process of a tab: the one that gets busy when the tab does. */
async function processOf({ page, run }: Tab): Promise<number> {
  const session = await page.context().browser()?.newBrowserCDPSession()
  if (!session) throw new Error('This browser does not tell of its processes')
  const before = await renderers(session)
  await run('(() => { const end = Date.now() + 300; while (Date.now() < end); })()')
  const after = await renderers(session)
  await session.detach()
  const spent = (id: number) => (after.get(id) ?? 0) - (before.get(id) ?? 0)
  const [busiest] = [...after.keys()].sort((a, b) => spent(b) - spent(a))
  return busiest as number
}

/** Seconds that each has computed, by its id. */
async function renderers(session: CDPSession): Promise<Map<number, number>> {
  const { processInfo } = await session.send('SystemInfo.getProcessInfo')
  return new Map(processInfo.filter(({ type }) => type === 'renderer').map(({ id, cpuTime }) => [id, cpuTime]))
}

/** When events came, by the clock that all processes share. */
const LISTEN = `void (window.arrivals = [], window.unlisten?.(),
  window.unlisten = client.on('event', () => arrivals.push(performance.timeOrigin + performance.now())))`

describe('one connection again, nothing lost and nothing doubled, when the leader', () => {
  test.each(departures)('$name', async ({ name, bfcache = false, query = '', prepare, leave, rejoin }) => {
    const world = await startTabs({ bfcache })
    const tabs: Tab[] = []
    for (let n = 0; n < 3; n += 1) tabs.push(await world.openTab(query))
    const again: number[] = []
    const first: number[] = []
    const writing = setInterval(() => world.append(RATE / 100), 10)
    try {
      for (let round = 0; round < ROUNDS; round += 1) {
        await world.isSettled(...tabs)
        const roles = await Promise.all(tabs.map((tab) => tab.role()))
        const [leader] = tabs.splice(roles.indexOf('leader'), 1) as [Tab]
        for (const tab of tabs) await tab.run(LISTEN)
        const requests = world.asked('/stream').length
        const act = await prepare?.(leader)

        const start = performance.now()
        Promise.resolve(act ? act() : leave?.(leader, world)).catch(() => {})
        await until(() => world.asked('/stream').length > requests, 'a second connection')
        const request = world.asked('/stream').at(-1)!
        await until(() => world.open === 1, 'one connection')
        again.push(Math.max(request.time, world.oneSince) - start)

        const followers = await Promise.all(
          tabs.map(async (tab) => ((await tab.role()) === 'leader' ? undefined : tab)),
        )
        const since = performance.timeOrigin + request.time
        const came = await until(async () => {
          for (const tab of followers)
            if (tab) return (await tab.run<number[]>('arrivals')).find((time) => time > since)
          return undefined
        }, 'an event in a follower')
        first.push((came as number) - performance.timeOrigin - start)

        if (rejoin) await rejoin(leader, world)
        else await leader.page.close().catch(() => {})
        tabs.push(rejoin ? leader : await world.openTab(query))
      }
      await world.isSettled(...tabs)
    } finally {
      clearInterval(writing)
    }
    world.append(1)
    for (const tab of tabs) {
      await until(async () => (await tab.read()).ids.at(-1) === world.last, { what: 'the last event', within: 10_000 })
      const { ids } = await tab.read()
      expect(ids).toEqual(Array.from({ length: ids.length }, (_, n) => world.last - ids.length + 1 + n))
    }
    expect(world.mostOpen).toBeLessThanOrEqual(3)
    figure('Tabs', `The leader ${name}: until there is one connection again`, spread(again))
    figure('Tabs', `The leader ${name}: until a follower has the first event`, spread(first))
  })
})

function spread(times: readonly number[]): string {
  const sorted = [...times].sort((a, b) => a - b)
  const ms = (time: number | undefined) => `${Math.round(time ?? NaN)} ms`
  return `median ${ms(sorted[Math.floor(sorted.length / 2)])}, worst ${ms(sorted.at(-1))}`
}
