/** What tabs tell each other beside their sources: who has left, and what is out of date. */
import { type PageSignal, watchPage } from '../../primitives/page-signals'
import { type TabChannel, type TabPlatform, tabName } from './platform'

export interface TabControlHooks {
  /** Whose data this tab has. */
  identity(): string | null
  /** That identity was left in another tab. */
  onLeft(): void
  onInvalidate(match: string | readonly unknown[]): void
}

export interface TabControl {
  /** Starts to listen, if it does not yet. */
  open(): void
  left(identity: string): void
  invalidate(match: string | readonly unknown[]): void
  close(): void
}

/** How many identities that were left are remembered for tabs that were frozen meanwhile. */
const MOST_LEFT = 20

export function createTabControl(tabs: TabPlatform, hooks: TabControlHooks): TabControl {
  let channel: TabChannel | undefined
  let stopPage: (() => void) | undefined
  const left = new Set<string>()

  return {
    open() {
      stopPage ??= watchPage(onPage)
      listen()
    },
    left(identity) {
      const name = nameOf(identity)
      left.add(name)
      if (left.size > MOST_LEFT) left.delete(left.values().next().value as string)
      post({ type: 'left', name })
    },
    invalidate: (match) => post({ type: 'invalidate', match }),
    close() {
      stopPage?.()
      stopPage = undefined
      hush()
    },
  }

  function listen(): void {
    if (channel) return
    channel = tabs.open(tabName('control', ''))
    channel.onmessage = ({ data }) => receive(data)
  }

  function hush(): void {
    channel?.close()
    channel = undefined
  }

  /** An open channel would evict a page from the back/forward cache; what it missed there it asks for. */
  function onPage(signal: PageSignal): void {
    if (signal === 'freeze') hush()
    if (signal !== 'resume') return
    listen()
    const identity = hooks.identity()
    if (identity !== null) post({ type: 'has-left', name: nameOf(identity) })
  }

  function post(message: object): void {
    try {
      channel?.postMessage(message)
    } catch {
      // A key that cannot be cloned means nothing in another tab either.
    }
  }

  function receive(data: unknown): void {
    const { type, name, match } = (data ?? {}) as { type?: unknown; name?: unknown; match?: unknown }
    const identity = hooks.identity()
    if (type === 'left' && identity !== null && name === nameOf(identity)) hooks.onLeft()
    else if (type === 'has-left' && left.has(name as string)) post({ type: 'left', name })
    else if (type === 'invalidate' && (typeof match === 'string' || Array.isArray(match))) hooks.onInvalidate(match)
  }
}

function nameOf(identity: string): string {
  return tabName('identity', identity)
}
