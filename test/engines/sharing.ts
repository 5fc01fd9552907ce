import { describe, expect, test } from 'vitest'
import { until } from '../support/until'
import { type EngineTab, inQuery, type World } from './in-each-engine'

export const rolesOf = (tabs: readonly EngineTab[]) => Promise.all(tabs.map((tab) => tab.role()))

/** So many tabs that share, with a past. */
export async function share(world: World, count: number): Promise<EngineTab[]> {
  const tabs: EngineTab[] = []
  for (let n = 0; n < count; n += 1) tabs.push(await world.openTab())
  await world.isSettled(...tabs)
  world.append(20)
  for (const tab of tabs) await world.hasAll(tab)
  return tabs
}

export async function leaderOf(tabs: readonly EngineTab[]): Promise<[leader: EngineTab, ...others: EngineTab[]]> {
  const roles = await rolesOf(tabs)
  const leader = tabs[roles.indexOf('leader')]!
  return [leader, ...tabs.filter((tab) => tab !== leader)]
}

const departures: [name: string, leave: (leader: EngineTab, world: World) => Promise<unknown>][] = [
  ['closes its tab', ({ page }) => page.close()],
  ['navigates away', ({ page }, { server }) => page.navigate(server.url('/away'))],
  ['reloads', ({ page }) => page.reload()],
  ['switches off', ({ run }) => run('client.disable()')],
  ['unsubscribes', ({ run }) => run('subscription.unsubscribe()')],
  ['closes its client', ({ run }) => run('client.close()')],
]

/** Declares the tests of what tabs of any engine share. */
export function testSharing(at: (options?: { ids?: boolean }) => Promise<World>): void {
  test('8 have one connection, and each has every event once and in order', async () => {
    const world = await at()
    const tabs = await share(world, 8)
    expect((await rolesOf(tabs)).sort()).toEqual([...Array(7).fill('follower'), 'leader'])
    for (let n = 0; n < 20; n += 1) world.append(50)
    for (const tab of tabs) await world.hasAll(tab)
    expect(world.asked('/stream')).toHaveLength(1)
    expect(await tabs[7]!.run('fetch("/plain").then((answer) => answer.text())')).toBe('plain')
    for (const tab of tabs) expect((await tab.read()).alerts).toEqual([])
  })

  test('6 with an EventSource each hang their origin, which shows that the server counts', async () => {
    const world = await at()
    const tabs: EngineTab[] = []
    for (let n = 0; n < 6; n += 1) tabs.push(await world.openTab('?idle'))
    for (const tab of tabs) await tab.run('void (window.source = new EventSource("/stream"))')
    await until(() => world.open === 6, 'six connections')
    await tabs[0]!.run('void fetch("/plain").then(() => { window.answered = true })')
    await tabs[1]!.run('new Promise((resolve) => setTimeout(resolve, 1_000))')
    expect(await tabs[0]!.run('window.answered ?? false')).toBe(false)
    expect(world.asked('/plain')).toHaveLength(0)
    await tabs[2]!.run('source.close()')
    await until(() => tabs[0]!.run('window.answered ?? false'), 'an answer')
  })

  test('one that comes late is shown the state without a request of its own', async () => {
    const world = await at()
    const first = await world.openTab('?snapshot')
    await world.isSettled(first)
    world.append(10)
    await world.hasAll(first)
    const late = await world.openTab('?snapshot')
    await world.isSettled(first, late)
    expect((await late.read()).states.at(-1)).toMatchObject({
      data: { count: 10, last: 10 },
      isStale: false,
      role: 'follower',
    })
    expect(world.asked('/snapshot')).toHaveLength(1)
    expect(world.asked('/stream')).toHaveLength(1)
    world.append(5)
    await world.hasAll(late, 11)
  })

  describe('a leader that', () => {
    test.each(departures)('%s hands over: one connection, nothing lost, nothing doubled', async (_, leave) => {
      const world = await at()
      const [leader, ...others] = await leaderOf(await share(world, 3))
      const writing = setInterval(() => world.append(2), 5)
      try {
        await leave(leader, world)
        await until(() => world.asked('/stream').length === 2, 'a second connection')
        await until(() => world.open === 1, 'one connection')
      } finally {
        clearInterval(writing)
      }
      world.append(10)
      for (const tab of others) await world.hasAll(tab)
      await until(async () => (await rolesOf(others)).sort().join() === 'follower,leader', 'one leader')
      for (const tab of others) expect((await tab.read()).alerts).toEqual([])
    })
  })

  test('of two identities share nothing', async () => {
    const world = await at()
    const as = (identity: string) => `?${inQuery('options', { identity })}`
    const tabs = [await world.openTab(as('ada')), await world.openTab(as('bob')), await world.openTab(as('ada'))]
    await until(() => world.open === 2, 'two streams')
    await until(async () => (await rolesOf(tabs)).join() === 'leader,leader,follower', 'the roles')
  })

  test('pause and forget when one of them signs out', async () => {
    const world = await at()
    const ada = `?${inQuery('options', { identity: 'ada' })}`
    const [first, second] = [await world.openTab(ada), await world.openTab(ada)]
    await world.isSettled(first, second)
    world.append(3)
    await world.hasAll(second)
    await first.run('client.setIdentity(null)')
    await until(async () => (await second.read()).states.at(-1)?.pausedBy === 'identity', 'the pause')
    expect((await second.read()).states.at(-1)).toMatchObject({ status: 'paused', data: { count: 0, last: 0 } })
    expect(await second.run('client.stats().tabs')).toEqual({ shared: true, leading: 0, following: 0 })
    await second.run('client.setIdentity(null)')
    await until(async () => (await second.read()).states.at(-1)?.status === 'live', 'a new start')
    await until(() => world.open === 1, 'one connection')
  })

  test('keep to four streams of an origin together, so that it still answers', async () => {
    const world = await at()
    const tabs: EngineTab[] = []
    for (let n = 0; n < 6; n += 1) {
      const tab = await world.openTab('?idle')
      await tab.run(`void listen('?${n}')`)
      tabs.push(tab)
    }
    const waiting = async () => {
      const states = await Promise.all(tabs.map(async (tab) => (await tab.read()).states.at(-1)))
      return states.filter((state) => state?.status === 'paused' && state.pausedBy === 'stream-limit').length
    }
    await until(() => world.open === 4, 'four streams')
    await until(async () => (await waiting()) === 2, 'two that wait')
    expect(await tabs[5]!.run('fetch("/plain").then((answer) => answer.text())')).toBe('plain')
    expect(world.mostOpen).toBe(4)
    await tabs[0]!.page.close()
    await tabs[1]!.page.close()
    for (const tab of tabs.slice(2))
      await until(async () => (await tab.read()).states.at(-1)?.status === 'live', 'a free slot')
    // A browser lets a closed tab's lock go when it likes, and that may be before the tab's connection.
    await until(() => world.open === 4, 'four streams again')
  })

  test('poll as one, and go on when the one that polls closes', async () => {
    const world = await at()
    const tabs = [await world.openTab('?poll'), await world.openTab('?poll'), await world.openTab('?poll')]
    await until(async () => (await rolesOf(tabs)).sort().join() === 'follower,follower,leader', 'the roles')
    const [leader, ...others] = await leaderOf(tabs)
    const before = world.asked('/poll').length
    const start = performance.now()
    await until(() => world.asked('/poll').length >= before + 5, 'five polls')
    expect(performance.now() - start).toBeGreaterThan(4 * 200)
    await leader.page.close()
    await until(async () => (await rolesOf(others)).sort().join() === 'follower,leader', 'another leader')
    world.append(3)
    for (const tab of others)
      await until(async () => JSON.stringify((await tab.read()).polls.at(-1)?.data) === '{"n":3}', 'the answer')
  })
}
