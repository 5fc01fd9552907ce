import { defaultBreaker } from '../../src/network/breaker'
import type { Endpoint } from '../../src/network/endpoints'
import { createGate, type Passage } from '../../src/network/gate'
import { defaultLimits } from '../../src/network/limits'
import { defaultCache } from '../../src/network/response-cache'
import type { NetworkSettings, RequestRecord } from '../../src/network/settings'
import type { Alert } from '../../src/primitives/alerts'
import { defaultBackoff } from '../../src/primitives/backoff'
import { trackTimers } from '../../src/primitives/clock'
import { createTestClock } from './test-clock'

export const NOW = 1_000_000
export const GET = 'GET http://mill.test/a'

interface Options extends Partial<Omit<NetworkSettings, 'limits' | 'flags'>> {
  limits?: Partial<NetworkSettings['limits']>
  flags?: Partial<NetworkSettings['flags']>
}

/** A gate before a server in memory, which answers when it is told to. */
export function openGate({ limits, flags, ...options }: Options = {}) {
  const clock = createTestClock({ now: NOW })
  const tracked = trackTimers(clock, () => {})
  const alerts: Alert[] = []
  const records: RequestRecord[] = []
  const counters = { asked: 0, sent: 0, shared: 0, cached: 0, failed: 0, refused: 0 }
  const calls: { input: unknown; init: RequestInit; answer(status: number): void; fail(error: unknown): void }[] = []
  const settings: NetworkSettings = {
    baseUrl: undefined,
    origins: [],
    credentials: undefined,
    headers: undefined,
    onUnauthorized: undefined,
    identity: null,
    backoff: defaultBackoff,
    breaker: defaultBreaker,
    cache: defaultCache,
    thresholds: { errorRate: 1 },
    flags: { cache: true, breaker: true, guard: true, coordination: true, ...flags },
    limits: { ...defaultLimits, ...limits },
    fetch: (input, init = {}) =>
      new Promise((resolve, reject) => {
        calls.push({ input, init, answer: (status) => resolve(new Response(null, { status })), fail: reject })
      }),
    ...options,
  }
  const gate = createGate({
    clock: tracked,
    settings,
    counters,
    alert: (alert) => alerts.push(alert),
    onRequest: (record) => records.push(record),
    account: () => {},
    onKept() {},
    onChanged() {},
    onRefused() {},
  })
  /** Sends, and tells of the outcome: the status, or the reason. */
  const send = (passage: Partial<Passage> = {}, init: RequestInit = {}) => {
    const sent: { outcome?: unknown } = {}
    gate
      .send('http://mill.test/a', init, {
        endpoint: GET,
        kind: 'foreground',
        label: 'Table',
        priority: 'normal',
        timeout: 1_000,
        signal: new AbortController().signal,
        ...passage,
      })
      .then(
        ({ status }) => {
          sent.outcome = status
        },
        (reason) => {
          sent.outcome = reason
        },
      )
    return sent
  }
  const endpoint = (): Endpoint => [...gate.endpoints()][0]!
  /** Sends one after the other, each answered at once. */
  const exchange = async (...statuses: number[]) => {
    for (const status of statuses) {
      send()
      await clock.advance(0)
      calls.at(-1)!.answer(status)
      await clock.advance(0)
    }
  }
  return { gate, clock, tracked, alerts, records, counters, calls, settings, send, endpoint, exchange }
}
