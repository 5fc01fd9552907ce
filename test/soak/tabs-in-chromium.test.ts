import { afterEach, expect, test } from 'vitest'
import { closeBrowsers } from '../support/browser'
import { figure } from '../support/figures'
import { closeServers } from '../support/http-server'
import { createRandom } from '../support/random'
import { startTabs, type Tab } from '../support/tabs'
import { until } from '../support/until'

afterEach(closeBrowsers)
afterEach(closeServers)

const ROUNDS = Number(process.env.ROUNDS ?? 100)
const SEED = Number(process.env.SEED ?? 1)
/** Events a second. */
const RATE = 200

test(`${ROUNDS} rounds of tabs that come and go in every way, seed ${SEED}`, async () => {
  const random = createRandom(SEED)
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!
  const world = await startTabs({ bfcache: true })
  const tabs: Tab[] = []
  const frozen = new Set<Tab>()
  const disabled = new Set<Tab>()
  const log: string[] = []
  const remove = (tab: Tab) => tabs.splice(tabs.indexOf(tab), 1)

  const open = async () => void tabs.push(await world.openTab())
  const acts: Record<string, (tab: Tab) => Promise<unknown>> = {
    open,
    close: (tab) => {
      remove(tab)
      return tab.page.close()
    },
    crash: async (tab) => {
      remove(tab)
      void tab.page.goto('chrome://crash').catch(() => {})
    },
    freeze: async (tab) => {
      frozen.add(tab)
      await tab.run('document.dispatchEvent(new Event("freeze"))')
    },
    thaw: async (tab) => {
      frozen.delete(tab)
      await tab.run('document.dispatchEvent(new Event("resume"))')
    },
    'go and come back': async (tab) => {
      await tab.page.goto(world.server.url('/away'))
      await tab.page.goBack({ waitUntil: 'commit' })
      frozen.delete(tab)
    },
    disable: (tab) => {
      disabled.add(tab)
      return tab.run('client.disable()')
    },
    enable: (tab) => {
      disabled.delete(tab)
      return tab.run('client.enable()')
    },
  }

  await open()
  await open()
  const writing = setInterval(() => world.append(RATE / 50), 20)
  try {
    for (let round = 0; round < ROUNDS; round += 1) {
      const names = Object.keys(acts).filter(
        (name) => (tabs.length < 8 || name !== 'open') && (tabs.length > 2 || !/close|crash/.test(name)),
      )
      const name = pick(names)
      const tab = pick(tabs)
      log.push(`${round} ${name} ${tabs.indexOf(tab)}`)
      await acts[name]!(tab)
      await until(() => world.open <= 1, { what: `one connection after ${log.at(-1)}`, within: 5_000 })
      // Half of the time things settle first, half of the time the next blow falls at once.
      const awake = tabs.filter((each) => !frozen.has(each) && !disabled.has(each))
      if (random() < 0.5 || awake.length === 0) continue
      const now = world.last
      const witness = pick(awake)
      await until(async () => ((await witness.read()).ids.at(-1) ?? 0) >= now, {
        what: `event ${now} in tab ${tabs.indexOf(witness)} after ${log.join(', ')}`,
        within: 10_000,
      })
    }
  } finally {
    clearInterval(writing)
  }

  for (const tab of frozen) if (tabs.includes(tab)) await acts.thaw!(tab)
  for (const tab of tabs) await tab.run('client.enable()')
  const last = world.append(1)
  for (const [index, tab] of tabs.entries()) {
    await until(async () => (await tab.read()).ids.at(-1) === last, {
      what: `tab ${index} to have all; ${log.join(', ')}`,
      within: 15_000,
    })
    const { ids } = await tab.read()
    const wrong = ids.findIndex((id, at) => at > 0 && id !== ids[at - 1]! + 1)
    expect(wrong < 0 ? '' : `tab ${index}: ${ids[wrong - 1]}, ${ids[wrong]}; ${log.join(', ')}`).toBe('')
  }
  expect(world.longestOver).toBeLessThan(1_000)
  expect(world.open).toBe(1)
  figure(
    'Random tabs in Chromium',
    `${ROUNDS} rounds, seed ${SEED}, ${RATE} events a second`,
    `${world.last} events in up to 8 tabs, none lost or doubled; two connections at once for ${Math.round(world.longestOver)} ms at most`,
  )
})
