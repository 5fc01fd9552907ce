import { type ClientOptions, createClient, defineChannel, type MillraceError, type StreamEvent } from 'millrace'
import { afterEach, describe, expect, test } from 'vitest'
import { closeServers } from '../../support/http-server'
import { startJournal } from '../../support/journal-server'
import { until } from '../../support/until'
import { block, closeClients, held, json, startClient, startFeed, startStill, status, watch } from './watch'

afterEach(closeClients)
afterEach(closeServers)

const thrown = (run: () => unknown): MillraceError => {
  try {
    run()
  } catch (error) {
    return error as MillraceError
  }
  throw new Error('nothing was thrown')
}
const config = (message: string | RegExp) =>
  expect.objectContaining({
    name: 'MillraceError',
    code: 'config',
    retryable: false,
    message: typeof message === 'string' ? message : expect.stringMatching(message),
  })

describe('grace and keep', () => {
  test('a source outlives its last subscriber by its grace, to the millisecond', async () => {
    const feed = await startFeed()
    const { client, clock } = startStill()
    const channel = defineChannel({ key: 'g', stream: feed.streamUrl })
    const watched = watch(client, channel)
    await until(() => watched.state.status === 'live')
    watched.unsubscribe()
    expect(client.stats().timers.map(({ label }) => label)).toContain('grace g')
    await clock.advance(999)
    expect(feed.open).toBe(1)
    expect(client.getState(channel).status).toBe('live')
    await clock.advance(1)
    expect(client.getState(channel).status).toBe('idle')
    await until(() => feed.open === 0)
  })

  test('with a grace of 0 it is closed on the next turn, and a remount in the same one still reuses it', async () => {
    const feed = await startFeed()
    const { client, clock } = startStill()
    const channel = defineChannel({ key: 'g', stream: feed.streamUrl, grace: 0 })
    const first = watch(client, channel)
    await until(() => first.state.status === 'live')
    first.unsubscribe()
    const second = watch(client, channel)
    await clock.advance(1)
    expect(feed.open).toBe(1)
    second.unsubscribe()
    await clock.advance(0)
    await until(() => feed.open === 0)
    expect(feed.streamRequests).toHaveLength(1)
  })

  test('the last state is kept, shown at once as stale, and forgotten after `keep`', async () => {
    const feed = await startFeed()
    const { client, clock } = startStill()
    const channel = defineChannel({ key: 'k', stream: feed.streamUrl, keep: 60_000 })
    const first = watch(client, channel)
    await until(() => feed.open === 1)
    feed.write(block({ n: 1 }))
    await until(() => first.events.length === 1)
    const { updatedAt } = first.state
    first.unsubscribe()
    await clock.advance(1_000)
    expect(client.stats()).toMatchObject({ channels: [], timers: [{ label: 'keep' }] })
    expect(client.getState(channel)).toEqual(
      expect.objectContaining({ status: 'idle', data: { n: 1 }, updatedAt, isStale: true }),
    )

    const second = watch(client, channel)
    expect(second.state).toMatchObject({ status: 'connecting', data: { n: 1 }, updatedAt, isStale: true })
    await until(() => feed.open === 1)
    feed.write(block({ n: 2 }))
    await until(() => second.events.length === 1)
    expect(second.state).toMatchObject({ status: 'live', data: { n: 2 }, isStale: false })
    second.unsubscribe()
    await clock.advance(1_000 + 60_000)
    expect(client.getState(channel)).toMatchObject({ status: 'idle', data: undefined, isStale: false })
    expect(client.stats()).toMatchObject({ timers: [], memory: 0 })
  })

  test('nothing is kept with `keep: 0`', async () => {
    const feed = await startFeed()
    const { client, clock } = startStill()
    const channel = defineChannel({ key: 'k', stream: feed.streamUrl, keep: 0 })
    const watched = watch(client, channel)
    await until(() => feed.open === 1)
    feed.write(block({ n: 1 }))
    await until(() => watched.events.length === 1)
    watched.unsubscribe()
    await clock.advance(1_000)
    expect(client.getState(channel).data).toBeUndefined()
  })

  test('what is kept is bounded: the oldest of over 500 states go', async () => {
    const { client } = startClient({ limits: { fetchesPer10s: Infinity, concurrency: 600, queue: 1_000 } })
    const feed = await startFeed(json({ n: 1 }))
    const channelOf = (n: number) => defineChannel({ key: ['kept', n], snapshot: `${feed.snapshotUrl}?n=${n}` })
    await Promise.all(Array.from({ length: 505 }, (_, n) => client.refresh(channelOf(n))))
    const known = Array.from({ length: 505 }, (_, n) => client.getState(channelOf(n)).data !== undefined)
    expect(known.filter(Boolean)).toHaveLength(500)
    expect(client.stats().channels).toEqual([])
  })

  test('a stream that was live is stale while it is not', async () => {
    const feed = await startFeed()
    const { client } = startStill()
    const watched = watch(client, feed.streamUrl)
    await until(() => feed.open === 1)
    feed.write(block({ n: 1 }))
    await until(() => watched.events.length === 1)
    expect(watched.state.isStale).toBe(false)
    feed.drop()
    await until(() => watched.state.status === 'reconnecting')
    expect(watched.state).toMatchObject({ data: { n: 1 }, isStale: true, attempt: 1, error: { code: 'network' } })
  })
})

describe('the state', () => {
  test('is frozen, and the same object until something changes', async () => {
    const feed = await startFeed()
    const { client } = startClient()
    const channel = defineChannel({ key: 's', stream: feed.streamUrl })
    expect(client.getState(channel)).toBe(client.getState(channel))
    const watched = watch(client, channel)
    await until(() => watched.state.status === 'live')
    const { state } = watched
    expect(Object.isFrozen(state)).toBe(true)
    expect(() => {
      ;(state as { status: string }).status = 'failed'
    }).toThrow(TypeError)
    expect(client.getState(channel)).toBe(state)
    expect(watch(client, channel).state).toBe(state)
    feed.write(':\n\n')
    await client.refresh(channel)
    expect(watched.state).toBe(state)
    expect(new Set(watched.states).size).toBe(watched.states.length)
  })

  test('of a store is one reference between two changes, and changes are told at most once a frame', async () => {
    const feed = await startFeed()
    const { client, clock } = startStill()
    const channel = defineChannel({ key: 's', stream: feed.streamUrl })
    const store = client.store(channel)
    const server = store.getServerSnapshot()
    expect(store.getServerSnapshot()).toBe(server)
    expect(store.getSnapshot()).toBe(store.getSnapshot())
    let changes = 0
    const leave = store.subscribe(() => {
      changes += 1
    })
    await until(() => store.getSnapshot().status === 'live')
    await clock.advance(16)
    const before = changes
    feed.write(block(1) + block(2) + block(3))
    await until(() => store.getSnapshot().data === 3)
    expect(store.getSnapshot()).toBe(store.getSnapshot())
    expect(changes).toBe(before)
    await clock.advance(16)
    expect(changes).toBe(before + 1)
    expect(store.getServerSnapshot()).toBe(server)
    expect(server).toMatchObject({ status: 'idle', data: undefined })
    leave()
    leave()
    expect(client.stats().subscriptions.active).toBe(0)
  })

  test('of a channel with `initial` begins with it, on a server too', () => {
    const { client } = startClient()
    const channel = defineChannel<string[], StreamEvent>({ key: 's', stream: 'http://127.0.0.1/', initial: ['i'] })
    const expected = { status: 'idle', data: ['i'], updatedAt: undefined, isStale: false, attempt: 0 }
    expect(client.getState(channel)).toMatchObject(expected)
    expect(client.store(channel).getServerSnapshot()).toMatchObject(expected)
  })
})

describe('who may subscribe', () => {
  test('an exclusive subscriber is refused where there is one, and keeps others out; the refusal is counted and told', async () => {
    const feed = await startFeed()
    const { client, alerts } = startClient()
    const channel = defineChannel({ key: 'x', stream: feed.streamUrl })
    const first = watch(client, channel, { exclusive: true })
    const refusal = thrown(() => watch(client, channel, { label: 'second' }))
    expect(refusal).toMatchObject({ code: 'rejected', message: expect.stringContaining('"second"') })
    expect(client.stats().subscriptions).toMatchObject({ active: 1, total: 1, rejected: 1 })
    expect(alerts).toEqual([expect.objectContaining({ code: 'rejected', channel: 'x', subscriber: 'second' })])
    first.unsubscribe()
    watch(client, channel)
    expect(thrown(() => watch(client, channel, { exclusive: true }))).toMatchObject({ code: 'rejected' })
    watch(client, channel)
    expect(client.stats().subscriptions).toMatchObject({ active: 2, rejected: 2 })
  })

  test('`enabled: false` opens nothing and tells nothing, and can be unsubscribed all the same', async () => {
    const feed = await startFeed()
    const { client } = startClient()
    const watched = watch(client, feed.streamUrl, { enabled: false })
    await new Promise((resolve) => setImmediate(resolve))
    expect(watched).toMatchObject({ states: [], state: { status: 'idle' } })
    expect(client.stats()).toMatchObject({ channels: [], subscriptions: { active: 0 } })
    watched.unsubscribe()
    expect(feed.streamRequests).toEqual([])
  })

  test('a signal unsubscribes when it aborts, and one that has aborted opens nothing', async () => {
    const feed = await startFeed()
    const { client } = startClient()
    const controller = new AbortController()
    const channel = defineChannel({ key: 'a', stream: feed.streamUrl, grace: 10 })
    const watched = watch(client, channel, { signal: controller.signal })
    await until(() => watched.state.status === 'live')
    const told = watched.states.length
    controller.abort()
    expect(client.stats().subscriptions.active).toBe(0)
    await until(() => feed.open === 0)
    expect(watched.states).toHaveLength(told)
    watch(client, channel, { signal: controller.signal })
    expect(client.stats().channels).toEqual([])
  })

  test('one key with two targets is refused, and the first goes on', async () => {
    const feed = await startFeed()
    const { client } = startClient()
    const watched = watch(client, defineChannel({ key: 'one', stream: feed.streamUrl }))
    const others = [
      { stream: `${feed.streamUrl}?other` },
      { stream: feed.streamUrl, snapshot: feed.snapshotUrl },
      { stream: { url: feed.streamUrl, method: 'POST' } },
    ]
    for (const other of others)
      expect(thrown(() => watch(client, defineChannel({ key: 'one', ...other })))).toEqual(
        config('Expected one target for the channel key one, got two different ones: give each its own key.'),
      )
    await until(() => watched.state.status === 'live')
    expect(client.stats().subscriptions).toMatchObject({ active: 1 })
  })

  test('a URL is a channel with itself as the key', async () => {
    const journal = await startJournal()
    const { client } = startClient()
    const byString = client.subscribe(journal.streamUrl, () => {})
    const byUrl = client.subscribe(new URL(journal.streamUrl), () => {})
    expect([byString.key, byUrl.key]).toEqual([journal.streamUrl, journal.streamUrl])
    expect(byString.id).not.toBe(byUrl.id)
    await until(() => journal.open === 1)
    expect(client.stats().channels).toHaveLength(1)
  })

  test('nobody, once the client is closed', () => {
    const { client } = startClient()
    client.close()
    client.close()
    expect(thrown(() => client.subscribe('http://127.0.0.1/', () => {}))).toMatchObject({ code: 'closed' })
    expect(client.stats()).toMatchObject({ channels: [], timers: [] })
  })
})

describe('options out of range are refused at the door, with what was expected and what came', () => {
  test.each<[string, ClientOptions, string | RegExp]>([
    ['an interval below zero', { interval: -1 }, /^Expected `interval: .*`, got -1\.$/],
    ['a backoff that is a loop', { backoff: { base: 0 } }, /^Expected `backoff\.base: number > 0`, got 0\.$/],
    ['NaN', { backoff: { cap: Number.NaN } }, /^Expected `backoff\.cap: .*`, got NaN\.$/],
    ['text', { limits: { streams: '4' as never } }, /^Expected `limits\.streams: number .*`, got "4"\.$/],
    ['less than nothing', { cache: { ttl: -5 } }, /^Expected `cache\.ttl: number >= 0`, got -5\.$/],
    [
      'an environment that there is not',
      { environment: 'staging' as never },
      'Expected `environment: "development" | "production" | "docker" | "test"`, got "staging".',
    ],
  ])('%s', (_, options, message) => {
    expect(thrown(() => createClient(options))).toEqual(config(message))
  })

  test.each<[string, object, string | RegExp]>([
    ['no key', { stream: '/s' }, 'Expected a `key` that names the channel, got none.'],
    ['neither stream nor snapshot', { key: 'k' }, 'Expected a `stream`, a `snapshot`, or both, got neither.'],
    ['a grace below zero', { key: 'k', stream: '/s', grace: -1 }, /^Expected `grace: number >= 0`, got -1\.$/],
    ['an interval that is none', { key: 'k', stream: '/s', interval: 'soon' }, /`interval: .*`, got "soon"\.$/],
    ['an idle timeout of NaN', { key: 'k', stream: '/s', idleTimeout: Number.NaN }, /`idleTimeout: .*`, got NaN\.$/],
    [
      'a key of functions',
      { key: [() => 1], stream: '/s' },
      /^Expected a channel key of plain data, got a function\.$/,
    ],
    ['a key of instances', { key: [new Map()], stream: '/s' }, /, got an instance of Map\.$/],
  ])('of a channel: %s', (_, options, message) => {
    expect(thrown(() => defineChannel(options as never))).toEqual(config(message))
  })

  test('a key that contains itself is refused, not followed for ever', () => {
    const key: unknown[] = []
    key.push(key)
    expect(thrown(() => defineChannel({ key, stream: '/s' }))).toEqual(config(/too large or too deep\.$/))
  })

  test('of a subscription: no observer, no channel, no base for a relative URL', () => {
    const { client } = startClient()
    expect(thrown(() => client.subscribe('http://127.0.0.1/', undefined as never))).toEqual(
      config('Expected an observer, or a function, got undefined.'),
    )
    expect(thrown(() => client.subscribe({} as never, () => {}))).toEqual(
      config(/^Expected a channel made by `defineChannel`/),
    )
    expect(thrown(() => client.subscribe('/relative', () => {}))).toEqual(
      config(/^Expected an absolute URL, or `baseUrl`/),
    )
    expect(client.stats().subscriptions.active).toBe(0)
    expect(client.stats().channels).toEqual([])
  })

  test('a description is frozen', () => {
    const options = { key: 'k', stream: 'http://127.0.0.1/a' }
    const channel = defineChannel(options)
    expect(Object.isFrozen(channel)).toBe(true)
  })
})

describe('401', () => {
  test('asks `onUnauthorized` once for all that wait for it, and tries once more with new headers', async () => {
    let token = 'old'
    const feed = await startFeed()
    const good = (request: { headers: { authorization?: string | undefined } }) =>
      request.headers.authorization === 'new'
    feed.stream((request, response) => {
      if (good(request)) response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
      else response.writeHead(401).end()
    })
    const asked: MillraceError[] = []
    let letGo = () => {}
    const { client } = startClient({
      headers: () => ({ authorization: token }),
      onUnauthorized: async (error) => {
        asked.push(error)
        await new Promise<void>((resolve) => {
          letGo = resolve
        })
        token = 'new'
        return true
      },
    })
    const watched = [1, 2, 3].map((n) => watch(client, `${feed.streamUrl}?n=${n}`))
    await until(() => feed.streamRequests.length === 3 && asked.length > 0)
    letGo()
    await until(() => watched.every(({ state }) => state.status === 'live'))
    expect(asked).toEqual([expect.objectContaining({ code: 'unauthorized', status: 401 })])
    expect(feed.streamRequests).toHaveLength(6)
    for (const { errors } of watched) expect(errors).toEqual([])
  })

  test('fails when the refresh does, or when the second answer is 401 too', async () => {
    const feed = await startFeed()
    feed.stream(status(401))
    const refused = startClient({ onUnauthorized: () => false })
    const without = startClient()
    const again = startClient({ onUnauthorized: () => true })
    const watched = [refused, without, again].map(({ client }) => watch(client, feed.streamUrl))
    await until(() => watched.every(({ errors }) => errors.length === 1))
    for (const { state } of watched)
      expect(state).toMatchObject({
        status: 'failed',
        error: { code: 'unauthorized', status: 401 },
        retryAt: undefined,
      })
    expect(watched[0]!.errors[0]!.message).toMatch(/answered 401: not signed in, .* `onUnauthorized`/)
    expect(feed.streamRequests).toHaveLength(4)
  })

  test('is tried again later when `onUnauthorized` throws: a refresh that could not be made is no verdict', async () => {
    const feed = await startFeed()
    feed.stream(status(401))
    const { client } = startClient({
      onUnauthorized: () => {
        throw new Error('the server of tokens cannot be reached')
      },
    })
    const watched = watch(client, feed.streamUrl)
    await until(() => watched.state.error !== undefined)
    expect(watched.state).toMatchObject({ status: 'reconnecting', error: { code: 'callback' } })
    expect(watched.state.error?.message).toMatch(/`onUnauthorized` of GET .* threw/)
    expect(watched.errors).toEqual([])
  })
})

describe('another identity', () => {
  test("closes and clears what was the last one's, and starts anew for those who subscribe", async () => {
    const gate = held(json({ of: 'ben' }))
    const feed = await startFeed(json({ of: 'anna' }))
    const { client } = startClient({ identity: 'anna' })
    const channel = defineChannel<unknown, StreamEvent>({
      key: 'me',
      stream: feed.streamUrl,
      snapshot: feed.snapshotUrl,
    })
    const kept = defineChannel({ key: 'kept', snapshot: feed.snapshotUrl })
    const watched = watch(client, channel)
    await until(() => watched.state.status === 'live')
    await client.refresh(kept)
    expect(await client.json(feed.snapshotUrl)).toEqual({ of: 'anna' })
    const before = watched.states.length

    feed.snapshot(gate.handler)
    client.setIdentity('ben')
    // Not a moment of the one before: neither in the state, nor in the cache, nor in what is kept.
    expect(watched.state).toMatchObject({ status: 'connecting', data: undefined, isStale: false })
    expect(client.getState(kept).data).toBeUndefined()
    await until(() => feed.open === 1 && gate.waiting > 0)
    gate.release()
    await until(() => watched.state.status === 'live')
    expect(await client.json(feed.snapshotUrl)).toEqual({ of: 'ben' })
    expect(watched.states.slice(before).map(({ data }) => data)).not.toContainEqual({ of: 'anna' })
    expect(watched.completions + watched.errors.length).toBe(0)
  })

  test('that is the same one changes nothing', async () => {
    const feed = await startFeed()
    const { client } = startClient({ identity: 'anna' })
    const watched = watch(client, feed.streamUrl)
    await until(() => watched.state.status === 'live')
    const { state } = watched
    client.setIdentity('anna')
    expect(watched.state).toBe(state)
    expect(feed.streamRequests).toHaveLength(1)
  })

  test('drops an answer to the one before that comes late', async () => {
    const gate = held(json({ of: 'anna' }))
    const feed = await startFeed(gate.handler)
    const { client } = startClient({ identity: 'anna' })
    const channel = defineChannel({ key: 'me', snapshot: feed.snapshotUrl, interval: 60_000 })
    const watched = watch(client, channel)
    await until(() => gate.waiting === 1)
    client.setIdentity('ben')
    feed.snapshot(json({ of: 'ben' }))
    gate.release()
    await until(() => watched.state.data !== undefined)
    expect(watched.states.map(({ data }) => data)).not.toContainEqual({ of: 'anna' })
  })
})

describe('the switch', () => {
  test('closes every connection and timer of every channel before it returns, and brings all back, spread out', async () => {
    const feed = await startFeed(json({ n: 1 }))
    const { client, clock } = startStill()
    const streamed = watch(client, feed.streamUrl)
    const polled = watch(client, defineChannel({ key: 'p', snapshot: feed.snapshotUrl }), { delivery: 'frame' })
    const leaving = watch(client, `${feed.streamUrl}?leaving`)
    await until(() => feed.open === 2)
    feed.stream(status(503))
    const failing = watch(client, `${feed.streamUrl}?failing`)
    await clock.advance(0)
    await until(() => feed.open === 2 && polled.state.status === 'polling' && failing.state.status === 'reconnecting')
    leaving.unsubscribe()
    expect(client.stats().timers.length).toBeGreaterThan(2)

    client.disable('deploy')
    expect(client.stats().timers).toEqual([])
    expect(client.enabled).toBe(false)
    for (const { state } of [streamed, polled, failing])
      expect(state).toMatchObject({ status: 'paused', pausedBy: 'disabled', retryAt: undefined })
    await until(() => feed.open === 0)
    const asked = feed.server.requests.length
    await clock.advance(3_600_000)
    expect(feed.server.requests).toHaveLength(asked)

    feed.stream()
    client.enable()
    await clock.advance(0)
    expect(feed.server.requests).toHaveLength(asked)
    const due = client.stats().timers.map(({ dueAt }) => dueAt - clock.now())
    expect(due.length).toBeGreaterThanOrEqual(3)
    expect(Math.max(...due)).toBeLessThanOrEqual(1_000)
    expect(new Set(due).size).toBe(due.length)
    await clock.advance(1_000)
    await until(() => [streamed, failing].every(({ state }) => state.status === 'live'))
    await until(() => polled.state.status === 'polling')
  })

  test('who subscribes while it is off waits for it', async () => {
    const feed = await startFeed()
    const { client, clock } = startStill()
    client.disable()
    const watched = watch(client, feed.streamUrl)
    await clock.advance(60_000)
    expect(watched.state).toMatchObject({ status: 'paused', pausedBy: 'disabled' })
    expect(feed.streamRequests).toEqual([])
    client.enable()
    await clock.advance(1_000)
    await until(() => watched.state.status === 'live')
  })

  test('is told once', () => {
    const { client } = startClient()
    const told: unknown[] = []
    client.on('switch', (event) => told.push(event))
    client.disable('deploy')
    client.disable('again')
    client.enable()
    client.enable()
    expect(told).toEqual([{ enabled: false, reason: 'deploy' }, { enabled: true }])
  })
})

describe('the idle watch', () => {
  test('is armed by the first comment, with 45 s', async () => {
    const feed = await startFeed()
    const { client, clock } = startStill()
    const watched = watch(client, feed.streamUrl)
    const idle = () => client.stats().timers.filter(({ label }) => label.startsWith('idle watch '))
    await until(() => watched.state.status === 'live')
    feed.write(block('a', { id: 1 }))
    await until(() => watched.events.length === 1)
    expect(idle()).toEqual([])
    // Without heartbeats a quiet stream is not a dead one.
    await clock.advance(3_600_000)
    expect(watched.state.status).toBe('live')

    feed.write(': heartbeat\n\n')
    await until(() => idle().length === 1)
    await clock.advance(44_000)
    feed.write(block('b', { id: 2 }))
    await until(() => watched.events.length === 2)
    await clock.advance(44_000)
    expect(watched.state.status).toBe('live')
    await clock.advance(1_000)
    await until(() => watched.state.status === 'reconnecting')
    expect(watched.state).toMatchObject({ error: { code: 'idle' }, attempt: 1 })
    expect(watched.state.error!.message).toMatch(/\/stream sent nothing for 45000 ms: /)
  })

  test('is armed from the start by a number, and the smallest of a source counts', async () => {
    const feed = await startFeed()
    const { client, clock } = startStill()
    const of = (key: string, idleTimeout: number | false) => defineChannel({ key, stream: feed.streamUrl, idleTimeout })
    const watched = watch(client, of('a', 60_000))
    watch(client, of('b', 20_000))
    watch(client, of('c', false))
    await until(() => watched.state.status === 'live')
    await clock.advance(19_999)
    expect(watched.state.status).toBe('live')
    await clock.advance(1)
    await until(() => watched.state.status === 'reconnecting')
  })

  test('is never armed with `false`', async () => {
    const feed = await startFeed()
    const { client, clock } = startStill()
    const watched = watch(client, defineChannel({ key: 'f', stream: feed.streamUrl, idleTimeout: false }))
    await until(() => watched.state.status === 'live')
    feed.write(': heartbeat\n\n')
    feed.write(block('a'))
    await until(() => watched.events.length === 1)
    await clock.advance(24 * 3_600_000)
    expect(watched.state.status).toBe('live')
  })
})

test('a laptop that wakes after eight hours makes one attempt, not a queue of them', async () => {
  const feed = await startFeed(json({ n: 1 }))
  const { client, clock } = startStill()
  const streamed = watch(client, defineChannel({ key: 's', stream: feed.streamUrl, idleTimeout: 45_000 }))
  const polled = watch(client, defineChannel({ key: 'p', snapshot: feed.snapshotUrl, interval: 5_000 }))
  await clock.advance(0)
  await until(() => polled.state.status === 'polling' && streamed.state.status === 'live')
  const asked = { streams: feed.streamRequests.length, polls: feed.snapshotRequests.length }

  // Timers do not run while it sleeps: they all find, at once, that eight hours have passed.
  const asleep = 8 * 3_600_000
  const { now } = clock
  Object.assign(clock, { now: () => now() + asleep })
  feed.drop()
  await until(() => streamed.state.status === 'reconnecting')
  await clock.advance(10_000)
  await until(() => streamed.state.status === 'live')
  await until(() => !client.stats().timers.some(({ label }) => /^(timeout|body) /.test(label)))
  expect(feed.streamRequests.length - asked.streams).toBe(1)
  expect(feed.snapshotRequests.length - asked.polls).toBeLessThanOrEqual(3)
})
