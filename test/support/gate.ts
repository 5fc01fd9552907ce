import { defaultBreaker } from '../../src/network/breaker'
import type { Endpoint } from '../../src/network/endpoint'
import { createGate } from '../../src/network/gate'
import { defaultLimits } from '../../src/network/limits'
import type { OwnRequest } from '../../src/network/request'
import { defaultCache } from '../../src/network/response-cache'
import type { NetworkContext, NetworkSettings, RequestRecord } from '../../src/network/settings'
import type { Alert } from '../../src/primitives/alerts'
import { defaultBackoff } from '../../src/primitives/backoff'
import { trackTimers } from '../../src/primitives/clock'
import { createTestClock, type TestClock } from './test-clock'

export const NOW = 1_000_000
export const GET = 'GET http://mill.test/a'

interface Options extends Partial<Omit<NetworkSettings, 'limits' | 'flags'>> {
  limits?: Partial<NetworkSettings['limits']>
  flags?: Partial<NetworkSettings['flags']>
}

/** What a policy is given, and what it tells. */
export function networkContext(clock: TestClock, { limits, flags, ...options }: Options = {}) {
  const tracked = trackTimers(clock, () => {})
  const alerts: Alert[] = []
  const records: RequestRecord[] = []
  const counters = { asked: 0, sent: 0, shared: 0, cached: 0, failed: 0, refused: 0 }
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
    fetch: undefined,
    ...options,
  }
  const context: NetworkContext = {
    clock: tracked,
    settings,
    counters,
    alert: (alert) => alerts.push(alert),
    onRequest: (record) => records.push(record),
    account: () => {},
    onKept() {},
    onChanged() {},
    onRefused() {},
  }
  return { context, tracked, alerts, records, counters, settings }
}

/** A gate before a server in memory, which answers when it is told to. */
export function openGate(options: Options = {}) {
  const clock = createTestClock({ now: NOW })
  const calls: { input: unknown; init: RequestInit; answer(status: number): void; fail(error: unknown): void }[] = []
  const { context, ...told } = networkContext(clock, {
    fetch: (input, init = {}) =>
      new Promise((resolve, reject) => {
        calls.push({ input, init, answer: (status) => resolve(new Response(null, { status })), fail: reject })
      }),
    ...options,
  })
  const gate = createGate(context)
  /** Sends, and tells of the outcome: the status, or the reason. */
  const send = (request: Partial<OwnRequest> = {}, init: RequestInit = {}) => {
    const sent: { outcome?: unknown } = {}
    gate
      .send({
        input: 'http://mill.test/a',
        init,
        headers: new Headers(),
        endpoint: GET,
        kind: 'foreground',
        label: 'Table',
        attempt: 0,
        signal: new AbortController().signal,
        ...request,
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
  return { ...told, gate, clock, calls, send, endpoint, exchange }
}
