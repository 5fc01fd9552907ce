import type { Page } from 'playwright-core'
import { afterEach, expect, test } from 'vitest'
import { tabName } from '../../src/sources/tabs/wire'
import { closeBrowsers } from '../support/browser'
import { closeServers } from '../support/http-server'
import { startTabs, type Tab } from '../support/tabs'
import { until, within } from '../support/until'

afterEach(closeBrowsers)
afterEach(closeServers)

/**
 * What another script of the origin can do: it finds the channels by the names of the locks, listens for who leads, and
 * speaks in the leader's name. Nothing here is a message that could be true: those are believed.
 */
const FORGER = `(async () => {
  const names = new Set(['${tabName('control', '')}'])
  const { held, pending } = await navigator.locks.query()
  for (const { name } of [...held, ...pending]) if (/ (stream|snapshot) /.test(name)) names.add(name)
  window.channels = [...names].map((name) => new BroadcastChannel(name))
  window.leaders = {}
  for (const channel of channels)
    channel.onmessage = ({ data }) => {
      if (data.e) leaders[kindOf(channel)] = data
    }
  window.kindOf = ({ name }) => name.split(' ')[1]
  window.open = (kind) => channels.find((channel) => kindOf(channel) === kind)

  let tower = 1
  for (let n = 0; n < 30; n += 1) tower = [tower, tower]
  const knot = {}
  knot.left = knot.right = knot
  const sparse = []
  sparse.length = 2 ** 32 - 1
  window.odd = [
    undefined, null, true, -1, 0.5, NaN, Infinity, -Infinity, 2 ** 60, 10n, '', 'x'.repeat(2e6), [], [[]], [,], [null], {},
    tower, knot, sparse, new Date(), new Date(NaN), new Map([[1, knot]]), new Set([1]), /x/, new Error('x'), new DOMException('x'),
    new ArrayBuffer(8), new Uint8Array(8), new Blob(['x']), new ImageData(1, 1), new String('open'), new Number(1), Object(1n),
    { toString: 1, valueOf: 1 }, { length: -1 }, { length: { toString: 1, valueOf: 1 } }, { name: 'open' }, { then: 1 },
    JSON.parse('{"__proto__":{"isPolluted":true},"constructor":{"prototype":{"isPolluted":true}}}'),
  ]

  /** Says it once for each of its fields with each odd value in its place, unless that would be as good as any. */
  window.twist = (kind, message, isGood = () => false) => {
    let count = 0
    for (const field of Object.keys(message))
      for (const value of odd) {
        if (isGood(field, value)) continue
        open(kind).postMessage({ ...message, [field]: value })
        count += 1
      }
    return count
  }
  /** What nobody could tell from the leader's. */
  window.asLeader = (kind, type, fields) => {
    const { from, e } = leaders[kind]
    return { type, from, e, ...fields }
  }
  window.isEpoch = (field, value) => field === 'e' && Number.isSafeInteger(value)
})()`

async function openScene() {
  const world = await startTabs({ args: ['--enable-precise-memory-info'] })
  const tabs = [await world.openTab(), await world.openTab()] as [Tab, Tab]
  await world.isSettled(...tabs)
  for (const tab of tabs) await tab.run('void poll()')
  const polled = async ({ read }: Tab) => JSON.stringify((await read()).polls.at(-1)?.data)
  const forger = await world.browser.openPage(world.server.url('/away'))
  await forger.evaluate(FORGER)
  // The forger hears who leads.
  await until(() => {
    world.append(1)
    return forger.evaluate('Boolean(leaders.stream && leaders.snapshot)')
  }, 'leaders')
  for (const tab of tabs) await world.hasAll(tab)
  const roles = () => Promise.all(tabs.map(async ({ read }) => (await read()).states.at(-1)?.role))
  expect(await roles()).toEqual(['leader', 'follower'])

  /** Everything is as it was, and what comes next comes once and in order. */
  const isUnharmed = async ({ told = true, allowed = [] as string[] } = {}) => {
    // Each of these is answered only when all that was said before has been heard.
    for (const tab of tabs) await within(10_000, tab.run('1'), 'a tab to answer')
    for (let n = 0; n < 20; n += 1) world.append(3)
    for (const tab of tabs) await world.hasAll(tab)
    for (const tab of tabs)
      await until(async () => (await polled(tab)) === `{"n":${world.last}}`, { what: 'a poll', within: 20_000 })
    expect(await roles()).toEqual(['leader', 'follower'])
    expect(world.open).toBe(1)
    expect(world.asked('/stream')).toHaveLength(1)
    for (const tab of tabs) {
      expect(await tab.run('errors')).toEqual([])
      expect(await tab.run('typeof {}.isPolluted')).toBe('undefined')
      const { alerts, states } = await tab.read()
      const codes = new Set(alerts.map(({ code }) => code))
      for (const code of allowed) codes.delete(code)
      expect([...codes]).toEqual(told ? ['tab-protocol'] : [])
      expect(states.at(-1)).toMatchObject({ status: 'live', isStale: false })
    }
    expect(world.browser.errors).toEqual([])
  }
  return { world, tabs, forger, isUnharmed }
}

const say = (forger: Page, code: string) => forger.evaluate(`(() => {${code}})()`) as Promise<number>

test('what is no message at all is dropped, and told of once', { timeout: 90_000 }, async () => {
  const { forger, isUnharmed } = await openScene()
  await say(forger, 'for (const channel of channels) for (const value of odd) channel.postMessage(value)')
  await isUnharmed()
})

test('what a tab says to its leader may be of any kind', { timeout: 90_000 }, async () => {
  const { forger, isUnharmed } = await openScene()
  const said = await say(
    forger,
    `const from = 'zzz'
    const cursor = '1'
    return (
      twist('stream', { type: 'hello', from, to: undefined, e: undefined, cursor, fresh: [] }, isEpoch) +
      twist('stream', { type: 'ping', from, to: undefined }) +
      twist('stream', { type: 'tick', from, to: undefined }) +
      twist('stream', { type: 'bye', from, to: undefined }) +
      twist('snapshot', { type: 'hello', from, interval: 300, askers: 1, hidden: false, at: 1 }) +
      twist('snapshot', { type: 'wish', from, interval: 300, askers: 1, hidden: false, at: 1 }) +
      twist('snapshot', { type: 'bye', from, to: undefined })
    )`,
  )
  expect(said).toBeGreaterThan(900)
  await isUnharmed()
})

test('what a leader says of its stream must fit, field by field', { timeout: 90_000 }, async () => {
  const { forger, isUnharmed } = await openScene()
  const said = await say(
    forger,
    `const { n, events, cursor } = leaders.stream
    const next = n + events.length
    const state = { name: 'open', failures: 0, since: 1 }
    const good = (field, value) =>
      isEpoch(field, value) || (field === 'cursor' && typeof value === 'string') ||
      (field === 'n' && Number.isSafeInteger(value))
    const as = (type, fields) => asLeader('stream', type, fields)
    const event = { event: '', data: '{"n":0}', id: '0', lastEventId: '0' }
    let count = 0
    for (const field of Object.keys(event))
      for (const value of odd)
        if (typeof value !== 'string' && (field !== 'id' || value !== undefined)) {
          open('stream').postMessage(as('batch', { n: next, events: [{ ...event, [field]: value }], cursor, restart: false }))
          count += 1
        }
    return (
      count +
      twist('stream', as('batch', { n: next, events: [], cursor, restart: false }), good) +
      twist('stream', as('status', { state, resumed: true }), good) +
      twist('stream', as('welcome', { to: undefined, n: next, cursor, state, resumed: true, since: cursor, events: [], given: {} }), good) +
      twist('stream', as('pong', { to: undefined, n: next, cursor, name: 'open', age: 1 }), good) +
      twist('stream', as('leader', {}), good)
    )`,
  )
  expect(said).toBeGreaterThan(900)
  await isUnharmed()
})

test('what a leader says of its polls must fit, field by field', { timeout: 90_000 }, async () => {
  const { world, forger, isUnharmed } = await openScene()
  const said = await say(
    forger,
    `const value = { n: ${world.last} }
    const at = Date.now()
    const as = (type, fields) => asLeader('snapshot', type, fields)
    const state = { name: 'polling', failures: 0, retryAt: undefined, error: undefined }
    const isValue = (field, value) => isEpoch(field, value) || field === 'value'
    let count = 0
    for (const field of ['headers', 'at'])
      for (const value of odd) {
        open('snapshot').postMessage(as('welcome', { state, last: { value: { n: ${world.last} }, headers: [], at: 1, [field]: value } }))
        count += 1
      }
    return (
      count +
      twist('snapshot', as('body', { value, headers: [], at }), isValue) +
      twist('snapshot', as('status', { state }), isEpoch) +
      twist('snapshot', as('trouble', { error: undefined, final: false }), isEpoch) +
      twist('snapshot', as('asking', {}), isEpoch) +
      twist('snapshot', as('done', { number: 10 }), isEpoch) +
      twist('snapshot', as('welcome', { to: undefined, state, last: undefined }), isEpoch) +
      twist('snapshot', as('pong', { to: undefined, age: 1 }), isEpoch)
    )`,
  )
  expect(said).toBeGreaterThan(900)
  await isUnharmed()
})

test('an epoch that nobody can have counts for nothing', { timeout: 90_000 }, async () => {
  const { forger, isUnharmed } = await openScene()
  const said = await say(
    forger,
    `let count = 0
    const events = [{ event: '', data: '{"n":99}', id: '99', lastEventId: '99' }]
    for (const e of [-1, -(2 ** 53) + 1, 0, 1, Date.now() - 1e9, Date.now() + 62_000, Date.now() + 1e12, 2 ** 53 - 1])
      for (const message of [
        { type: 'leader' },
        { type: 'batch', n: 0, events, cursor: '99', restart: true },
        { type: 'status', state: { name: 'failed', error: { code: 'http', message: 'no' } } },
        { type: 'welcome', n: 0, cursor: '99', events },
        { type: 'pong', age: 1e9 },
        { type: 'body', value: 'forged', headers: [] },
        { type: 'trouble', error: { code: 'http', message: 'no' }, final: true },
      ])
        for (const channel of channels) {
          channel.postMessage({ ...message, from: 'zzz', e })
          count += 1
        }
    return count`,
  )
  expect(said).toBeGreaterThan(150)
  await isUnharmed({ told: false })
})

test('what is said to all tabs must fit, field by field', { timeout: 90_000 }, async () => {
  const { tabs, forger, isUnharmed } = await openScene()
  const said = await say(
    forger,
    `const answer = { key: 'k', url: 'u', value: 1, headers: [], bytes: 1, at: Date.now() - 1 }
    let count = 0
    for (const field of Object.keys(answer))
      for (const value of [...odd, [[1]], [['a b', 'c']], [['a', { toString: 1, valueOf: 1 }]]])
        if (field !== 'value') {
          open('control').postMessage({ type: 'answer', answer: { ...answer, [field]: value } })
          count += 1
        }
    const isAll = (field, value) => field === 'match' && Array.isArray(value) && value.length === 0
    return (
      count +
      twist('control', { type: 'left', name: 'x' }) +
      twist('control', { type: 'has-left', name: 'x' }) +
      twist('control', { type: 'invalidate', match: 'x' }, isAll) +
      twist('control', { type: 'changed', url: 'x' }) +
      twist('control', { type: 'answer', answer: undefined })
    )`,
  )
  expect(said).toBeGreaterThan(500)
  await isUnharmed()
  for (const tab of tabs) expect(await tab.run('client.stats().cache.entries')).toBeLessThanOrEqual(20)
})

test('thousands at once, some of them huge, cost neither memory nor the stream', { timeout: 120_000 }, async () => {
  const { world, tabs, forger, isUnharmed } = await openScene()
  const writing = setInterval(() => world.append(1), 10)
  const heaps = () =>
    Promise.all(
      tabs.map(async ({ page, run }) => {
        const session = await page.context().newCDPSession(page)
        await session.send('HeapProfiler.collectGarbage')
        return run<number>('performance.memory.usedJSHeapSize')
      }),
    )
  const before = await heaps()
  try {
    await say(
      forger,
      `for (let n = 0; n < 5_000; n += 1)
        for (const channel of channels)
          channel.postMessage(n % 2 ? { type: n } : { type: 'hello', from: 'stranger ' + n, cursor: n })`,
    )
    for (const field of ['from', 'to', 'type', 'cursor', 'name', 'number', 'unknown'])
      await say(
        forger,
        `for (let n = 0; n < 40; n += 1)
          for (const channel of channels)
            channel.postMessage({ type: n % 2 ? 'hello' : 'wish', from: 'giant ' + n, ${field}: String(n).padEnd(1e6, 'x') })`,
      )
  } finally {
    clearInterval(writing)
  }
  await isUnharmed({ allowed: ['pressure'] })
  const after = await heaps()
  for (const [index, heap] of after.entries()) expect(heap - before[index]!).toBeLessThan(15e6)
})
