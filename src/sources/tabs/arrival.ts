/** What tabs take comes in a chunk of its own: who waits for it, and for how long. */
import type { Alert } from '../../primitives/alerts'
import type { Timers } from '../../primitives/clock'
import type { TabParts, TabPlatform } from './platform'

export interface Tabs {
  readonly platform: TabPlatform
  /** Undefined until they are here. */
  parts(): TabParts | undefined
  /** Whether they are worth waiting for: not here, and not late. */
  waits(): boolean
  /** Runs with them, now or later. */
  whenHere(run: (parts: TabParts) => void): void
  /** Called when they are here, or late. */
  onChange: () => void
}

/** How a source may come to be shared. */
export interface Sharing<Core, Share> {
  /** Undefined while what it takes is not here. */
  share(coreOf: () => Core): Share | undefined
  waits(): boolean
}

/** ms that a source waits. Then the page serves itself, and joins the others later. */
const LONGEST_WAIT = 2_000

export function createTabs(platform: TabPlatform, clock: Timers, alert: (told: Alert) => void): Tabs {
  let parts: TabParts | undefined
  let since: number | undefined
  let hasFailed = false
  let waiting: ((parts: TabParts) => void)[] = []
  let cancelTimer = () => {}
  const tabs: Tabs = {
    platform,
    parts: load,
    waits() {
      if (load() || hasFailed) return false
      const left = (since as number) + LONGEST_WAIT - clock.elapsed()
      cancelTimer()
      if (left > 0) cancelTimer = clock.after(left, () => tabs.onChange(), 'tabs', true)
      return left > 0
    },
    whenHere(run) {
      if (load()) run(parts as TabParts)
      else if (!hasFailed) waiting.push(run)
    },
    onChange() {},
  }
  return tabs

  function load(): TabParts | undefined {
    if (since !== undefined) return parts
    since = clock.elapsed()
    const loading = platform.load()
    if ('then' in loading) loading.then(arrive, fail)
    else parts = loading
    return parts
  }

  function arrive(loaded: TabParts): void {
    parts = loaded
    cancelTimer()
    for (const run of waiting) run(loaded)
    waiting = []
    tabs.onChange()
  }

  function fail(error: unknown): void {
    hasFailed = true
    waiting = []
    cancelTimer()
    alert({
      code: 'tab-protocol',
      message: `What tabs share by could not be loaded: ${error}`,
    })
    tabs.onChange()
  }
}
