import fc from 'fast-check'
import { type Client, defineChannel, type Subscription } from 'millrace'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { composeClient } from '../../src/client/create-client'
import { createModelledJournal, type ModelledJournal } from '../support/modelled-journal'
import { createWorld, type ModelledTab, type World } from '../support/modelled-tabs'

interface Poller {
  readonly tab: ModelledTab
  readonly client: Client
  readonly seen: number[]
  readonly interval: number
  subscription: Subscription<unknown>
}

const POLL = 'https://example.com/poll'
const channel = (whenHidden?: 'keep') =>
  defineChannel({ key: 'poll', snapshot: POLL, interval: 60_000, ...(whenHidden && { whenHidden }) })

let world: World
let journal: ModelledJournal
let pollers: Poller[]

function begin(seed = 1): void {
  world = createWorld(seed)
  journal = createModelledJournal(world, { ids: true, extra: 0 })
  pollers = []
  let version = 0
  journal.body = () => ({ version: ++version })
}

beforeEach(() => {
  vi.spyOn(console, 'warn').mockImplementation(() => {})
  begin()
})
afterEach(() => {
  world.close()
  vi.restoreAllMocks()
})

async function open(interval: number, whenHidden?: 'keep'): Promise<Poller> {
  const tab = world.open()
  const seen: number[] = []
  const client = await tab.act(() =>
    composeClient(
      {
        environment: 'test',
        clock: tab.clock,
        fetch: journal.fetchOf(tab),
        limits: { backgroundPerMinute: Infinity },
      },
      tab.platform,
    ),
  )
  const subscription = await tab.act(() =>
    client.subscribe(
      channel(whenHidden),
      {
        state: ({ data }) => {
          const version = (data as { version?: number } | undefined)?.version
          if (version !== undefined && version !== seen.at(-1)) seen.push(version)
        },
      },
      { interval },
    ),
  )
  const poller: Poller = { tab, client, seen, interval, subscription }
  pollers.push(poller)
  return poller
}

const there = () => pollers.filter(({ tab }) => tab.life !== 'gone')
const leaders = () => there().filter(({ client }) => client.stats().tabs.leading === 1)

/** How many requests this takes. */
async function asksIn(ms: number): Promise<number> {
  const before = journal.requests.length
  await world.clock.advance(ms)
  return journal.requests.length - before
}

/** What each saw last, once no answer is on its way to some of them. */
async function latest(all: readonly Poller[]): Promise<(number | undefined)[]> {
  const seen = () => [...new Set(all.map((poller) => poller.seen.at(-1)))]
  for (let n = 0; n < 10 && seen().length > 1; n += 1) await world.clock.advance(3)
  return seen()
}

/** How many requests there may be in so many ms, jitter included. */
const expectAbout = (asked: number, ms: number, every: number) => {
  expect(asked).toBeGreaterThanOrEqual(Math.floor(ms / every / 1.25))
  expect(asked).toBeLessThanOrEqual(Math.ceil(ms / every) + 1)
}

describe('8 tabs that poll', () => {
  test('are one poller, at the smallest interval of all', async () => {
    for (const interval of [10_000, 8_000, 9_000, 2_000, 7_000, 10_000, 9_000, 30_000]) await open(interval)
    await world.clock.advance(10_000)
    expect(leaders()).toHaveLength(1)
    expectAbout(await asksIn(60_000), 60_000, 2_000)
    expect(new Set(journal.requests.slice(-20).map(({ tab }) => tab)).size).toBe(1)
    expect(await latest(pollers)).toHaveLength(1)
    for (const { subscription } of pollers) expect(subscription.state.status).toBe('polling')
  })

  test('slow down when the most impatient one leaves, and speed up when another comes', async () => {
    for (const interval of [10_000, 10_000, 1_000]) await open(interval)
    await world.clock.advance(5_000)
    const [, , impatient] = pollers as [Poller, Poller, Poller]
    await impatient.tab.act(() => impatient.subscription.unsubscribe())
    await world.clock.advance(15_000)
    expectAbout(await asksIn(100_000), 100_000, 10_000)
    await open(1_000)
    await world.clock.advance(2_000)
    expectAbout(await asksIn(20_000), 20_000, 1_000)
  })

  test('have another poller as soon as theirs has crashed, and see nothing older than before', async () => {
    for (let n = 0; n < 8; n += 1) await open(1_000)
    await world.clock.advance(5_000)
    for (let crashes = 0; crashes < 6; crashes += 1) {
      const [leader] = leaders()
      leader!.tab.crash()
      expect(await asksIn(2_500)).toBeGreaterThanOrEqual(1)
      expect(leaders()).toHaveLength(1)
    }
    for (const { seen } of pollers) expect(seen).toEqual([...seen].sort((a, b) => a - b))
  })

  test('see nothing older when a tab polls again that has polled before', async () => {
    for (let n = 0; n < 2; n += 1) await open(1_000)
    await world.clock.advance(5_000)
    for (let n = 0; n < 4; n += 1) {
      const [leader] = leaders()
      await leader!.tab.freeze()
      await world.clock.advance(3_000)
      await leader!.tab.wake()
      await world.clock.advance(3_000)
    }
    for (const { seen } of pollers) expect(seen).toEqual([...seen].sort((a, b) => a - b))
  })

  test('go on telling a tab whose greeting was lost', async () => {
    const [first, second] = [await open(1_000), await open(1_000)]
    await world.clock.advance(5_000)
    first.tab.losing = Infinity
    world.locks.rob('millrace2 snapshot')
    await world.clock.advance(100)
    first.tab.losing = 0
    expect(leaders()).toEqual([second])
    await world.clock.advance(20_000)
    expect(await latest(pollers)).toHaveLength(1)
  })

  test('greet a leader once when they come', async () => {
    await open(60_000)
    await world.clock.advance(5_000)
    const said: string[] = []
    const name = world.channels().find((name) => name.startsWith('millrace2 snapshot'))!
    world.open().platform.open(name).onmessage = ({ data }) => said.push((data as { type: string }).type)
    await open(60_000)
    await world.clock.advance(1_000)
    expect(said.filter((type) => /hello|welcome/.test(type))).toEqual(['hello', 'welcome'])
  })

  test('forget what a crashed tab wanted', async () => {
    for (const interval of [10_000, 10_000, 1_000]) await open(interval)
    await world.clock.advance(5_000)
    pollers[2]!.tab.crash()
    await world.clock.advance(160_000)
    expectAbout(await asksIn(100_000), 100_000, 10_000)
  })
})

describe('`refresh()` of a follower', () => {
  test('resolves when it has what the leader was answered', async () => {
    for (let n = 0; n < 3; n += 1) await open(60_000)
    await world.clock.advance(5_000)
    const follower = pollers.find(({ client }) => client.stats().tabs.following === 1)!
    const before = follower.seen.at(-1)!
    let isDone = false
    await follower.tab.act(
      () =>
        void follower.client.refresh(channel()).then(() => {
          isDone = true
        }),
    )
    expect(await asksIn(100)).toBe(1)
    expect(isDone).toBe(true)
    expect(follower.seen.at(-1)).toBe(before + 1)
  })

  test('is one request, however soon after the tab was opened', async () => {
    for (let ms = 0; ms < 30; ms += 1) {
      begin(ms + 1)
      await open(60_000)
      await world.clock.advance(5_000)
      const { tab, client, seen } = await open(60_000)
      await world.clock.advance(ms)
      let isDone = false
      await tab.act(
        () =>
          void client.refresh(channel()).then(() => {
            isDone = true
          }),
      )
      expect([await asksIn(1_000), isDone, seen.at(-1)]).toEqual([1, true, 2])
      world.close()
    }
  })

  test('is asked of the tab that took over while it stood still itself', async () => {
    const [first] = [await open(60_000), await open(60_000)]
    await world.clock.advance(5_000)
    first.tab.suspend('stalled')
    world.locks.rob('millrace2 snapshot')
    await world.clock.advance(100)
    await first.tab.wake()
    await world.clock.advance(5_000)
    expect(first.client.stats().tabs.following).toBe(1)
    let isDone = false
    await first.tab.act(
      () =>
        void first.client.refresh(channel()).then(() => {
          isDone = true
        }),
    )
    expect([await asksIn(1_000), isDone]).toEqual([1, true])
  })

  test.each(['crash', 'hang', 'close'] as const)(
    'resolves although the leader has gone (%s) before it answered',
    async (how) => {
      for (let n = 0; n < 3; n += 1) await open(60_000)
      await world.clock.advance(5_000)
      const [leader] = leaders()
      const follower = pollers.find(({ client }) => client.stats().tabs.following === 1)!
      let isDone = false
      await follower.tab.act(
        () =>
          void follower.client.refresh(channel()).then(() => {
            isDone = true
          }),
      )
      if (how === 'crash') leader!.tab.crash()
      else if (how === 'close') await leader!.tab.close()
      else leader!.tab.suspend('hung')
      await world.clock.advance(how === 'hang' ? 31_000 : 500)
      expect(isDone).toBe(true)
    },
  )
})

describe('a hidden leader', () => {
  test('leaves the polling to a tab that is seen', async () => {
    for (let n = 0; n < 3; n += 1) await open(1_000)
    await world.clock.advance(5_000)
    const [leader] = leaders()
    await leader!.tab.hide(true)
    await world.clock.advance(3_000)
    const [next] = leaders()
    expect(next).not.toBe(leader)
    expect(next!.tab.isHidden).toBe(false)
    expectAbout(await asksIn(20_000), 20_000, 1_000)
  })

  test('polls on time for a tab that is seen later, though its own timers run once a minute', async () => {
    for (let n = 0; n < 4; n += 1) await open(2_000, 'keep')
    await world.clock.advance(5_000)
    for (const { tab } of pollers) await tab.hide(true)
    await world.clock.advance(5_000)
    for (const { tab } of pollers) tab.isSlow = true
    pollers[3]!.tab.isSlow = false
    await pollers[3]!.tab.hide(false)
    await world.clock.advance(100)
    expectAbout(await asksIn(20_000), 20_000, 2_000)
    expect(await latest([pollers[3]!, pollers[0]!])).toHaveLength(1)
    expect(leaders()).toHaveLength(1)
  })

  test('polls on time for a tab that is opened later', async () => {
    const first = await open(2_000, 'keep')
    await first.tab.hide(true)
    first.tab.isSlow = true
    await world.clock.advance(5_000)
    const second = await open(2_000, 'keep')
    await world.clock.advance(100)
    expectAbout(await asksIn(20_000), 20_000, 2_000)
    expect(await latest([first, second])).toHaveLength(1)
    expect(leaders()).toHaveLength(1)
  })

  test('stops polling when every tab is hidden, and goes on when one is seen again', async () => {
    for (let n = 0; n < 3; n += 1) await open(1_000)
    await world.clock.advance(5_000)
    for (const { tab } of pollers) await tab.hide(true)
    await world.clock.advance(5_000)
    expect(await asksIn(30_000)).toBe(0)
    for (const { subscription } of pollers)
      expect(subscription.state).toMatchObject({ status: 'paused', pausedBy: 'hidden' })
    await pollers[1]!.tab.hide(false)
    await world.clock.advance(2_000)
    expectAbout(await asksIn(20_000), 20_000, 1_000)
    expect(leaders()).toEqual([pollers[1]])
  })

  test('polls on for tabs that keep polling while hidden', async () => {
    for (let n = 0; n < 3; n += 1) await open(1_000, 'keep')
    await world.clock.advance(5_000)
    for (const { tab } of pollers) await tab.hide(true)
    await world.clock.advance(5_000)
    expectAbout(await asksIn(20_000), 20_000, 1_000)
    expect(leaders()).toHaveLength(1)
  })
})

describe('whatever happens to the tabs', () => {
  type Deed = { do: string; tab: number; ms: number }
  const deeds = [
    'open',
    'open',
    'wait',
    'wait',
    'crash',
    'close',
    'hide',
    'show',
    'freeze',
    'wake',
    'hang',
    'refresh',
    'lag',
    'lose',
    'steal',
  ]
  const anyHistory = fc.record({
    seed: fc.nat(1_000_000),
    deeds: fc.array(
      fc.record({
        do: fc.constantFrom(...deeds),
        tab: fc.nat(7),
        ms: fc.constantFrom(1, 3, 5, 20, 400, 3_000, 20_000),
      }),
      { minLength: 3, maxLength: 30, size: 'max' },
    ),
  })

  /** What a new leader knew from before once replaced what its followers had heard meanwhile. */
  const behindTheOthers: { seed: number; deeds: Deed[] } = {
    seed: 0,
    deeds: [
      { do: 'open', tab: 0, ms: 1 },
      { do: 'open', tab: 0, ms: 1 },
      { do: 'wait', tab: 0, ms: 20_000 },
      { do: 'freeze', tab: 0, ms: 1 },
      { do: 'wait', tab: 0, ms: 3_000 },
      { do: 'wake', tab: 3, ms: 1 },
      { do: 'steal', tab: 0, ms: 1 },
      { do: 'steal', tab: 0, ms: 1 },
    ],
  }

  async function perform({ do: what, tab: number, ms }: Deed, pending: Set<number>): Promise<void> {
    const all = there()
    const one = all[number % Math.max(1, all.length)]
    if (what === 'open') {
      if (all.length < 8) await open([1_000, 2_000, 5_000][number % 3]!)
    } else if (what === 'wait') await world.clock.advance(ms)
    else if (what === 'steal') world.locks.rob('millrace2 snapshot')
    else if (!one) return
    else if (what === 'crash') one.tab.crash()
    else if (what === 'close') await one.tab.close()
    else if (what === 'hide' || what === 'show') {
      if (one.tab.life === 'running') await one.tab.hide(what === 'hide')
    } else if (what === 'freeze') await one.tab.freeze()
    else if (what === 'wake') await one.tab.wake()
    else if (what === 'hang') one.tab.suspend('hung')
    else if (what === 'lag') one.tab.lag = ms > 1_000 ? 0 : ms
    else if (what === 'lose') one.tab.losing += number
    else if (one.tab.life === 'running') {
      const question = pending.size + 1_000 * one.tab.number
      pending.add(question)
      await one.tab.act(() => void one.client.refresh(channel()).then(() => pending.delete(question)))
    }
  }

  test('at rest one of those who are seen polls, all see the same, nothing older ever, and no `refresh` is left', {
    timeout: 600_000,
  }, async () => {
    await fc.assert(
      fc.asyncProperty(anyHistory, async ({ seed, deeds }) => {
        world.close()
        begin(seed)
        const pending = new Set<number>()
        for (const deed of deeds) await perform(deed, pending)
        for (const { tab } of there()) {
          tab.lag = tab.losing = 0
          await tab.wake()
          if (tab.isHidden) await tab.hide(false)
        }
        await world.clock.advance(200_000)
        const all = there()
        expect(leaders()).toHaveLength(Math.min(1, all.length))
        if (all.length > 0) {
          const before = journal.requests.length
          const asked = await asksIn(20_000)
          expectAbout(asked, 20_000, Math.min(...all.map(({ interval }) => interval)))
          expect(new Set(journal.requests.slice(before).map(({ tab }) => tab)).size).toBe(1)
          expect(await latest(all)).toHaveLength(1)
        }
        for (const { seen } of pollers) expect(seen).toEqual([...seen].sort((a, b) => a - b))
        const lost = [...pending].filter((question) =>
          all.some(({ tab }) => tab.number === Math.floor(question / 1_000)),
        )
        expect(lost).toEqual([])
        const unanswered = new Set(all)
        for (const one of all)
          await one.tab.act(() => void one.client.refresh(channel()).then(() => unanswered.delete(one)))
        await world.clock.advance(1_000)
        expect([...unanswered].map(({ tab }) => tab.number)).toEqual([])
        for (const { tab, subscription } of all) await tab.act(() => subscription.unsubscribe())
        await world.clock.advance(1_500)
        expect(world.locks.names()).toEqual([])
        expect(world.channels().filter((name) => !name.startsWith('millrace2 control'))).toEqual([])
        expect(all.flatMap(({ tab }) => tab.pendingTimers()).filter((label) => label !== 'keep')).toEqual([])
      }),
      {
        examples: [[behindTheOthers]],
        numRuns: Number(process.env.HISTORIES ?? 100),
        seed: Number(process.env.SEED ?? 60),
        endOnFailure: process.env.SHRINK === undefined,
      },
    )
  })
})
