/** What tabs tell each other beside their sources: who has left, what is out of date, and what was answered. */
import type { KeptAnswer } from '../../network/coordinated-fetch'
import type { Alert } from '../../primitives/alerts'
import { hashKey } from '../../primitives/hash-key'
import { type PageSignal, watchPage } from '../../primitives/page-signals'
import { attempt } from '../../primitives/platform'
import type { TabChannel, TabPlatform } from './platform'
import { isHeaderList, malformed, tabName } from './wire'

export interface TabControlHooks {
  /** Whose data this tab has. */
  identity(): string | null
  /** That identity was left in another tab. */
  onLeft(): void
  onInvalidate(match: string | readonly unknown[]): void
  onAnswer(answer: KeptAnswer): void
  /** What is cached for a URL is out of date; what is shown of it may stay. */
  onChanged(url: string): void
  /** Another tab asks an endpoint in a loop: nothing is asked of it for so many ms. */
  onRefused(endpoint: string, ms: number, who: string): void
  alert(told: Alert): void
}

export interface TabControl {
  /** Starts to listen, if it does not yet. */
  open(): void
  left(identity: string): void
  invalidate(match: string | readonly unknown[]): void
  /** What this tab was answered, and has cached. */
  answered(answer: KeptAnswer): void
  /** This tab has changed what is at that URL. */
  changed(url: string): void
  /** This tab refuses what is asked of an endpoint in a loop. */
  refused(endpoint: string, ms: number, who: string): void
  close(): void
}

/** How many identities that were left are remembered for tabs that were frozen meanwhile. */
const MOST_LEFT = 20

export function createTabControl(tabs: TabPlatform, hooks: TabControlHooks): TabControl {
  let channel: TabChannel | undefined
  let stopPage: (() => void) | undefined
  const left = new Set<string>()

  return {
    open,
    left(identity) {
      const name = nameOf(identity)
      left.add(name)
      if (left.size > MOST_LEFT) left.delete(left.values().next().value as string)
      post({ type: 'left', name })
    },
    invalidate: (match) => post({ type: 'invalidate', match }),
    changed: (url) => post({ type: 'changed', url }),
    refused: (endpoint, ms, who) => post({ type: 'refused', endpoint, ms, who }),
    answered: (answer) => post({ type: 'answer', answer }),
    close() {
      stopPage?.()
      stopPage = undefined
      hush()
    },
  }

  function open(): void {
    if (stopPage) return
    stopPage = watchPage(onPage)
    listen()
  }

  function listen(): void {
    if (channel) return
    channel = attempt(() => tabs.open(tabName('control', '')))
    if (!channel) return
    channel.onmessage = ({ data }) => {
      try {
        receive(data)
      } catch {
        hooks.alert(malformed)
      }
    }
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

  /** A tab in which nobody subscribes has something to say, too, and from then on to hear. */
  function post(message: object): void {
    open()
    try {
      channel?.postMessage(message)
    } catch {
      // A key that cannot be cloned means nothing in another tab either.
    }
  }

  function receive(data: unknown): void {
    const { type, name, match, answer, url, endpoint, ms, who } = (data ?? {}) as Record<string, unknown>
    const isList = Array.isArray(match)
    if (
      typeof data !== 'object' ||
      (type === 'invalidate' && typeof match !== 'string' && !isList) ||
      (type === 'answer' && !isAnswer(answer)) ||
      (type === 'refused' && !(isName(endpoint) && isName(who) && isAge(ms)))
    )
      throw new TypeError('No message')
    // Throws if it is none.
    if (isList) hashKey(match)
    const identity = hooks.identity()
    if (type === 'left' && identity !== null && name === nameOf(identity)) hooks.onLeft()
    else if (type === 'has-left' && left.has(name as string)) post({ type: 'left', name })
    else if (type === 'invalidate') hooks.onInvalidate(match as string | readonly unknown[])
    else if (type === 'changed' && typeof url === 'string') hooks.onChanged(url)
    else if (type === 'refused') hooks.onRefused(endpoint as string, ms as number, who as string)
    else if (type === 'answer') hooks.onAnswer(answer as KeptAnswer)
  }
}

function isAnswer(value: unknown): value is KeptAnswer {
  const { key, url, headers, bytes, age, sentAgo, toldAt } = (value ?? {}) as Partial<KeptAnswer>
  return (
    typeof key === 'string' &&
    typeof url === 'string' &&
    isHeaderList(headers) &&
    Number.isSafeInteger(bytes) &&
    (bytes as number) >= 0 &&
    isAge(age) &&
    Number.isFinite(sentAgo) &&
    Number.isFinite(toldAt)
  )
}

/** What an endpoint or a subscriber may be called by another tab. */
const isName = (value: unknown): value is string => typeof value === 'string' && value.length < 2_000
const isAge = (value: unknown): value is number => Number.isFinite(value) && (value as number) >= 0

function nameOf(identity: string): string {
  return tabName('identity', identity)
}
