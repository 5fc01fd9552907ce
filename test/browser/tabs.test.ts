import { afterEach, describe, expect, test } from 'vitest'
import { closeBrowsers } from '../support/browser'
import { closeServers } from '../support/http-server'
import { startTabs, type Tab } from '../support/tabs'
import { until } from '../support/until'

afterEach(closeBrowsers)
afterEach(closeServers)

const rolesOf = (tabs: readonly Tab[]) => Promise.all(tabs.map((tab) => tab.role()))

describe('8 tabs on one source', () => {
  test('have one connection, and every tab has every event once and in order', async () => {
    const world = await startTabs()
    const tabs: Tab[] = []
    for (let n = 0; n < 8; n += 1) tabs.push(await world.openTab())
    await world.isSettled(...tabs)
    expect((await rolesOf(tabs)).sort()).toEqual([...Array(7).fill('follower'), 'leader'])

    for (let n = 0; n < 20; n += 1) world.append(50)
    for (const tab of tabs) await world.hasAll(tab)
    expect(world.asked('/stream')).toHaveLength(1)
    expect(await tabs[7]!.run('fetch("/plain").then((answer) => answer.text())')).toBe('plain')
    expect(world.browser.errors).toEqual([])
    for (const tab of tabs) expect((await tab.read()).alerts).toEqual([])
  })

  test('hang the origin with an EventSource each, which shows that the server counts', async () => {
    const world = await startTabs()
    const tabs: Tab[] = []
    for (let n = 0; n < 6; n += 1) tabs.push(await world.openTab('?idle'))
    for (const tab of tabs) await tab.run('void (window.source = new EventSource("/stream"))')
    await until(() => world.open === 6, 'six connections')
    const answer = tabs[0]!.run('fetch("/plain").then(() => "answered")')
    const silence = tabs[1]!.run('new Promise((resolve) => setTimeout(resolve, 1_000, "nothing"))')
    expect(await Promise.race([answer, silence])).toBe('nothing')
    await tabs[0]!.run('source.close()')
    expect(await answer).toBe('answered')
  })

  test('show the state to a tab that comes late, without a request of its own', async () => {
    const world = await startTabs()
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
    expect((await late.read()).states.at(-1)?.data).toEqual({ count: 15, last: 15 })
  })
})

describe('a leader that', () => {
  const departures: [
    name: string,
    leave: (leader: Tab, world: Awaited<ReturnType<typeof startTabs>>) => Promise<unknown>,
  ][] = [
    ['closes its tab', ({ page }) => page.close()],
    ['crashes', async ({ page }) => void page.goto('chrome://crash').catch(() => {})],
    ['navigates away', ({ page }, { server }) => page.goto(server.url('/away'))],
    ['reloads', ({ page }) => page.reload()],
    ['switches off', ({ run }) => run('client.disable()')],
    ['unsubscribes', ({ run }) => run('subscription.unsubscribe()')],
    ['closes its client', ({ run }) => run('client.close()')],
  ]

  test.each(departures)('%s hands over: one connection, nothing lost, nothing doubled', async (_, leave) => {
    const world = await startTabs()
    const tabs = [await world.openTab(), await world.openTab(), await world.openTab()]
    await world.isSettled(...tabs)
    world.append(100)
    for (const tab of tabs) await world.hasAll(tab)

    const [leader, ...others] = tabs as [Tab, Tab, Tab]
    expect(await leader.role()).toBe('leader')
    const writing = setInterval(() => world.append(2), 5)
    try {
      await leave(leader, world)
      await until(() => world.asked('/stream').length === 2, { what: 'a second connection', within: 5_000 })
      await until(() => world.open === 1, { what: 'one connection', within: 5_000 })
    } finally {
      clearInterval(writing)
    }
    world.append(10)
    for (const tab of others) await world.hasAll(tab)
    await until(async () => (await rolesOf(others)).sort().join() === 'follower,leader', 'one leader')
    for (const tab of others) expect((await tab.read()).alerts).toEqual([])
  })
})
