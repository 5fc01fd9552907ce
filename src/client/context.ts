/**
 * What the parts of a client have in common, and the parts themselves once somebody has brought them: a page pays for the
 * functions that it imports, and all of them mean one client.
 */

import type { CoordinatedFetch } from '../network/coordinated-fetch'
import type { Gate } from '../network/gate'
import type { Sender } from '../network/sender'
import type { NetworkContext } from '../network/settings'
import { systemClock, trackTimers } from '../primitives/clock'
import { createEmitter, type Emitter } from '../primitives/emitter'
import type { MillraceError } from '../primitives/errors'
import type { Registry } from '../registry/registry'
import type { Conditions } from '../sources/conditions'
import type { Sources } from '../sources/sources'
import type { StreamSlots } from '../sources/stream-slots'
import type { TabControl } from '../sources/tabs/control'
import type { TabPlatform } from '../sources/tabs/platform'
import { createAlerts } from './alerts'
import type { ClientEvents, ClientOptions } from './api'
import { type ClientSettings, settingsOf } from './settings'

/** What asks. */
export interface Network {
  readonly gate: Gate
  readonly sender: Sender
  readonly requests: CoordinatedFetch
}

/** What subscribes. */
export interface Channels {
  readonly registry: Registry
  readonly sources: Sources
  readonly conditions: Conditions
  readonly slots: StreamSlots
  /** Once what tabs take is here. */
  tellTabs(tell: (others: TabControl) => void): void
  closeChannels(error: MillraceError): void
}

export interface ClientContext extends NetworkContext, Partial<Network>, Partial<Channels> {
  /** As they were given, one configuration over the other. */
  options: ClientOptions
  /** Changed in place: read at every use. */
  readonly settings: ClientSettings
  readonly emitter: Emitter<ClientEvents>
  /** ms since the epoch. */
  readonly since: number
  memory: number
  closed?: MillraceError
  /** Other tabs than the browser's, for tests. */
  readonly tabPlatform: TabPlatform | undefined
  /** A timer came so many ms late. */
  onTimer?: (lateBy: number) => void
}

export function createContext(options: ClientOptions, tabPlatform?: TabPlatform): ClientContext {
  const settings = settingsOf(options)
  const clock = trackTimers(options.clock ?? systemClock, (lateBy) => context.onTimer?.(lateBy))
  const emitter = createEmitter<ClientEvents>()
  const alert = createAlerts(clock, settings, emitter)
  const context: ClientContext = {
    options,
    settings,
    clock,
    counters: { asked: 0, sent: 0, shared: 0, cached: 0, failed: 0, refused: 0 },
    emitter,
    since: clock.now(),
    alert,
    // Other tabs are told, once there is something that knows of them.
    onRequest: (record) => emitter.emit('request', () => record),
    onKept: (answer) => context.tellTabs?.((others) => others.answered(answer)),
    onChanged: (url) => context.tellTabs?.((others) => others.changed(url)),
    onRefused: (endpoint, ms, who) => context.tellTabs?.((others) => others.refused(endpoint, ms, who)),
    account(bytes) {
      context.memory += bytes
      const value = context.memory
      const limit = settings.thresholds.memory
      if (bytes > 0 && value > limit)
        alert({
          code: 'memory',
          message: `Caches and queues hold ${value} bytes: lower \`cache.bytes\`.`,
          value,
          limit,
        })
    },
    memory: 0,
    tabPlatform,
  }
  return context
}

export function throwIfClosed({ closed }: ClientContext): void {
  if (closed) throw closed
}
