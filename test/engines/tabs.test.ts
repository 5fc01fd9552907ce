import { expect, test } from 'vitest'
import { figure } from '../support/figures'
import { until } from '../support/until'
import { type EngineTab, withTabsInEachEngine } from './in-each-engine'
import { leaderOf, rolesOf, share, testSharing } from './sharing'

const ROUNDS = 9

withTabsInEachEngine('tabs', (at) => {
  testSharing(at)

  test('one that led, was left and is come back to follows, and has missed nothing that it can know of', async () => {
    const world = await at()
    const [leader, other] = (await leaderOf(await share(world, 2))) as [EngineTab, EngineTab]
    await leader.page.navigate(world.server.url('/away'))
    await until(() => world.open === 1 && world.asked('/stream').length === 2, 'the hand-over')
    world.append(30)
    await world.hasAll(other)
    await leader.page.back()
    await world.isSettled(leader, other)
    expect(await rolesOf([leader, other])).toEqual(['follower', 'leader'])
    world.append(3)
    await world.hasAll(other)
    // Where the engine has not kept the page it has begun anew, with what came since.
    await world.hasAll(leader, (await leader.run<boolean>('record.ids[0] === 1')) ? 1 : 51)
    expect(world.open).toBe(1)
  })

  test('one that loses every message of its leader takes over', async () => {
    const world = await at()
    const [leader, other] = (await leaderOf(await share(world, 2))) as [EngineTab, EngineTab]
    await leader.run('void (BroadcastChannel.prototype.postMessage = () => {})')
    world.append(10)
    await world.hasAll(leader)
    await until(async () => (await other.role()) === 'leader', { what: 'the other to lead', within: 30_000 })
    await world.hasAll(other)
    await until(async () => (await leader.role()) === 'follower' && world.open === 1, 'one leader')
  })

  test(`take over ${ROUNDS} times in a row, with two connections for less than a second`, async () => {
    const world = await at()
    let tabs = await share(world, 3)
    const times: number[] = []
    const writing = setInterval(() => world.append(1), 5)
    try {
      for (let round = 1; round <= ROUNDS; round += 1) {
        const [leader, ...others] = await leaderOf(tabs)
        const start = performance.now()
        const closing = leader.page.close()
        await until(() => world.asked('/stream').length > round, 'the next connection')
        times.push(world.asked('/stream').at(-1)!.time - start)
        await closing
        tabs = [...others, await world.openTab()]
        await world.isSettled(...tabs)
      }
    } finally {
      clearInterval(writing)
    }
    world.append(1)
    for (const tab of tabs) {
      const first = (await tab.read()).ids[0]!
      await world.hasAll(tab, first)
    }
    expect(world.longestOver).toBeLessThan(1_000)
    const median = times.sort((a, b) => a - b)[ROUNDS >> 1]!
    const { name } = world.engine
    figure(
      'Engines',
      `${name}: from closing the leader's tab to the next connection`,
      `${Math.round(median)} ms (median of ${ROUNDS})`,
    )
  })
})
