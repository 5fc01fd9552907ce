/** What a client knows about itself, put together when asked. */
import type { ChannelStats, Client, EndpointStats, Stats } from './client-api'
import type { Endpoint } from './network/endpoint'
import { figuresOf } from './network/figures'
import type { Gate } from './network/gate'
import type { LiveChannel } from './registry/channel'

export function channelStats(channel: LiveChannel, elapsed: number): ChannelStats {
  const { role, status } = channel.state()
  const { counts, rate } = channel.timeline
  const { endpoint, lastEventId, duplicates, reconnects } = channel.figures()
  return {
    key: channel.key,
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

export function endpointStats(gate: Gate, endpoint: Endpoint, now: number): EndpointStats {
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

/** ms that health tells of a loop of reads. */
const LOOP_SHOWN = 60_000

/** Unhealthy: something has failed for good or runs away. Degraded: something is served less well than it should be. */
export function healthOf(
  channels: Iterable<LiveChannel>,
  endpoints: Iterable<Endpoint>,
  enabled: boolean,
  errorRate: number,
  now: number,
): ReturnType<Client['health']> {
  const broken: string[] = []
  const poor: string[] = enabled ? [] : ['disabled']
  for (const channel of channels) {
    const { key } = channel
    const { status, error, pausedBy } = channel.state()
    if (status === 'failed') broken.push(`channel ${key}: ${error?.message ?? 'failed'}`)
    else if (status === 'reconnecting' || (status === 'polling' && error)) poor.push(`channel ${key} is ${status}`)
    else if (pausedBy && pausedBy !== 'hidden') poor.push(`channel ${key} is paused: ${pausedBy}`)
  }
  for (const endpoint of endpoints) {
    if (now < endpoint.refusal.until) broken.push(`${endpoint.name}: too many requests, refused for now`)
    if (endpoint.breaker.name !== 'closed') poor.push(`${endpoint.name}: its breaker is ${endpoint.breaker.name}`)
    if (endpoint.loopedAt !== undefined && now - endpoint.loopedAt < LOOP_SHOWN)
      poor.push(`${endpoint.name}: its cached answer is read in a loop`)
    const rate = figuresOf(endpoint, now).errorRate
    if (endpoint.recent.length >= 20 && rate > errorRate)
      poor.push(`${endpoint.name}: ${Math.round(rate * 100)} % of its requests fail`)
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
