/** What tabs need of the platform: locks that elect, channels that relay. Narrow, so that a test can model both. */
import type { Alert } from '../../primitives/alerts'
import { fingerprint } from '../../primitives/fingerprint'
import { attempt, isBrowser } from '../../primitives/platform'

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

export interface TabPlatform {
  readonly locks: TabLocks
  /** Throws where it is refused. */
  open(name: string): TabChannel
}

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
      open: (name) => new BroadcastChannel(name) as unknown as TabChannel,
    }
  )
}

/** How many other tabs are remembered: those that crash do not say so, and any script of the origin may claim to be some. */
export const MOST_TABS = 500

/** For messages that no tab of ours can have sent. */
export const malformed: Alert = {
  code: 'tab-protocol',
  message: 'A message between tabs could not be read: another script of this origin sends on our channels.',
}

/** Locks and channels of another major version of the protocol have other names: they neither talk nor break. */
const PROTOCOL = 2

/**
 * The name of a lock or channel. Names can be seen by every script of the origin, so what tells of a URL or a person is
 * hashed.
 */
export function tabName(kind: string, secret: string): string {
  return `millrace${PROTOCOL} ${kind} ${fingerprint(secret)}`
}
