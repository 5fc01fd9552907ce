import { type Alert, type Client, defineChannel } from 'millrace'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { composeClient } from '../../src/client/create-client'
import type { TabPlatform } from '../../src/sources/tabs/platform'
import { createModelledJournal, type ModelledJournal } from '../support/modelled-journal'
import { createWorld, type ModelledTab, type World } from '../support/modelled-tabs'

interface Listener {
  readonly tab: ModelledTab
  readonly client: Client
  readonly heard: number[]
  readonly alerts: Alert[]
  /** Messages that reach it are lost while this is true. */
  isDeaf: boolean
  /** ms that it takes to take in what reaches it. */
  delay: number
}

let world: World
let journal: ModelledJournal
let listeners: Listener[]
/** ms that the machine's clock has been set ahead. */
let setAhead: number

beforeEach(() => {
  vi.spyOn(console, 'warn').mockImplementation(() => {})
  world = createWorld()
  journal = createModelledJournal(world, { ids: true, extra: 0 })
  listeners = []
  setAhead = 0
})
afterEach(() => {
  world.close()
  vi.restoreAllMocks()
})

async function open(): Promise<Listener> {
  const tab = world.open()
  const listener = { tab, heard: [], alerts: [], isDeaf: false, delay: 0 } as unknown as Listener & { client: Client }
  const platform: TabPlatform = {
    ...tab.platform,
    open(name) {
      const channel = tab.platform.open(name)
      return {
        set onmessage(handle: (event: { data: unknown }) => unknown) {
          channel.onmessage = (event) => {
            if (listener.isDeaf) return
            if (listener.delay === 0) return handle(event)
            world.clock.after(listener.delay, () => tab.post('message', () => handle(event)), 'delay')
          }
        },
        postMessage: (message) => channel.postMessage(message),
        close: () => channel.close(),
      }
    },
  }
  const clock = { ...tab.clock, now: () => tab.clock.now() + setAhead }
  listener.client = await tab.act(() =>
    composeClient(
      { environment: 'test', clock, fetch: journal.fetchOf(tab), backoff: { base: 50, cap: 500 } },
      platform,
    ),
  )
  listener.client.on('alert', (alert) => listener.alerts.push(alert))
  await tab.act(() =>
    listener.client.subscribe(defineChannel({ key: 'stream', stream: 'https://example.com/stream' }), {
      next: ({ data }) => listener.heard.push((data as { n: number }).n),
    }),
  )
  await world.clock.advance(500)
  listeners.push(listener)
  return listener
}

const there = () => listeners.filter(({ tab }) => tab.life === 'running')
const leaders = () => there().filter(({ client }) => client.stats().tabs.leading === 1)
const all = () => Array.from({ length: journal.last }, (_, n) => n + 1)
const expectAllHeard = () => {
  for (const { heard, alerts } of there()) {
    expect(heard).toEqual(all())
    expect(alerts).toEqual([])
  }
}

describe('the last event before a silence, lost on its way to one follower,', () => {
  test('is noticed within 15 s and the time of a question and its answer', async () => {
    const [, deaf] = [await open(), await open(), await open()] as const
    journal.append(3)
    await world.clock.advance(1_000)
    deaf.isDeaf = true
    journal.append(1)
    await world.clock.advance(1_000)
    deaf.isDeaf = false
    expect(deaf.heard).toEqual([1, 2, 3])

    await world.clock.advance(15_000)
    expectAllHeard()
    expect(journal.requests).toHaveLength(1)
  })

  test('is noticed at once when another one comes', async () => {
    const [, deaf] = [await open(), await open()]
    journal.append(3)
    await world.clock.advance(1_000)
    deaf.isDeaf = true
    journal.append(1)
    await world.clock.advance(1_000)
    deaf.isDeaf = false
    journal.append(1)
    await world.clock.advance(20)
    expectAllHeard()
  })
})

describe('of 8 tabs that notice that their leader is dead', () => {
  test.each([0, 1, 2, 3, 5, 20])('one takes over, though each notices it %i ms after another', async (apart) => {
    for (let n = 0; n < 8; n += 1) (await open()).delay = n * apart
    const [leader] = leaders()
    journal.append(3)
    await world.clock.advance(1_000)
    leader!.tab.suspend('hung')
    for (const listener of listeners) listener.delay = 0
    journal.append(1)
    await world.clock.advance(30_000)
    expect(journal.requests).toHaveLength(2)
    expect(leaders()).toHaveLength(1)
    expectAllHeard()
  })
})

describe('a clock that is set', () => {
  /** Sets it, and opens another tab, which has never known another time. */
  async function set(ms: number): Promise<void> {
    for (let n = 0; n < 3; n += 1) await open()
    journal.append(3)
    await world.clock.advance(1_000)
    setAhead = ms
    await open()
    for (let n = 0; n < 10; n += 1) {
      journal.append(3)
      await world.clock.advance(n * 10_000)
    }
  }
  const expectNothingLost = () => {
    for (const { heard } of listeners.slice(0, 3)) expect(heard).toEqual(all())
    expect(listeners[3]!.heard).toEqual(all().slice(3))
    for (const { alerts } of listeners) expect(alerts).toEqual([])
    expect(leaders()).toHaveLength(1)
  }

  test('back by an hour changes neither the leader nor what is heard', async () => {
    await set(-3_600_000)
    expectNothingLost()
    expect(leaders()).toEqual([listeners[0]])
    expect(journal.requests).toHaveLength(1)
  })

  test('back by an hour lets tabs notice as soon as ever that their leader is dead', async () => {
    await set(-3_600_000)
    listeners[0]!.tab.suspend('hung')
    setAhead -= 3_600_000
    journal.append(1)
    await world.clock.advance(36_000)
    expect(leaders()).toHaveLength(1)
    for (const { heard } of listeners.slice(1, 3)) expect(heard).toEqual(all())
  })

  test('ahead by an hour, as after a sleep, changes the leader once at most, and loses nothing', async () => {
    await set(3_600_000)
    expectNothingLost()
    expect(journal.requests.length).toBeLessThanOrEqual(2)
  })
})

describe('a hidden leader that has lost its connection', () => {
  test('tries again on time for a tab that is seen, though its own timers run once a minute', async () => {
    const [leader, follower] = [await open(), await open()]
    journal.append(3)
    await world.clock.advance(10_000)
    await leader.tab.hide(true)
    leader.tab.isSlow = true
    journal.drop()
    await world.clock.advance(10)
    expect(journal.open).toBe(0)
    journal.append(1)
    await world.clock.advance(1_000)
    expect(journal.open).toBe(1)
    expect(follower.heard).toEqual(all())
    expect(journal.requests).toHaveLength(2)
  })
})
