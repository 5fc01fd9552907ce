import { type Alert, type Client, defineChannel, type Subscription } from 'millrace'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { composeClient } from '../../src/client/create-client'
import * as parts from '../../src/sources/tabs/parts'
import type { TabParts } from '../../src/sources/tabs/platform'
import { createModelledJournal, type ModelledJournal } from '../support/modelled-journal'
import { createWorld, type ModelledTab, type World } from '../support/modelled-tabs'

interface Page {
  readonly tab: ModelledTab
  readonly client: Client
  readonly heard: number[]
  readonly alerts: Alert[]
  readonly stream: Subscription<unknown>
  readonly poll: Subscription<unknown>
  arrive(): Promise<void>
  fail(): Promise<void>
}

let world: World
let journal: ModelledJournal
let pages: Page[]

beforeEach(() => {
  vi.spyOn(console, 'warn').mockImplementation(() => {})
  world = createWorld()
  journal = createModelledJournal(world, { ids: true, extra: 0 })
  pages = []
})
afterEach(() => {
  world.close()
  vi.restoreAllMocks()
})

/** A page whose chunk comes when it is told to. */
async function open(): Promise<Page> {
  const tab = world.open()
  let settle: { resolve: (here: TabParts) => void; reject: (reason: unknown) => void } | undefined
  const loading = new Promise<TabParts>((resolve, reject) => {
    settle = { resolve, reject }
  })
  const heard: number[] = []
  const alerts: Alert[] = []
  const page = await tab.act(() => {
    const client = composeClient(
      { environment: 'test', clock: tab.clock, fetch: journal.fetchOf(tab), backoff: { base: 50, cap: 500 } },
      { ...tab.platform, load: () => loading },
    )
    client.on('alert', (alert) => alerts.push(alert))
    return {
      client,
      stream: client.subscribe(defineChannel({ key: 'stream', stream: 'https://example.com/stream' }), {
        next: ({ data }) => heard.push((data as { n: number }).n),
      }),
      poll: client.subscribe(defineChannel({ key: 'poll', snapshot: 'https://example.com/poll', interval: 5_000 }), {}),
    }
  })
  const whole: Page = {
    ...page,
    tab,
    heard,
    alerts,
    arrive: () => tab.act(() => settle?.resolve(parts)),
    fail: () => tab.act(() => settle?.reject(new TypeError('404'))),
  }
  pages.push(whole)
  return whole
}

const asked = (path: string) => journal.requests.filter((request) => request.path === path)
const all = (from = 1) => Array.from({ length: journal.last + 1 - from }, (_, n) => n + from)
const roles = () =>
  pages.map(({ client }) =>
    client
      .stats()
      .channels.map(({ role }) => role)
      .sort(),
  )

async function expectShared(): Promise<void> {
  expect(journal.open).toBe(1)
  expect(pages.filter(({ client }) => client.stats().tabs.leading === 2)).toHaveLength(1)
  for (const { client, stream, poll } of pages) {
    expect(client.stats().tabs).toMatchObject({ shared: true })
    expect([stream.state.status, poll.state.status]).toEqual(['live', 'polling'])
  }
  const before = asked('/poll').length
  journal.append(3)
  await world.clock.advance(20_000)
  expect(asked('/poll').length - before).toBeLessThanOrEqual(5)
  for (const { heard, alerts } of pages) {
    expect(heard.slice(-3)).toEqual(all(journal.last - 2))
    expect(alerts).toEqual([])
  }
}

describe('a chunk that comes in time', () => {
  test('is waited for: no two tabs connect', async () => {
    await Promise.all([open(), open(), open()])
    await world.clock.advance(1_900)
    expect(journal.requests).toEqual([])
    expect(roles().flat()).toEqual(Array(6).fill(undefined))
    for (const page of pages) await page.arrive()
    await world.clock.advance(500)
    expect(asked('/stream')).toHaveLength(1)
    expect(asked('/poll')).toHaveLength(1)
    await expectShared()
    expect(asked('/stream')).toHaveLength(1)
  })

  test('carries what was to be told to the other tabs meanwhile', async () => {
    const [one, other] = [await open(), await open()]
    await other.arrive()
    await one.tab.act(() => one.client.setIdentity('ada'))
    await other.tab.act(() => other.client.setIdentity('ada'))
    await one.tab.act(() => one.client.setIdentity(null))
    expect(other.client.identity).toBe('ada')
    await one.arrive()
    await world.clock.advance(100)
    expect(other.client.identity).toBeUndefined()
  })

  test('is not waited for twice by who leaves and comes back', async () => {
    const page = await open()
    await page.tab.act(() => page.client.disable())
    await world.clock.advance(60_000)
    expect(journal.requests).toEqual([])
    await page.tab.act(() => page.client.enable())
    await world.clock.advance(1_100)
    expect(journal.open).toBe(1)
  })
})

describe('a chunk that is late', () => {
  test('is no longer waited for after 2 s, and makes one of the pages when it is here', async () => {
    for (let n = 0; n < 3; n += 1) await open()
    await world.clock.advance(2_500)
    expect(journal.open).toBe(3)
    expect(roles().flat()).toEqual(Array(6).fill('solo'))
    journal.append(3)
    await world.clock.advance(100)
    for (const page of pages) {
      await page.arrive()
      journal.append(1)
      await world.clock.advance(7)
      journal.append(1)
    }
    await world.clock.advance(2_000)
    await expectShared()
    expect(asked('/stream')).toHaveLength(3)
    for (const { heard } of pages) expect(heard).toEqual(all())
  })

  test('joins a page that has been alone to one that leads', async () => {
    const first = await open()
    await first.arrive()
    await world.clock.advance(1_000)
    const second = await open()
    await world.clock.advance(3_000)
    expect(journal.open).toBe(2)
    journal.append(2)
    await world.clock.advance(100)
    await second.arrive()
    await world.clock.advance(500)
    expect(asked('/stream')).toHaveLength(2)
    await expectShared()
    for (const { heard } of pages) expect(heard).toEqual(all())
    expect(asked('/stream')).toHaveLength(2)
  })

  test('leaves nothing open, however it ends', async () => {
    const page = await open()
    await world.clock.advance(2_500)
    await page.arrive()
    await page.tab.act(() => {
      page.stream.unsubscribe()
      page.poll.unsubscribe()
    })
    await world.clock.advance(2_000)
    expect(world.locks.names()).toEqual([])
    expect(world.channels().filter((name) => !/ control /.test(name))).toEqual([])
    expect(journal.open).toBe(0)
  })
})

test('a chunk that cannot be loaded is told, and the page serves itself at once', async () => {
  const page = await open()
  await page.fail()
  await world.clock.advance(100)
  expect(journal.open).toBe(1)
  expect(page.stream.state.status).toBe('live')
  expect(page.alerts).toEqual([
    expect.objectContaining({ code: 'tab-protocol', message: expect.stringMatching(/404/) }),
  ])
})
