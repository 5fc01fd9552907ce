import fc from 'fast-check'
import { type Alert, type Channel, type Client, defineChannel, type StreamEvent, type Subscription } from 'millrace'
import { composeClient } from '../../src/client/create-client'
import * as parts from '../../src/sources/tabs/parts'
import type { TabParts } from '../../src/sources/tabs/platform'
import { createModelledJournal, type ModelledJournal } from '../support/modelled-journal'
import { createWorld, type ModelledTab, type World } from '../support/modelled-tabs'

/** What can happen to tabs and to their server. `tab` counts round those that are there. */
export type Deed =
  /** `late`: ms until what tabs take is loaded. */
  | { do: 'open'; channels: 1 | 2; late?: number }
  | {
      do:
        | 'close'
        | 'crash'
        | 'freeze'
        | 'navigate away'
        | 'stall'
        | 'hang'
        | 'wake'
        | 'hide'
        | 'show'
        | 'disable'
        | 'enable'
        | 'join a second channel'
        | 'leave a channel'
        | 'subscribe again'
        | 'close the client'
      tab: number
    }
  | { do: 'lose messages'; tab: number; count: number }
  | { do: 'fall silent'; tab: number }
  | { do: 'lag'; tab: number; ms: number }
  | { do: 'steal the lock' }
  | { do: 'drop connections' }
  | { do: 'outage'; ms: number }
  | { do: 'append'; count: number }
  | { do: 'wait'; ms: number }

export type ServerKind = 'replays' | 'replays too much' | 'has no ids'

export interface History {
  readonly seed: number
  readonly deeds: readonly Deed[]
}

const anyTab = fc.nat(7)
const tabDeed = (...names: string[]) =>
  fc.record({ do: fc.constantFrom(...names), tab: anyTab }) as unknown as fc.Arbitrary<Deed>

const peaceful: fc.WeightedArbitrary<Deed>[] = [
  { weight: 6, arbitrary: fc.record({ do: fc.constant('open'), channels: fc.constantFrom(1, 1, 2) }) as never },
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constant('append' as const),
      count: fc.oneof(
        { weight: 12, arbitrary: fc.integer({ min: 1, max: 8 }) },
        { weight: 1, arbitrary: fc.constant(1_100) },
      ),
    }),
  },
  {
    weight: 10,
    arbitrary: fc.record({
      do: fc.constant('wait' as const),
      ms: fc.constantFrom(0, 1, 2, 3, 5, 8, 20, 60, 300, 2_000, 16_000, 100_000),
    }),
  },
  { weight: 3, arbitrary: tabDeed('close', 'leave a channel', 'subscribe again', 'join a second channel') },
  { weight: 2, arbitrary: tabDeed('disable', 'close the client') },
  { weight: 3, arbitrary: tabDeed('enable') },
  { weight: 2, arbitrary: tabDeed('hide', 'show') },
]
const rough: fc.WeightedArbitrary<Deed>[] = [
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('open' as const),
      channels: fc.constantFrom(1 as const, 2 as const),
      late: fc.constantFrom(5, 1_000, 2_500, 20_000),
    }),
  },
  { weight: 2, arbitrary: tabDeed('crash') },
  { weight: 3, arbitrary: tabDeed('freeze', 'navigate away') },
  { weight: 2, arbitrary: tabDeed('stall', 'hang') },
  { weight: 4, arbitrary: tabDeed('wake') },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('lose messages' as const),
      tab: anyTab,
      count: fc.integer({ min: 1, max: 5 }),
    }),
  },
  { weight: 1, arbitrary: tabDeed('fall silent') },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('lag' as const), tab: anyTab, ms: fc.constantFrom(0, 4, 30, 700) }),
  },
  { weight: 2, arbitrary: fc.constant({ do: 'steal the lock' } as const) },
  { weight: 3, arbitrary: fc.constant({ do: 'drop connections' } as const) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('outage' as const), ms: fc.constantFrom(50, 1_000, 20_000) }) },
]

/** Without ids nothing tells a known event from a new one: only what is done in an orderly way can be right. */
export function anyHistory(server: ServerKind, maxLength = 40): fc.Arbitrary<History> {
  const deed = fc.oneof(...(server === 'has no ids' ? peaceful : [...peaceful, ...rough]))
  return fc.record({ seed: fc.nat(1_000_000), deeds: fc.array(deed, { minLength: 3, maxLength, size: 'max' }) })
}

/** What one subscriber has heard. */
interface Hearing {
  readonly subscription: Subscription<unknown>
  readonly heard: number[]
  /** The number of the last event before the first one that it must not miss: it was live and knew where. */
  liveSince: number | undefined
}

interface Inhabitant {
  readonly tab: ModelledTab
  readonly client: Client
  readonly hearings: Map<string, Hearing>
  readonly past: Hearing[]
  readonly alerts: Alert[]
}

const ORIGIN = 'https://example.com'
const KEYS = ['first', 'second']
const channelOf = (key: string): Channel<unknown, StreamEvent> => defineChannel({ key, stream: `${ORIGIN}/stream` })

class Play {
  readonly world: World
  readonly journal: ModelledJournal
  readonly #server: ServerKind
  readonly #all: Inhabitant[] = []
  #outageUntil = 0

  constructor(server: ServerKind, seed: number) {
    this.#server = server
    this.world = createWorld(seed)
    this.journal = createModelledJournal(this.world, {
      ids: server !== 'has no ids',
      extra: server === 'replays too much' ? 7 : 0,
    })
  }

  get there(): Inhabitant[] {
    return this.#all.filter(({ tab }) => tab.life !== 'gone')
  }

  async perform(deed: Deed): Promise<void> {
    const { world, journal, there } = this
    const one = 'tab' in deed ? there[deed.tab % Math.max(1, there.length)] : undefined
    if ('tab' in deed && !one) return
    const { tab, client } = one ?? ({} as Inhabitant)
    switch (deed.do) {
      case 'open':
        if (there.length < 8) await this.#open(deed.channels, deed.late)
        return
      case 'close':
        return tab.close()
      case 'crash':
        return tab.crash()
      case 'freeze':
        return tab.freeze()
      case 'navigate away':
        return tab.navigateAway()
      case 'stall':
        return tab.suspend('stalled')
      case 'hang':
        return tab.suspend('hung')
      case 'wake':
        return tab.wake()
      case 'hide':
      case 'show':
        return tab.life === 'running' ? tab.hide(deed.do === 'hide') : undefined
      case 'disable':
        return this.#inTab(tab, () => client.disable())
      case 'enable':
        return this.#inTab(tab, () => client.enable())
      case 'close the client':
        await this.#inTab(tab, () => client.close())
        if (tab.life === 'running') tab.crash()
        return
      case 'join a second channel':
        return this.#subscribe(one!, 'second')
      case 'subscribe again':
        return this.#subscribe(one!, 'first')
      case 'leave a channel':
        return this.#leave(one!, [...one!.hearings.keys()][0])
      case 'lose messages':
        tab.losing += deed.count
        return
      case 'fall silent':
        tab.losing = Infinity
        return
      case 'lag':
        tab.lag = deed.ms
        return
      case 'steal the lock':
        return world.locks.rob('millrace2 stream')
      case 'drop connections':
        return journal.drop()
      case 'outage':
        journal.isDown = true
        journal.drop()
        this.#outageUntil = world.clock.now() + deed.ms
        world.clock.after(
          deed.ms,
          () => {
            if (world.clock.now() >= this.#outageUntil) journal.isDown = false
          },
          'outage',
        )
        return
      case 'append':
        return this.#append(deed.count)
      case 'wait':
        return world.clock.advance(deed.ms)
    }
  }

  async #open(channels: number, late = 0): Promise<void> {
    const tab = this.world.open()
    const platform = late > 0 ? { ...tab.platform, load: () => this.#later(tab, late) } : tab.platform
    const alerts: Alert[] = []
    const client = await tab.act(() =>
      composeClient(
        {
          environment: 'test',
          clock: tab.clock,
          fetch: this.journal.fetchOf(tab),
          backoff: { base: 50, cap: 500 },
          limits: { backgroundPerMinute: Infinity },
        },
        platform,
      ),
    )
    client.on('alert', (alert) => alerts.push(alert))
    const one: Inhabitant = { tab, client, alerts, hearings: new Map(), past: [] }
    this.#all.push(one)
    for (const key of KEYS.slice(0, channels)) await this.#subscribe(one, key)
  }

  #later(tab: ModelledTab, ms: number): Promise<TabParts> {
    return new Promise((resolve) => {
      this.world.clock.after(ms, () => tab.post('fetch', () => resolve(parts)), 'chunk')
    })
  }

  async #subscribe(one: Inhabitant, key: string): Promise<void> {
    if (one.hearings.has(key)) return
    await this.#inTab(one.tab, () => {
      const hearing: { -readonly [K in keyof Hearing]: Hearing[K] } = {
        heard: [],
        liveSince: undefined,
        subscription: undefined as never,
      }
      hearing.subscription = one.client.subscribe(channelOf(key), {
        next: ({ data }) => hearing.heard.push((data as { n: number }).n),
      })
      one.hearings.set(key, hearing)
    })
  }

  async #leave(one: Inhabitant, key: string | undefined): Promise<void> {
    const hearing = key !== undefined && one.hearings.get(key)
    if (!hearing) return
    await this.#inTab(one.tab, () => {
      hearing.subscription.unsubscribe()
      one.hearings.delete(key)
      one.past.push(hearing)
    })
  }

  #append(count: number): void {
    for (const { client, hearings } of this.there)
      for (const [key, hearing] of hearings) {
        const { lastEventId } = client.stats().channels.find((channel) => channel.key === channelOf(key).key) ?? {}
        if (lastEventId && hearing.subscription.state.status === 'live') hearing.liveSince ??= this.journal.last
      }
    this.journal.append(count)
  }

  /** A page that stands still does nothing. */
  async #inTab(tab: ModelledTab, run: () => void): Promise<void> {
    if (tab.life === 'running') await tab.act(run)
  }

  /** Peace, but for pages that stand still, until every watchdog and every backoff is through; then news. */
  async settle(): Promise<void> {
    const { world, journal, there } = this
    journal.isDown = false
    for (const { tab, client } of there) {
      tab.losing = 0
      tab.lag = 0
      if (!client.enabled) await this.#inTab(tab, () => client.enable())
    }
    await world.clock.advance(200_000)
    check('Before any news', this.wrongs())
    for (let n = 0; n < 3; n += 1) {
      this.#append(2)
      await world.clock.advance(5_000)
    }
  }

  async wakeAll(): Promise<void> {
    for (const { tab } of this.there) await tab.wake()
  }

  async leaveAll(): Promise<void> {
    for (const one of this.there) for (const key of [...one.hearings.keys()]) await this.#leave(one, key)
    await this.world.clock.advance(1_500)
  }

  /** What is wrong, of what must be right once all is quiet. */
  wrongs(): string[] {
    const { journal, world } = this
    const wrong: string[] = []
    const awake = this.there.filter(({ tab, hearings }) => tab.life === 'running' && hearings.size > 0)
    if (journal.open !== Math.min(1, awake.length)) wrong.push(`${journal.open} connections for ${awake.length} tabs`)
    const leaders = awake.filter(({ client }) => client.stats().tabs.leading === 1)
    if (leaders.length !== Math.min(1, awake.length)) wrong.push(`${leaders.length} leaders of ${awake.length} tabs`)
    const holders = world.locks.holders('millrace2 stream').map(({ number }) => number)
    if (awake.length > 0 && holders.join() !== leaders.map(({ tab }) => tab.number).join())
      wrong.push(`the lock is held by ${holders}`)
    for (const { tab, client, hearings } of awake) {
      const { tabs, timers } = client.stats()
      if (!tabs.shared || tabs.leading + tabs.following !== 1)
        wrong.push(`tab ${tab.number} is leading ${tabs.leading}, following ${tabs.following}`)
      if (timers.length > 4) wrong.push(`tab ${tab.number} has the timers ${timers.map(({ label }) => label)}`)
      for (const [key, { subscription }] of hearings) {
        const { status, role, error } = subscription.state
        if (status !== 'live') wrong.push(`${key} of tab ${tab.number} is ${status} (${role}) ${error ?? ''}`)
      }
      for (const [key, hearing] of hearings)
        if (hearing.heard.at(-1) !== journal.last && (hearing.liveSince ?? journal.last) < journal.last)
          wrong.push(`${key} of tab ${tab.number} heard ${hearing.heard.at(-1)} last, of ${journal.last}`)
    }
    for (const { tab, hearings, past, alerts } of this.#all) {
      for (const hearing of [...hearings.values(), ...past]) wrong.push(...this.#wrongsOf(tab, hearing))
      for (const { code, message } of alerts)
        if (code === 'tab-protocol' || (code === 'gap' && this.#server !== 'has no ids'))
          wrong.push(`tab ${tab.number} tells: ${message}`)
    }
    return wrong
  }

  #wrongsOf({ number }: ModelledTab, { heard, liveSince }: Hearing): string[] {
    const wrong: string[] = []
    for (const [index, n] of heard.entries()) {
      const before = heard[index - 1]
      if (before === undefined) {
        if (liveSince !== undefined && n > liveSince + 1 && this.#server !== 'has no ids')
          wrong.push(`tab ${number} was live at ${liveSince} and first heard ${n}`)
      } else if (n <= before) wrong.push(`tab ${number} heard ${n} after ${before}`)
      else if (n !== before + 1 && this.#server !== 'has no ids')
        wrong.push(`tab ${number} heard ${n} after ${before}: lost`)
    }
    return wrong
  }

  /** What is left although nobody subscribes any more. */
  leftovers(): string[] {
    const { journal, world } = this
    const left = [
      ...world.locks.names().map((name) => `the lock ${name}`),
      ...world.channels().filter((name) => !name.startsWith('millrace2 control')),
      ...this.there.flatMap(({ tab }) =>
        tab
          .pendingTimers()
          .filter((label) => label !== 'keep')
          .map((label) => `the timer ${label} of tab ${tab.number}`),
      ),
    ]
    if (journal.open > 0) left.push(`${journal.open} connections`)
    return left
  }
}

function check(when: string, wrong: readonly string[]): void {
  if (wrong.length > 0) throw new Error(`${when}: ${wrong.slice(0, 8).join('; ')}`)
}

/** Plays it, and throws with what was wrong, at rest, with all awake, or after all have left. */
export async function play({ seed, deeds }: History, server: ServerKind): Promise<void> {
  const scene = new Play(server, seed)
  try {
    for (const deed of deeds) await scene.perform(deed)
    await scene.settle()
    check('While some stand still', scene.wrongs())
    await scene.wakeAll()
    await scene.settle()
    check('With all awake', scene.wrongs())
    await scene.leaveAll()
    check('After all have left', scene.leftovers())
  } finally {
    scene.world.close()
  }
}
