import { type Clock, createClient } from 'millrace'
import { expect, test } from 'vitest'
import { createTestClock } from '../support/test-clock'

const HOUR = 3_600_000

/** The wall and the monotonic clock, each as it is set. */
function start() {
  const timers = createTestClock()
  let wall = 0
  let running = 0
  const clock: Clock = { ...timers, now: () => timers.now() + wall, monotonic: () => timers.now() + running }
  let sent = 0
  const fetch = async () => Response.json({ n: ++sent })
  const client = createClient({ environment: 'production', baseUrl: 'http://mill.test', clock, fetch })
  return {
    client,
    timers,
    set: (ms: number) => {
      wall += ms
    },
    /** The wall stands still, or goes on. */
    hold: (ms: number) => {
      wall -= ms
    },
    sleep: (ms: number) => {
      wall += ms
      running += 0
    },
    read: () => client.json<{ n: number }>('/a', undefined, { ttl: 500 }).then(({ n }) => n),
  }
}

test('what is cached ages though the clock is set back', async () => {
  const { read, set, timers } = start()
  expect(await read()).toBe(1)
  set(-HOUR)
  await timers.advance(400)
  expect(await read()).toBe(1)
  await timers.advance(200)
  expect(await read()).toBe(2)
})

test('what is cached ages though the clock stands still, and while the machine sleeps', async () => {
  const { read, hold, sleep, timers } = start()
  expect(await read()).toBe(1)
  await timers.advance(600)
  hold(600)
  expect(await read()).toBe(2)
  sleep(8 * HOUR)
  expect(await read()).toBe(3)
})

test('a runaway’s refusal and a breaker end in time though the clock is set back', async () => {
  const { client, set, timers } = start()
  for (let n = 0; n < 101; n += 1) await client.fetch(`/b?${n}`).catch(() => {})
  set(-HOUR)
  await expect(client.fetch('/b')).rejects.toMatchObject({ code: 'runaway' })
  await timers.advance(10_001)
  expect((await client.fetch('/b')).status).toBe(200)
})
