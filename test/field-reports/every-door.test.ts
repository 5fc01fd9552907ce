/**
 * A number that comes by another door than `createClient` is checked too: an interval of NaN was 180 requests a second,
 * past the budget and the guard. Every option of every door is given what it is not: it is refused with its name, or has
 * the meaning that is documented, and never asks a server more often than the default would.
 */
import { createClient, defineChannel, isMillraceError, type MillraceError, ReconnectingEventSource } from 'millrace'
import ts from 'typescript'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { closeClients, startClient } from '../behaviour/channels/watch'
import { closeServers, startServer } from '../support/http-server'
import { createTestClock } from '../support/test-clock'

afterEach(closeClients)
afterEach(closeServers)

const WRONG: readonly unknown[] = [Number.NaN, -1, 0, Infinity, '5000', null, undefined, 'intervall', {}, () => 7, true]

/** The options of each door, as the types name them: a new option without a rule fails below. */
const DOORS = {
  'client/api.ts': ['ClientOptions', 'Flags', 'Thresholds'],
  'network/limits.ts': ['Limits', 'BreakerOptions'],
  'network/response-cache.ts': ['CacheOptions'],
  'network/coordinated-fetch.ts': ['Coordination'],
  'primitives/backoff.ts': ['BackoffOptions'],
  'registry/define-channel.ts': ['CommonOptions'],
  'registry/event-iterator.ts': ['EventsOptions'],
  'registry/subscriber.ts': ['SubscribeOptions', 'Observer'],
  'registry/registry-context.ts': ['Rollout'],
  'sources/target.ts': ['TargetRequest'],
  'reconnecting-event-source.ts': ['ReconnectingEventSourceInit'],
} as const

/** Looked at by somebody else than the table: they are no numbers, words or functions alone. */
const ELSEWHERE =
  /^(key|url|baseUrl|backoff|breaker|limits|cache|thresholds|rollout|flags|withCredentials|events|stream|snapshot|initial)$/

function optionsOf(file: string, name: string): string[] {
  const text = ts.sys.readFile(new URL(`../../src/${file}`, import.meta.url).pathname) as string
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true)
  const found: string[] = []
  source.forEachChild((node) => {
    if (ts.isInterfaceDeclaration(node) && node.name.text === name)
      for (const member of node.members) if (member.name) found.push(member.name.getText())
  })
  return found
}

function outcome(run: () => unknown): MillraceError | undefined {
  try {
    run()
    return undefined
  } catch (error) {
    if (!isMillraceError(error)) throw error
    return error
  }
}

const doors: Record<string, (options: object) => unknown> = {
  ClientOptions: (options) => createClient(options).close(),
  Flags: (flags) => createClient({ flags }).close(),
  Thresholds: (thresholds) => createClient({ thresholds }).close(),
  BreakerOptions: (breaker) => createClient({ breaker }).close(),
  Limits: (limits) => createClient({ limits }).close(),
  CacheOptions: (cache) => createClient({ cache }).close(),
  BackoffOptions: (backoff) => createClient({ backoff }).close(),
  Rollout: (rollout) => createClient({ rollout: { percent: 1, id: 'a', ...rollout } }).close(),
  CommonOptions: (options) => defineChannel({ stream: '/s', key: 'k', ...options }),
  TargetRequest: (request) => defineChannel({ key: 'k', stream: { url: '/s', ...request } }),
  SubscribeOptions: (options) => quiet((client, channel) => client.subscribe(channel, {}, options)),
  Observer: (observer) => quiet((client, channel) => client.subscribe(channel, observer)),
  EventsOptions: (options) => quiet((client, channel) => client.events(channel, options)),
  ReconnectingEventSourceInit: (init) => new ReconnectingEventSource('http://127.0.0.1:1/', init).close(),
}

function quiet(run: (client: ReturnType<typeof createClient>, channel: ReturnType<typeof silent>) => unknown): void {
  const client = createClient({ fetch: () => new Promise(() => {}) })
  try {
    run(client, silent())
  } finally {
    client.close()
  }
}

const silent = () => defineChannel<unknown>({ key: 'silent', snapshot: 'http://127.0.0.1:1/' })

describe('every option of every door', () => {
  for (const [file, interfaces] of Object.entries(DOORS))
    for (const door of interfaces)
      test(`${door}: is refused with its name, or means what it says`, async () => {
        const names = optionsOf(file, door).filter((name) => !ELSEWHERE.test(name))
        expect(names.length).toBeGreaterThan(0)
        for (const name of names) {
          const refused: unknown[] = []
          for (const wrong of WRONG) {
            const error = await refusalAt(door, { [name]: wrong })
            if (wrong === undefined) expect(error, `${name}: undefined is not given`).toBeUndefined()
            if (!error) continue
            refused.push(wrong)
            expect(error).toMatchObject({ code: 'config', message: expect.stringContaining(name) })
          }
          expect(refused.length, `${door}.${name} has no rule`).toBeGreaterThan(0)
          expect(refused.includes(Number.NaN), `${door}.${name} takes NaN`).toBe(true)
        }
      })
})

describe('what every method is given', () => {
  const any = (value: unknown) => value as never
  test.each<[what: string, call: (client: ReturnType<typeof createClient>) => unknown]>([
    ['refresh', (client) => client.refresh(any(null))],
    ['getState', (client) => client.getState(any(null))],
    ['store', (client) => client.store(any(null)).getSnapshot()],
    ['subscribe', (client) => client.subscribe(any(null), {})],
    ['events', (client) => client.events(any(null))],
    ['on, its name', (client) => client.on(any('allerts'), () => {})],
    ['on, its function', (client) => client.on('alert', any(7))],
    ['use', (client) => client.use(any(7))],
    ['invalidate', (client) => client.invalidate(any(7))],
    ['setIdentity', (client) => client.setIdentity(any(7))],
    ['json, its URL', (client) => client.json(any(7))],
    ['json without a URL', (client) => client.json(any(null))],
    ['fetch, its URL', (client) => client.fetch(any(7))],
    ['fetch, its init', (client) => client.fetch('http://mill.test/', any(7))],
  ])('is refused if it cannot be meant: %s', async (_, call) => {
    let asked = 0
    const client = createClient({
      async fetch() {
        asked += 1
        return Response.json({})
      },
    })
    const error = await (async () => call(client))().catch((thrown: unknown) => thrown)
    client.close()
    expect(error).toMatchObject({ code: 'config', message: expect.stringMatching(/^Expected .*, got .*\.$/) })
    expect(asked).toBe(0)
  })
})

async function refusalAt(door: string, options: object): Promise<MillraceError | undefined> {
  if (door !== 'Coordination') return outcome(() => doors[door]!(options))
  const client = createClient({ fetch: async () => Response.json({}) })
  const asked = await Promise.allSettled([
    client.json('http://mill.test/', {}, options),
    client.fetch('http://mill.test/', {}, options),
  ])
  client.close()
  const errors = asked.map((each) => (each.status === 'rejected' ? (each.reason as MillraceError) : undefined))
  expect(errors[0]?.message).toBe(errors[1]?.message)
  return errors[0]
}

describe('an interval', () => {
  test.each([
    ['of a channel', (url: string, interval: never) => [{ key: 'k', snapshot: url, interval }, {}, {}] as const],
    ['of a subscriber', (url: string, interval: never) => [{ key: 'k', snapshot: url }, { interval }, {}] as const],
    ['of a client', (url: string, interval: never) => [{ key: 'k', snapshot: url }, {}, { interval }] as const],
  ])('%s never asks more often than the default would', async (_, describeBy) => {
    for (const interval of WRONG) {
      const server = await startServer((_request, response) => response.end('{}'))
      const clock = createTestClock()
      const [channel, how, options] = describeBy(server.url('/'), interval as never)
      const refusal = outcome(() => {
        const { client } = startClient({ clock, environment: 'production', ...options })
        client.subscribe(defineChannel<unknown>(channel), {}, how)
      })
      if (refusal) expect(refusal.message).toContain('`interval: ')
      for (let second = 0; second < 12; second++) {
        await clock.advance(1_000)
        await new Promise((done) => setImmediate(done))
      }
      // At once, and again after the 10 s that are the default.
      expect(server.requests.length, String(interval)).toBeLessThanOrEqual(2)
    }
  })
})

test('a configuration that comes later is checked as the first one', async () => {
  vi.resetModules()
  const { configure, getClient } = await import('millrace')
  getClient()
  expect(outcome(() => configure({ limits: { fetchesPer10s: Number.NaN } }))).toMatchObject({
    code: 'config',
    message: 'Expected `limits.fetchesPer10s: number > 0`, got NaN.',
  })
  getClient().close()
})

test('what came is shown, unless it may be a secret', () => {
  const message = (options: object) => outcome(() => createClient(options))?.message
  expect(message({ interval: '5000' })).toBe('Expected `interval: number >= 0`, got "5000".')
  expect(message({ environment: 'staging' })).toBe(
    'Expected `environment: "development" | "production" | "docker" | "test"`, got "staging".',
  )
  expect(message({ headers: 'Bearer ruby' })).toBe('Expected `headers: object | function`, got a string.')
})
