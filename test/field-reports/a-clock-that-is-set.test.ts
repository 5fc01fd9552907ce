/**
 * The wall clock is set by people, by time servers and by page tests, and jumps when a laptop wakes. A duration that is
 * a difference of it stands still for an hour, or is over at once.
 */
import { createClient, defineChannel } from 'millrace'
import { afterEach, describe, expect, test } from 'vitest'
import { closeClients, startClient, watch } from '../behaviour/channels/watch'
import { createTestClock } from '../support/test-clock'

afterEach(closeClients)

const HOUR = 3_600_000

/** A wall that can be set, beside a clock that runs; `sleep` is time in which only the wall goes on. */
function settableClock() {
  const running = createTestClock()
  let offset = 0
  let fixed: number | undefined
  return {
    ...running,
    now: () => fixed ?? running.now() + offset,
    monotonic: () => running.now(),
    set: (by: number) => {
      offset += by
    },
    fix: () => {
      fixed = running.now()
    },
  }
}

type SettableClock = ReturnType<typeof settableClock>

const CHANGES: Record<string, (clock: SettableClock) => void> = {
  'set back an hour': (clock) => clock.set(-HOUR),
  'set forward an hour': (clock) => clock.set(HOUR),
  'set back and forth': (clock) => {
    clock.set(-HOUR)
    clock.set(HOUR)
  },
  'fixed, as a page test does': (clock) => clock.fix(),
  'after eight hours of sleep': (clock) => clock.set(8 * HOUR),
}

function start(options = {}) {
  const clock = settableClock()
  const asked: string[] = []
  let status = 200
  const fetch = async (input: RequestInfo | URL) => {
    asked.push(String(input))
    return Response.json({ n: asked.length }, { status })
  }
  const started = startClient({ clock, fetch, environment: 'production', ...options })
  return {
    ...started,
    clock,
    asked,
    answer: (next: number) => {
      status = next
    },
  }
}

describe.each(Object.entries(CHANGES))('with a wall clock %s', (name, change) => {
  const jumps = /forward|sleep/.test(name)

  test('polls keep their pace', async () => {
    const { client, clock, asked } = start()
    watch(client, defineChannel<unknown>({ key: 'k', snapshot: 'http://mill.test/', interval: 5_000 }))
    await clock.advance(20_100)
    const before = asked.length
    change(clock)
    await clock.advance(20_000)
    expect(asked.length - before).toBeGreaterThanOrEqual(3)
    expect(asked.length - before).toBeLessThanOrEqual(5)
  })

  test('a cached answer is fresh for its ttl, and no longer', async () => {
    const { client, clock, asked } = start()
    const ask = () => client.json('http://mill.test/', undefined, { ttl: 60_000 })
    await ask()
    change(clock)
    await ask()
    expect(asked.length).toBe(jumps ? 2 : 1)
    await clock.advance(61_000)
    // Nothing has run on it that shows the time where the clock is fixed, but the monotonic one does.
    await ask()
    expect(asked.length).toBe(jumps ? 3 : 2)
  })

  test('a breaker closes again after its cooldown', async () => {
    const { client, clock, asked, answer } = start()
    const ask = () =>
      client.json('http://mill.test/', undefined, { ttl: 0 }).then(
        () => 'well',
        ({ code }) => code,
      )
    answer(500)
    for (let n = 0; n < 5; n++) await ask()
    change(clock)
    if (!jumps) expect(await ask()).toBe('breaker-open')
    await clock.advance(30_000)
    answer(200)
    expect(await ask()).toBe('well')
    expect(asked.length).toBe(6)
  })

  test('what ran away is refused for as long as was said', async () => {
    const { client, clock } = start({ limits: { fetchesPer10s: 3 } })
    const ask = () =>
      client.fetch('http://mill.test/').then(
        () => 'well',
        ({ code }) => code,
      )
    for (let n = 0; n < 4; n++) await ask()
    expect(await ask()).toBe('runaway')
    change(clock)
    if (!jumps) expect(await ask()).toBe('runaway')
    // However long: nobody who waits is refused for ever.
    await clock.advance(60_000)
    expect(await ask()).toBe('well')
  })

  test('an alert is told again after its minute', async () => {
    const { client, clock, alerts } = start({ limits: { fetchesPer10s: 1 } })
    const ask = () => client.fetch('http://mill.test/').catch(() => {})
    const told = () => alerts.filter(({ code }) => code === 'runaway').length
    for (let n = 0; n < 3; n++) await ask()
    expect(told()).toBe(1)
    change(clock)
    await clock.advance(600_000)
    for (let n = 0; n < 3; n++) await ask()
    expect(told()).toBe(2)
  })

  test('what is kept is shown for as long as was said', async () => {
    const { client, clock } = start()
    const channel = defineChannel<{ n: number }>({ key: 'k', snapshot: 'http://mill.test/', grace: 10, keep: 60_000 })
    const watched = watch(client, channel)
    await clock.advance(100)
    watched.unsubscribe()
    await clock.advance(100)
    expect(client.getState(channel).data).toEqual({ n: 1 })
    change(clock)
    if (!jumps) expect(client.getState(channel).data).toEqual({ n: 1 })
    await clock.advance(61_000)
    expect(client.getState(channel).data).toBeUndefined()
  })
})

test('where no clock moves at all, timers show that time goes by', async () => {
  const running = createTestClock()
  const asked: number[] = []
  const client = createClient({
    clock: { ...running, now: () => 1_700_000_000_000, monotonic: () => 0 },
    environment: 'production',
    fetch: async () => {
      asked.push(running.now())
      return Response.json({})
    },
  })
  client.subscribe(defineChannel<unknown>({ key: 'k', snapshot: 'http://mill.test/', interval: 5_000 }), {})
  await running.advance(30_000)
  client.close()
  expect(asked.length).toBeGreaterThanOrEqual(5)
  expect(asked.length).toBeLessThanOrEqual(7)
})
