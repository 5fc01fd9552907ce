import type { Clock } from 'millrace'
import * as parts from '../../src/sources/tabs/parts'
import type { TabChannel, TabPlatform } from '../../src/sources/tabs/platform'
import { createModelledLocks, type ModelledLocks } from './modelled-locks'
import { createRandom } from './random'
import { createTestClock, type TestClock } from './test-clock'

/**
 * `frozen`: by the browser, which says so before. Timers, fetch and lock callbacks wait, messages are still handled.
 * `stalled`: the same, and nobody says so. `hung`: nothing runs (a debugger, an endless loop). `gone`: closed or crashed.
 */
export type Life = 'running' | 'frozen' | 'stalled' | 'hung' | 'gone'

type Task = 'timer' | 'fetch' | 'lock' | 'message'

/** A page without a page: its own clock, its own `document` and `window`, its own end of every channel. */
export interface ModelledTab {
  readonly number: number
  readonly clock: Clock
  readonly platform: TabPlatform
  readonly life: Life
  readonly isHidden: boolean
  /** ms that its messages take. */
  lag: number
  /** Its timers run on the full minute only, as a hidden page's do. */
  isSlow: boolean
  /** How many of its next messages are lost; Infinity: it is silent. */
  losing: number
  /** Runs in the tab, a little later, when it next may. */
  post(task: Task, run: () => void): void
  /** Runs in the tab now, to the end of all that it leads to at once. */
  act<T>(run: () => T): Promise<T>
  pendingTimers(): string[]
  /** Shows or hides it. */
  hide(isHidden: boolean): Promise<void>
  freeze(): Promise<void>
  /** Into the back/forward cache. */
  navigateAway(): Promise<void>
  /** Without a word. */
  suspend(how: 'stalled' | 'hung'): void
  /** Back from wherever it is, but not from the dead. */
  wake(): Promise<void>
  close(): Promise<void>
  crash(): void
}

export interface World {
  readonly clock: TestClock
  readonly locks: ModelledLocks
  readonly tabs: readonly ModelledTab[]
  open(): ModelledTab
  /** Names of the channels that are open in tabs that are not gone. */
  channels(): string[]
  /** Sends on the channels whose name begins so, as any script of the origin may. */
  shout(prefix: string, data: unknown): void
  /** Called with each tab that is gone. */
  onGone(callback: (tab: ModelledTab) => void): void
  /** Gives the process its globals back. */
  close(): void
}

interface Page extends EventTarget {
  visibilityState: 'visible' | 'hidden'
}

interface OpenChannel extends TabChannel {
  readonly name: string
  readonly tab: ModelledTab
  isOpen: boolean
}

const MINUTE = 60_000
/** ms that a lock, a message or an event of the browser's takes. */
const HOP = 1

/**
 * Several tabs of one browser in one process, on one test clock. One task of one tab runs at a time, to the end of all
 * its promises: so `document` can be that of whoever runs.
 */
export function createWorld(seed = 1): World {
  const clock = createTestClock({ seed })
  const locks = createModelledLocks()
  const channels = new Set<OpenChannel>()
  const tabs: ModelledTab[] = []
  const goneCallbacks: ((tab: ModelledTab) => void)[] = []
  let current: { document: Page; window: EventTarget } | undefined

  const globals: Record<string, PropertyDescriptor> = {
    document: { get: () => current?.document },
    addEventListener: {
      get: () => (current ? EventTarget.prototype.addEventListener.bind(current.window) : undefined),
    },
  }
  for (const [name, descriptor] of Object.entries(globals))
    Object.defineProperty(globalThis, name, { ...descriptor, configurable: true })

  return {
    clock,
    locks,
    tabs,
    open() {
      const tab = createTab(tabs.length + 1)
      tabs.push(tab)
      return tab
    },
    channels: () => [...channels].map(({ name }) => name),
    shout(prefix, data) {
      for (const channel of [...channels]) if (channel.name.startsWith(prefix)) deliver(channel, data, HOP)
    },
    onGone: (callback) => void goneCallbacks.push(callback),
    close() {
      for (const name of Object.keys(globals)) delete (globalThis as Record<string, unknown>)[name]
    },
  }

  function deliver(channel: OpenChannel, data: unknown, ms: number): void {
    const copy = structuredClone(data)
    clock.after(
      ms,
      () => channel.tab.post('message', () => channel.isOpen && channel.onmessage?.({ data: copy })),
      'message',
    )
  }

  function createTab(number: number): ModelledTab {
    const document = Object.assign(new EventTarget(), { visibilityState: 'visible' }) as Page
    const window = new EventTarget()
    const random = createRandom(seed * 1_000 + number)
    const timers = new Map<object, string>()
    let life: Life = 'running'
    let backlog: { task: Task; run: () => void }[] = []
    let lastMessageAt = 0

    const tab: ModelledTab = {
      number,
      clock: {
        now: clock.now,
        random,
        after: (ms, run, label) => schedule(clock.after, ms, run, label),
        frame: (run, label) => schedule((_, fire) => clock.frame(fire, label), 0, run, label),
      },
      platform: { locks: locks.of(undefined as never), open: openChannel, load: () => parts },
      get life() {
        return life
      },
      get isHidden() {
        return document.visibilityState === 'hidden'
      },
      lag: 0,
      isSlow: false,
      losing: 0,
      post: (task, run) => void clock.after(HOP, () => enter(task, run), task),
      act,
      pendingTimers: () => [...timers.values()],
      hide: (isHidden) =>
        act(() => {
          document.visibilityState = isHidden ? 'hidden' : 'visible'
          document.dispatchEvent(new Event('visibilitychange'))
        }),
      async freeze() {
        if (life !== 'running') return
        await act(() => document.dispatchEvent(new Event('freeze')))
        life = 'frozen'
      },
      async navigateAway() {
        if (life !== 'running') return
        await act(() => {
          window.dispatchEvent(Object.assign(new Event('pagehide'), { persisted: true }))
          document.visibilityState = 'hidden'
          document.dispatchEvent(new Event('visibilitychange'))
          document.dispatchEvent(new Event('freeze'))
        })
        life = 'frozen'
      },
      suspend(how) {
        if (life === 'running') life = how
      },
      async wake() {
        if (life === 'gone' || life === 'running') return
        const wasFrozen = life === 'frozen'
        life = 'running'
        if (wasFrozen)
          await act(() => {
            document.visibilityState = 'visible'
            document.dispatchEvent(new Event('visibilitychange'))
            document.dispatchEvent(new Event('resume'))
            window.dispatchEvent(Object.assign(new Event('pageshow'), { persisted: true }))
          })
        const waiting = backlog
        backlog = []
        for (const { task, run } of waiting) clock.after(0, () => enter(task, run), task)
      },
      async close() {
        if (life === 'running')
          await act(() => window.dispatchEvent(Object.assign(new Event('pagehide'), { persisted: false })))
        vanish()
      },
      crash: vanish,
    }
    Object.assign(tab.platform, { locks: locks.of(tab) })
    return tab

    function enter(task: Task, run: () => void): void {
      if (life === 'gone') return
      if (life === 'running' || (life !== 'hung' && task === 'message')) {
        current = { document, window }
        run()
      } else backlog.push({ task, run })
    }

    async function act<T>(run: () => T): Promise<T> {
      current = { document, window }
      const result = run()
      await clock.advance(0)
      return result
    }

    function schedule(
      arm: (ms: number, run: () => void, label: string) => () => void,
      ms: number,
      run: () => void,
      label: string,
    ): () => void {
      const timer = {}
      timers.set(timer, label)
      // A timer that is cancelled while it waits for its frozen page never runs.
      const fire = () => enter('timer', () => timers.delete(timer) && run())
      const untilMinute = () => (tab.isSlow ? MINUTE - (clock.now() % MINUTE || MINUTE) : 0)
      let disarm = arm(
        ms,
        () => {
          const wait = untilMinute()
          if (wait > 0) disarm = clock.after(wait, fire, label)
          else fire()
        },
        label,
      )
      return () => {
        timers.delete(timer)
        disarm()
      }
    }

    function openChannel(name: string): TabChannel {
      const channel: OpenChannel = {
        name,
        tab,
        isOpen: true,
        onmessage: null,
        postMessage(data) {
          structuredClone(data)
          if (!channel.isOpen) throw new DOMException('The channel is closed.', 'InvalidStateError')
          lastMessageAt = Math.max(lastMessageAt, clock.now() + tab.lag)
          if (tab.losing > 0) {
            tab.losing--
            return
          }
          for (const other of channels)
            if (other.name === name && other !== channel) deliver(other, data, lastMessageAt - clock.now())
        },
        close() {
          channel.isOpen = false
          channels.delete(channel)
        },
      }
      channels.add(channel)
      return channel
    }

    function vanish(): void {
      if (life === 'gone') return
      life = 'gone'
      backlog = []
      timers.clear()
      for (const channel of channels) if (channel.tab === tab) channel.close()
      clock.after(20, () => locks.forget(tab), 'the browser cleans up')
      for (const callback of goneCallbacks) callback(tab)
    }
  }
}
