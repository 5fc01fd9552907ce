/** Options, checked at the door, become settings: defaults in one place. */
import type { ClientOptions, Flags, Thresholds } from './client-api'
import { defaultBreaker } from './network/breaker'
import { defaultLimits } from './network/limits'
import { defaultCache } from './network/response-cache'
import { defaultBackoff } from './primitives/backoff'
import { checkNumbers, optionsOf } from './primitives/check-numbers'
import { detectEnvironment, type Environment } from './primitives/environment'
import { configError } from './primitives/errors'
import { toHeaders } from './primitives/http'
import { isBrowser } from './primitives/platform'
import type { RegistrySettings } from './registry/registry-context'

export interface ClientSettings extends RegistrySettings {
  readonly environment: Environment
  readonly thresholds: Thresholds
  readonly flags: Required<Flags>
  readonly debug: boolean | 'verbose'
}

const INTERVALS: Record<Environment, number> = { development: 5_000, production: 10_000, docker: 8_000, test: 1_000 }
const flagsOn: Required<Flags> = {
  streaming: true,
  tabs: true,
  cache: true,
  breaker: true,
  guard: true,
  coordination: true,
}
const defaultThresholds: Thresholds = { errorRate: 0.05, memory: 50_000_000, lag: 500, alertEvery: 60_000 }

/** Options that a 0 switches off, or makes immediate. */
const MAY_BE_ZERO =
  'resetAfter failures window cooldown queue streams ttl entries bytes staleIfError errorRate memory lag alertEvery'

export function settingsOf(options: ClientOptions): ClientSettings {
  const environment = options.environment ?? detectEnvironment()
  if (!Object.hasOwn(INTERVALS, environment))
    throw configError('`environment` to be development, production, docker or test', String(environment))
  checkNumbers('', { interval: options.interval })
  if (typeof options.headers !== 'function') toHeaders(options.headers)

  const isTest = environment === 'test'
  const flags = optionsOf('flags.', flagsOn, options.flags)
  return {
    environment,
    baseUrl: options.baseUrl,
    credentials: options.credentials,
    fetch: options.fetch,
    headers: options.headers,
    onUnauthorized: options.onUnauthorized,
    identity: options.identity ?? null,
    interval: options.interval ?? INTERVALS[environment],
    shortestInterval: isTest ? 200 : 1_000,
    backoff: optionsOf('backoff.', defaultBackoff, options.backoff, MAY_BE_ZERO),
    breaker: optionsOf('breaker.', defaultBreaker, options.breaker, MAY_BE_ZERO),
    limits: optionsOf(
      'limits.',
      { ...defaultLimits, ...(isTest && { backgroundPerMinute: 600 }), ...(!isBrowser() && { streams: Infinity }) },
      options.limits,
      MAY_BE_ZERO,
    ),
    cache: optionsOf('cache.', defaultCache, options.cache, MAY_BE_ZERO),
    thresholds: optionsOf('thresholds.', defaultThresholds, options.thresholds, MAY_BE_ZERO),
    rollout: options.rollout,
    flags,
    streaming: flags.streaming,
    debug: options.debug ?? false,
  }
}

/** What decides which sources a client has: fixed with its first use. */
const FIXED = ['baseUrl', 'environment', 'identity', 'credentials', 'fetch', 'clock'] as const

/** Refuses what cannot change any more. */
export function checkRunTime(options: ClientOptions): void {
  const late = FIXED.find((name) => options[name] !== undefined)
  if (late)
    throw configError('options that can change at run time', `\`${late}\`: call \`configure\` before anything else`)
}
