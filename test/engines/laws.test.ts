import { isDeepStrictEqual } from 'node:util'
import { expect, test } from 'vitest'
import { until } from '../support/until'
import { type EngineTab, inQuery, withTabsInEachEngine } from './in-each-engine'

/** Engines that keep a page in the back/forward cache although it held a lock and a stream until it was left. */
const KEEPS_PAGES = { Chromium: true, Firefox: false, WebKit: true }

const LONGER_THAN_A_TIMEOUT = 16_000

const statusOf = async (tab: EngineTab) => (await tab.read()).states.at(-1)?.status

withTabsInEachEngine('laws', (at) => {
  test('one source has one connection for 50 subscribers, whenever they come and go', async () => {
    const world = await at()
    const tab = await world.openTab()
    await world.isSettled(tab)
    await tab.run(`void (window.all = Array.from({ length: 50 }, () => client.subscribe('/stream', {})))`)
    await tab.run('void all.slice(0, 25).forEach((each) => each.unsubscribe())')
    await tab.run('void (subscription.unsubscribe(), window.subscription = listen())')
    world.append(20)
    await world.hasAll(tab)
    await until(() =>
      tab.run('all.slice(25).every((each) => each.state.status === "live" && each.state.data.n === 20)'),
    )
    expect(world.asked('/stream')).toHaveLength(1)
  })

  test('every event comes once and in order while the connection is reset again and again', async () => {
    const world = await at()
    const tab = await world.openTab()
    await world.isSettled(tab)
    world.append(1)
    await world.hasAll(tab)
    const writing = setInterval(() => world.append(5), 5)
    try {
      for (let reset = 1; reset <= 8; reset += 1) {
        world.append(50)
        world.drop()
        await until(() => world.asked('/stream').length > reset, { what: `attempt ${reset + 1}`, within: 10_000 })
        await until(() => world.open === 1, 'a connection')
      }
    } finally {
      clearInterval(writing)
    }
    await world.hasAll(tab)
    expect(world.mostOpen).toBe(1)
    expect(
      world
        .asked('/stream')
        .slice(1)
        .every(({ headers }) => Number(headers['last-event-id']) > 0),
    ).toBe(true)
  })

  test('nothing outlives the last subscriber: no connection, no timer, no lock', async () => {
    const world = await at()
    const tab = await world.openTab()
    await world.isSettled(tab)
    await tab.run('subscription.unsubscribe()')
    await until(() => world.open === 0, 'no stream')
    const locks = 'navigator.locks.query().then(({ held, pending }) => [...held, ...pending].map(({ name }) => name))'
    await until(async () => (await tab.run<string[]>(locks)).length === 0, 'no lock')
    expect(await tab.run('client.stats().timers')).toEqual([])
  })

  test('the switch closes the connection and the timers, and brings all back', async () => {
    const world = await at()
    const tab = await world.openTab()
    await world.isSettled(tab)
    world.append(5)
    await world.hasAll(tab)
    expect(await tab.run('(client.disable(), client.stats().timers)')).toEqual([])
    await until(() => world.open === 0, 'no stream')
    expect((await tab.read()).states.at(-1)).toMatchObject({ status: 'paused', pausedBy: 'disabled' })
    world.append(10)
    await tab.run('client.enable()')
    await world.hasAll(tab)
    expect(world.asked('/stream')).toHaveLength(2)
  })

  test('a page that is left closes its stream, and has every event once when it is back', async () => {
    const world = await at()
    const tab = await world.openTab()
    await world.isSettled(tab)
    world.append(5)
    await world.hasAll(tab)
    await tab.run('addEventListener("pageshow", ({ persisted }) => { record.restored = persisted })')
    await tab.page.navigate(world.server.url('/away'))
    await until(() => world.open === 0, 'the stream to be closed')
    world.append(7)
    await tab.page.back()
    await world.isSettled(tab)
    const isKept = KEEPS_PAGES[world.engine.name]
    expect((await tab.run('record.restored ?? false')) as boolean).toBe(isKept)
    world.append(2)
    await world.hasAll(tab, isKept ? 1 : 13)
    expect(world.asked('/stream').map(({ headers }) => headers['last-event-id'])).toEqual([
      undefined,
      isKept ? '5' : undefined,
    ])
  })

  test('a 404 fails at once, by its name, and is not asked again', async () => {
    const world = await at()
    world.refuse(404)
    const tab = await world.openTab()
    await until(async () => (await statusOf(tab)) === 'failed', 'the failure')
    const error = '(({ code, status, retryable }) => ({ code, status, retryable }))(subscription.state.error)'
    expect(await tab.run(error)).toEqual({ code: 'http', status: 404, retryable: false })
    expect(await tab.run('client.stats().timers')).toEqual([])
    expect(world.asked('/stream')).toHaveLength(1)
  })

  test('a 503 is asked again no sooner than it says', async () => {
    const world = await at()
    world.refuse(503, { 'retry-after': '1' })
    const tab = await world.openTab()
    await until(async () => (await statusOf(tab)) === 'reconnecting', 'the wait')
    world.accept()
    await world.isSettled(tab)
    const [first, second, ...more] = world.asked('/stream').map(({ time }) => time) as [number, number]
    expect(second - first).toBeGreaterThanOrEqual(990)
    expect(more).toEqual([])
    world.append(3)
    await world.hasAll(tab)
  })

  test('a stream that cannot be had is polled for, until it is back', async () => {
    const world = await at()
    const tab = await world.openTab(`?snapshot&${inQuery('channel', { interval: 200 })}`)
    await world.isSettled(tab)
    world.append(3)
    await world.hasAll(tab)
    world.refuse(503)
    world.drop()
    await until(async () => (await statusOf(tab)) === 'polling', 'the polls')
    world.append(4)
    const isAt = (last: number) => async () =>
      isDeepStrictEqual((await tab.read()).states.at(-1)?.data, { count: last, last })
    await until(isAt(7), 'what a poll answers')
    world.accept()
    await world.isSettled(tab)
    world.append(5)
    await until(isAt(12), 'what the stream says')
    expect((await tab.read()).ids.slice(-5)).toEqual([8, 9, 10, 11, 12])
    // The stream that is back has asked once for what it missed; from now on nobody asks, for several intervals.
    const polls = world.asked('/snapshot').length
    await tab.run('new Promise((resolve) => setTimeout(resolve, 1_000))')
    expect(world.asked('/snapshot')).toHaveLength(polls)
  })

  test('a stream that is open and quiet is no failure, and keeps no snapshot back', async () => {
    const world = await at({ greets: false })
    const tab = await world.openTab('?snapshot')
    await until(() => world.open === 1, 'the stream')
    await until(
      async () => (await tab.read()).states.at(-1)?.data && world.asked('/snapshot').length > 0,
      'the snapshot',
    )
    await tab.run(`new Promise((resolve) => setTimeout(resolve, ${LONGER_THAN_A_TIMEOUT}))`)
    const isAt = (last: number) => async () => {
      const state = (await tab.read()).states.at(-1)
      return state?.status === 'live' && !state.isStale && isDeepStrictEqual(state.data, { count: last, last })
    }
    world.append(5)
    await until(isAt(5), 'the first events, or a snapshot that has them')
    world.append(5)
    await until(isAt(10), 'the next events')
    const { states, ids } = await tab.read()
    expect(ids.slice(-5)).toEqual([6, 7, 8, 9, 10])
    expect(states.map(({ status }) => status)).not.toContain('reconnecting')
    expect(world.asked('/stream')).toHaveLength(1)
  })

  test('a connection that falls silent is replaced', async () => {
    const world = await at()
    const tab = await world.openTab(`?${inQuery('channel', { idleTimeout: 500 })}`)
    await world.isSettled(tab)
    world.append(3)
    await until(() => world.asked('/stream').length > 1, 'another connection')
    world.append(3)
    await world.hasAll(tab)
    await until(() => world.open === 1, 'one connection')
  })

  test('a loop of requests is stopped, by its name', async () => {
    const world = await at()
    const tab = await world.openTab('?idle')
    const codes = await tab.run<string[]>(
      `Promise.all(Array.from({ length: 150 }, (_, n) => client.fetch('/plain?' + n).then(() => 'answered', ({ code }) => code)))`,
    )
    expect(codes.filter((code) => code === 'answered')).toHaveLength(100)
    expect(codes.filter((code) => code === 'runaway')).toHaveLength(50)
    expect((await tab.read()).alerts.map(({ code }) => code)).toContain('runaway')
    expect(world.server.requests.filter(({ url }) => url.startsWith('/plain'))).toHaveLength(100)
  })
})
