/** What tabs need of the platform: locks that elect, channels that relay. Narrow, so that a test can model both. */
import { attempt, isBrowser } from '../../primitives/platform'
import type * as parts from './parts'

/** The part of `navigator.locks` that is used. */
export interface TabLocks {
  request(
    name: string,
    options: { signal?: AbortSignal; steal?: boolean; ifAvailable?: boolean },
    callback: (lock: unknown) => unknown,
  ): Promise<unknown>
}

/** The part of a `BroadcastChannel` that is used. */
export interface TabChannel {
  onmessage: ((event: { readonly data: unknown }) => unknown) | null
  postMessage(message: unknown): void
  close(): void
}

export type TabParts = typeof parts

export interface TabPlatform {
  readonly locks: TabLocks
  /** The rest of what tabs take. */
  load(): TabParts | Promise<TabParts>
  /** Throws where it is refused. */
  open(name: string): TabChannel
}

/** Once for the page. */
let loaded: TabParts | Promise<TabParts> | undefined

/**
 * The browser's, in pages and workers. Undefined without Web Locks (an insecure context, an old browser) or
 * BroadcastChannel, and in Node, where an open channel would keep the process alive: each page serves itself there. So
 * does one that is refused them when it uses them (cookies are blocked, a sandboxed frame).
 */
export function browserTabs(): TabPlatform | undefined {
  const locks = attempt(() => (isBrowser() && typeof BroadcastChannel === 'function' ? navigator.locks : undefined))
  return (
    locks && {
      locks: locks as unknown as TabLocks,
      load,
      open: (name) => new BroadcastChannel(name) as unknown as TabChannel,
    }
  )
}

function load(): TabParts | Promise<TabParts> {
  loaded ??= import('./parts').then(
    (parts) => {
      loaded = parts
      return parts
    },
    (error) => {
      loaded = undefined
      throw error
    },
  )
  return loaded
}
