import type { CoordinatedFetch } from '../network/coordinated-fetch'
import type { Gate } from '../network/gate'
import type { Sender } from '../network/sender'
import type { NetworkContext, NetworkSettings } from '../network/settings'
import type { Conditions } from './conditions'
import type { StreamSlots } from './stream-slots'

/** What sources may be told to do otherwise while they run: read at every use, never copied. */
export interface SourceSettings extends NetworkSettings {
  /** ms between polls, where a channel names none. */
  readonly interval: number
  /** ms: no poll comes sooner after another. */
  readonly shortestInterval: number
  /** Whether streams may be opened: the flag, and the rollout. */
  readonly streaming: boolean
  readonly flags: NetworkSettings['flags'] & { readonly tabs: boolean }
}

/** What every source is given. */
export interface SourceContext extends NetworkContext {
  readonly settings: SourceSettings
  readonly gate: Gate
  readonly sender: Sender
  readonly requests: CoordinatedFetch
  readonly conditions: Conditions
  readonly slots: StreamSlots
}
