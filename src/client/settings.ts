/** Options, checked at the door, become settings: defaults in one place. */

import { defaultBreaker } from '../network/breaker'
import { defaultLimits } from '../network/limits'
import { defaultCache } from '../network/response-cache'
import { defaultBackoff } from '../primitives/backoff'
import { check, withDefaults } from '../primitives/check'
import { detectEnvironment, type Environment } from '../primitives/environment'
import { configError } from '../primitives/errors'
import { toHeaders } from '../primitives/http'
import { clientGroups, clientOptions } from '../primitives/options'
import { isBrowser } from '../primitives/platform'
import { originOf } from '../primitives/url'
import type { RegistrySettings } from '../registry/registry-context'
import type { ClientOptions, Flags, Thresholds } from './api'
import type { ClientContext } from './context'

export interface ClientSettings extends RegistrySettings {
  readonly thresholds: Thresholds
  readonly flags: Record<keyof Flags, boolean>
  readonly debug: boolean | 'verbose'
}

const INTERVALS: Record<Environment, number> = { development: 5_000, production: 10_000, docker: 8_000, test: 1_000 }
const flagsOn: ClientSettings['flags'] = {
  streaming: true,
  tabs: true,
  cache: true,
  breaker: true,
  guard: true,
  coordination: true,
}
const defaultThresholds: Thresholds = { errorRate: 0.05, memory: 50_000_000, lag: 500, alertEvery: 60_000 }

/** @throws MillraceError `config` for an option that is not what it must be */
export function checkOptions(options: ClientOptions): void {
  check(clientOptions, options)
  for (const group of Object.keys(clientGroups) as (keyof typeof clientGroups)[])
    check(clientGroups[group], options[group], `${group}.`)
}

/** Of options that were checked. */
export function settingsOf(options: ClientOptions): ClientSettings {
  const { environment = detectEnvironment(), identity = null, debug = false, origins = [], headers } = options
  const { interval = INTERVALS[environment] } = options
  const isTest = environment === 'test'
  const flags = withDefaults(flagsOn, options.flags)
  return {
    ...(options as Required<ClientOptions>),
    environment,
    interval,
    identity,
    debug,
    origins: origins.map(toOrigin),
    // A copy: what is fixed may be part of a key, and another's answer would be found by it.
    headers: headers && typeof headers !== 'function' ? toHeaders(headers) : headers,
    shortestInterval: isTest ? 200 : 1_000,
    backoff: withDefaults(defaultBackoff, options.backoff),
    breaker: withDefaults(defaultBreaker, options.breaker),
    limits: withDefaults(
      { ...defaultLimits, ...(isTest && { backgroundPerMinute: 600 }), ...(!isBrowser() && { streams: Infinity }) },
      options.limits,
    ),
    cache: withDefaults(defaultCache, options.cache),
    thresholds: withDefaults(defaultThresholds, options.thresholds),
    flags,
    streaming: flags.streaming,
  }
}

function toOrigin(given: string | URL): string {
  const origin = originOf(given)
  if (origin === undefined) throw configError('`origins` to be absolute URLs', 'another')
  return origin
}

/** Changes options of a client; registered, so that another copy of the bundle finds it. */
export const reconfigure: unique symbol = Symbol.for('millrace.reconfigure') as never

export interface Configurable {
  [reconfigure](changes: ClientOptions): void
}

/** What decides which sources a client has: fixed with its first use. */
const FIXED = ['baseUrl', 'environment', 'identity', 'credentials', 'fetch', 'clock'] as const

/** @throws MillraceError `config` for what cannot change any more */
export function reconfiguration(context: ClientContext): Configurable {
  return {
    [reconfigure](changes) {
      const late = FIXED.find((name) => changes[name] !== undefined)
      if (late) throw configError('options that can change at run time', `\`${late}\`: call \`configure\` first`)
      checkOptions(changes)
      const { options, settings, registry, conditions } = context
      const { identity, environment } = settings
      const flags = { ...options.flags, ...changes.flags }
      Object.assign(settings, settingsOf({ ...options, ...changes, flags, identity, environment }))
      context.options = { ...options, ...changes, flags }
      registry?.reconsider()
      conditions?.refresh()
    },
  }
}
