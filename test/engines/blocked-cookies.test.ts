import { expect, test } from 'vitest'
import { until } from '../support/until'
import { startFirefox } from './firefox'
import { withTabsInEachEngine } from './in-each-engine'

/** "Block all cookies" of the settings: locks, channels and storage throw a SecurityError. */
const BLOCKED = { 'network.cookie.cookieBehavior': 2 }

withTabsInEachEngine(
  'blocked cookies',
  (at) => {
    test('each tab serves itself, and nothing is lost', async () => {
      const world = await at()
      const tabs = [await world.openTab(), await world.openTab('?snapshot')]
      expect(await tabs[0]!.run('navigator.locks.request("any", () => {}).catch(({ name }) => name)')).toBe(
        'SecurityError',
      )
      await until(() => world.open === 2, 'two streams')
      world.append(20)
      for (const tab of tabs) await world.hasAll(tab)
      expect(await Promise.all(tabs.map((tab) => tab.role()))).toEqual(['solo', 'solo'])
      for (const tab of tabs) expect((await tab.read()).alerts).toEqual([])
      await tabs[0]!.run('client.setIdentity("ada")')
      await tabs[0]!.run('client.invalidate("/snapshot")')
    })
  },
  [['Firefox', () => startFirefox(BLOCKED)]],
)
