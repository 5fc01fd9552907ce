import type { Environment } from '../primitives/environment'
import type { SourceContext, SourceSettings } from '../sources/source-context'
import type { Sources } from '../sources/sources'
import type { Report } from './callbacks'
import type { ChannelState } from './channel-state'
import type { StreamEvent } from './define-channel'

/** A rollout by percent: who is outside polls instead of streaming. */
export interface Rollout {
  /** 0..100 */
  percent: number
  /** Who this is; the same id is always on the same side. */
  id: string
  /** These ids and nobody else, for a canary. */
  only?: readonly string[] | undefined
}

export interface RegistrySettings extends SourceSettings {
  readonly environment: Environment
  readonly rollout: Rollout | undefined
}

/** What every channel is given. */
export interface RegistryContext extends SourceContext {
  readonly settings: RegistrySettings
  readonly sources: Sources
  readonly report: Report
  onStatus(key: string, state: ChannelState<unknown>): void
  onEvent(key: string, event: StreamEvent): void
}
