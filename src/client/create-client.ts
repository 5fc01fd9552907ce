import type { TabPlatform } from '../sources/tabs/platform'
import type { Client, ClientOptions } from './api'
import { channels } from './channels'
import { createContext } from './context'
import { identity } from './identity'
import { invalidation } from './invalidate'
import { bring, carrying, type Parts } from './parts'
import { requests } from './requests'
import { checkOptions } from './settings'
import { statistics } from './stats'
import { onOff } from './switch'

/** All of a client; who comes later may rely on who comes before. */
export const everything: Parts = {
  fetch: requests,
  subscribe: channels,
  setIdentity: identity,
  disable: onOff,
  invalidate: invalidation,
  stats: statistics,
}

/**
 * A client of its own: its registry, gate, cache and clock are shared with nobody. A page usually wants the one that
 * {@link getClient} gives to everybody.
 *
 * @throws MillraceError `config` if an option is out of range
 *
 * @example
 * ```ts
 * import { createClient } from 'millrace'
 *
 * const client = createClient({ baseUrl: 'https://example.com', headers: () => ({ authorization: 'Bearer …' }) })
 * const users = await client.json<{ id: string }[]>('/api/users')
 * ```
 */
export function createClient(options: ClientOptions = {}): Client {
  return composeClient(options)
}

/** The same with other tabs than the browser's, for tests. */
export function composeClient(options: ClientOptions, tabs?: TabPlatform): Client {
  checkOptions(options)
  return bring(carrying(createContext(options, tabs)), everything) as Client
}
