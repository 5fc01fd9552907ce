import { afterEach, describe, expect, test } from 'vitest'
import { closeServers } from '../support/http-server'
import { serveTabs, type Tab } from '../support/tabs'
import { closeUndrivenBrowsers, startUndrivenBrowser, type UndrivenTab } from '../support/undriven-browser'
import { until } from '../support/until'

afterEach(closeUndrivenBrowsers)
afterEach(closeServers)

type FreezableTab = UndrivenTab & Pick<Tab, 'read' | 'role'>

/** So many tabs on one stream; the first one leads. */
async function start(count: number) {
  const world = await serveTabs()
  const browser = await startUndrivenBrowser()
  const tabs: FreezableTab[] = []
  for (let n = 0; n < count; n += 1) {
    const { read, role } = world.told(`tab${n}`)
    const tab = { ...(await browser.open(world.server.url(`/?name=tab${n}`))), read, role }
    await world.isSettled(tab)
    tabs.push(tab)
  }
  await until(async () => (await rolesOf(tabs)).join() === ['leader', ...Array(count - 1).fill('follower')].join())
  world.append(20)
  for (const tab of tabs) await world.hasAll(tab)
  return { world, tabs: tabs as [FreezableTab, FreezableTab, FreezableTab] }
}
const rolesOf = (tabs: readonly FreezableTab[]) => Promise.all(tabs.map((tab) => tab.role()))

describe('a tab that the browser freezes', () => {
  test('hands over if it led, and follows when it is thawed, with nothing lost and nothing doubled', async () => {
    const { world, tabs } = await start(2)
    const [leader, other] = tabs
    await leader.freeze()
    await until(() => world.asked('/stream').length === 2 && world.open === 1, 'the hand-over')
    world.append(50)
    await world.hasAll(other)
    // It stands still.
    expect((await leader.read()).ids.at(-1)).toBe(20)

    await leader.thaw()
    await world.hasAll(leader)
    world.append(5)
    for (const tab of tabs) await world.hasAll(tab)
    expect(await rolesOf(tabs)).toEqual(['follower', 'leader'])
    expect(world.asked('/stream')).toHaveLength(2)
    expect(world.open).toBe(1)
  })

  test('fetches what it missed if it followed, for longer than its leader remembers', async () => {
    const { world, tabs } = await start(2)
    const [leader, follower] = tabs
    await follower.freeze()
    for (let n = 0; n < 30; n += 1) world.append(100)
    await world.hasAll(leader)
    expect((await follower.read()).ids.at(-1)).toBe(20)

    await follower.thaw()
    await world.hasAll(follower)
    world.append(5)
    for (const tab of tabs) await world.hasAll(tab)
    await until(() => world.open === 1, 'one connection')
    expect(await rolesOf(tabs)).toEqual(['leader', 'follower'])
    expect((await follower.read()).alerts).toEqual([])
  })

  test('does not keep the lead from those who wait behind it', async () => {
    const { world, tabs } = await start(3)
    const [leader, next, last] = tabs
    await next.freeze()
    await leader.close()
    await until(() => world.asked('/stream').length === 2 && world.open === 1, 'the hand-over')
    world.append(10)
    await world.hasAll(last)
    expect(await last.role()).toBe('leader')
    await next.thaw()
    await world.hasAll(next)
    expect(await rolesOf([next, last])).toEqual(['follower', 'leader'])
  })
})
