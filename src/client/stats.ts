/** What a client knows about itself, put together when asked. */
import type { Endpoint } from '../network/endpoint'
import { figuresOf } from '../network/figures'
import type { Gate } from '../network/gate'
import { shown } from '../primitives/check'
import { configError } from '../primitives/errors'
import type { LiveChannel } from '../registry/channel'
import type { ChannelStats, Client, ClientEvents, EndpointStats, Stats } from './api'
import type { ClientContext } from './context'
import { isEnabled } from './switch'

const EVENTS: readonly (keyof ClientEvents)[] = [
  'alert',
  'status',
  'request',
  'subscribe',
  'unsubscribe',
  'event',
  'switch',
  'identity',
  'stats',
]
/** ms between two looks of whoever listens. */
const EVERY = 250
/** ms that health tells of a loop of reads. */
const LOOP_SHOWN = 60_000
/** Fewer requests than these have no rate of errors. */
const FEW = 20

export function statistics(context: ClientContext): Pick<Client, 'stats' | 'health' | 'on'> {
  const { clock, emitter } = context
  let stop: (() => void) | undefined
  const stats = () => statsOf(context)
  emitter.on('switch', () => tell(true))
  return {
    stats,
    health: () => healthOf(context),
    on(type, listener) {
      if (!EVENTS.includes(type)) throw configError(`one of ${EVENTS.join(', ')}`, shown(type))
      if (typeof listener !== 'function') throw configError(`a function for "${type}"`, shown(listener))
      const off = emitter.on(type, listener)
      if (!stop) tell(false)
      return () => {
        off()
        if (emitter.has('stats')) return
        stop?.()
        stop = undefined
      }
    },
  }

  /** Goes on while somebody listens: rates sink without an event, too. */
  function tell(now: boolean): void {
    if (now) emitter.emit('stats', stats)
    stop?.()
    const isWanted = emitter.has('stats') && isEnabled(context)
    stop = isWanted ? clock.after(EVERY, () => tell(true), 'stats', true) : undefined
  }
}

function statsOf(context: ClientContext): Stats {
  const { clock, counters, since, memory, gate, requests, registry, sources } = context
  const elapsed = clock.elapsed()
  const { asked, shared, cached } = counters
  return {
    ...noStats,
    since,
    enabled: isEnabled(context),
    requests: { ...counters, saved: asked === 0 ? 0 : (shared + cached) / asked },
    timers: clock.timers(),
    memory,
    ...(requests && { cache: requests.cache }),
    ...(gate && { endpoints: [...gate.endpoints()].map((endpoint) => endpointStats(gate, endpoint, elapsed)) }),
    ...(registry && {
      subscriptions: registry.totals,
      channels: [...registry.channels()].map((channel) => channelStats(channel, elapsed)),
    }),
    ...(sources && { tabs: sources.tabs }),
  }
}

function channelStats(channel: LiveChannel, elapsed: number): ChannelStats {
  const { key } = channel
  const { counts, rate } = channel.timeline
  const { role, status } = channel.state()
  const { endpoint, lastEventId, duplicates, reconnects } = channel.figures()
  return {
    key,
    status,
    source: endpoint,
    subscribers: [...channel.subscribers.all()].map(({ id, label, since }) => ({
      id,
      since,
      ...(label !== undefined && { label }),
    })),
    ...counts,
    duplicates: counts.duplicates + duplicates,
    perSecond: rate.at(elapsed),
    reconnects,
    ...(role && { role }),
    ...(lastEventId && { lastEventId }),
  }
}

function endpointStats(gate: Gate, endpoint: Endpoint, now: number): EndpointStats {
  const { name, inFlight, queue, breaker } = endpoint
  return {
    endpoint: name,
    ...figuresOf(endpoint, now),
    budget: gate.budgetOf(endpoint),
    inFlight,
    queued: queue.length,
    breaker: breaker.name,
  }
}

/** Unhealthy: something has failed for good or runs away. Degraded: something is served less well than it should be. */
function healthOf(context: ClientContext): ReturnType<Client['health']> {
  const { clock, settings, gate, registry } = context
  const now = clock.elapsed()
  const broken: string[] = []
  const poor: string[] = isEnabled(context) ? [] : ['disabled']
  for (const channel of registry?.channels() ?? []) {
    const { status, error, pausedBy } = channel.state()
    const name = `channel ${channel.key}`
    if (status === 'failed') broken.push(`${name}: ${error?.message ?? status}`)
    else if (status === 'reconnecting' || (status === 'polling' && error)) poor.push(`${name} is ${status}`)
    else if (pausedBy && pausedBy !== 'hidden') poor.push(`${name} is paused: ${pausedBy}`)
  }
  for (const endpoint of gate?.endpoints() ?? []) {
    const { name, refusal, breaker, loopedAt = Number.NEGATIVE_INFINITY, recent } = endpoint
    const rate = figuresOf(endpoint, now).errorRate
    if (now < refusal.until) broken.push(`${name}: too many requests, refused for now`)
    if (breaker.name !== 'closed') poor.push(`${name}: its breaker is ${breaker.name}`)
    if (now - loopedAt < LOOP_SHOWN) poor.push(`${name}: its cached answer is read in a loop`)
    if (recent.length >= FEW && rate > settings.thresholds.errorRate)
      poor.push(`${name}: ${Math.round(rate * 100)} % of its requests fail`)
  }
  const status = broken.length > 0 ? 'unhealthy' : poor.length > 0 ? 'degraded' : 'healthy'
  return { status, reasons: [...broken, ...poor] }
}

/** Those of a client to whom nothing has happened: what a server renders, and a page hydrates. */
export const noStats: Stats = {
  since: 0,
  enabled: true,
  subscriptions: { active: 0, total: 0, rejected: 0, averageLifetime: 0 },
  channels: [],
  requests: { asked: 0, sent: 0, shared: 0, cached: 0, failed: 0, refused: 0, saved: 0 },
  endpoints: [],
  cache: { entries: 0, bytes: 0 },
  timers: [],
  tabs: { shared: false, leading: 0, following: 0 },
  memory: 0,
}
