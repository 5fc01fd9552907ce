import { afterEach, describe, expect, test } from 'vitest'
import { closeServers, startServer, startStream } from '../../support/http-server'
import { until } from '../../support/until'
import { closeSources, type Init, type Recording, record } from './recorder'

afterEach(closeSources)
afterEach(closeServers)

/** Between the reading of the clock for `retryAt` and the one in the listener. */
const LATE = 10

const refusing = () => startServer((_, response) => response.writeHead(503).end())

/** Streams live so many ms each, by the order of connections; the last of them for the rest as well. */
function living(...lives: number[]) {
  let connections = 0
  return startServer((_, response) => {
    const life = lives[Math.min(connections++, lives.length - 1)]!
    startStream(response)
    setTimeout(() => response.end(), life)
  })
}

async function failures(count: number, url: string, backoff: NonNullable<Init['backoff']>): Promise<Recording> {
  const recording = record(url, { backoff })
  await until(() => recording.errors.length >= count, { what: `${count} failures`, within: 8_000 })
  return recording
}

const delays = ({ errors }: Recording, count: number): number[] => errors.slice(0, count).map(({ delay }) => delay!)

describe('the delay after refusals', () => {
  test('doubles up to the cap', async () => {
    const server = await refusing()
    const found = delays(await failures(5, server.url(), { base: 40, factor: 2, cap: 160, jitter: 'none' }), 5)
    for (const [index, step] of [40, 80, 160, 160, 160].entries()) {
      expect(found[index]).toBeGreaterThanOrEqual(step - LATE)
      expect(found[index]).toBeLessThanOrEqual(step)
    }
  })

  test('is waited before the next request', async () => {
    const server = await refusing()
    await failures(4, server.url(), { base: 60, factor: 2, cap: 120, jitter: 'none' })
    const times = server.requests.map(({ time }) => time)
    for (const [index, step] of [60, 120, 120].entries()) {
      expect(times[index + 1]! - times[index]!).toBeGreaterThanOrEqual(step - 2)
    }
  })

  test('is drawn between a tenth of the step and the whole of it', async () => {
    const server = await refusing()
    const steps = [100, 200, 300, 300]
    const all = await Promise.all(
      Array.from({ length: 60 }, () => failures(1, server.url(), { base: 100, factor: 2, cap: 300 })),
    )
    // All at once, so that each of 60 draws per step costs no time of its own.
    await until(() => all.every(({ errors }) => errors.length >= steps.length), {
      within: 8_000,
      what: '60 x 4 failures',
    })
    for (const [index, step] of steps.entries()) {
      const drawn = all.map(({ errors }) => errors[index]!.delay! / step).sort((a, b) => a - b)
      expect(drawn[0]).toBeGreaterThanOrEqual(0.1 - LATE / step)
      expect(drawn.at(-1)).toBeLessThanOrEqual(1)
      // A jitter that is full spreads: it would be luck of one in a million not to find both ends.
      expect(drawn[0]).toBeLessThan(0.4)
      expect(drawn.at(-1)).toBeGreaterThan(0.7)
    }
  })

  test('never overflows', async () => {
    const server = await refusing()
    const found = delays(await failures(12, server.url(), { base: 10, factor: 1e200, cap: 30, jitter: 'none' }), 12)
    for (const delay of found.slice(1)) {
      expect(delay).toBeGreaterThanOrEqual(30 - LATE)
      expect(delay).toBeLessThanOrEqual(30)
    }
  })

  test("takes production's defaults where none are given", async () => {
    const server = await refusing()
    const { errors, source } = record(server.url(), { backoff: {} })
    await until(() => errors.length > 0)
    source.close()
    expect(errors[0]!.delay).toBeGreaterThanOrEqual(100 - LATE)
    expect(errors[0]!.delay).toBeLessThanOrEqual(1_000)
  })
})

describe('the delay after a stream', () => {
  test('is the base on top of the step', async () => {
    const server = await living(0)
    const found = delays(await failures(4, server.url(), { base: 40, factor: 2, cap: 160, jitter: 'none' }), 4)
    for (const [index, step] of [40, 80, 160, 160].entries()) {
      expect(found[index]).toBeGreaterThanOrEqual(40 + step - LATE)
      expect(found[index]).toBeLessThanOrEqual(40 + step)
    }
  })

  test('grows when the server accepts and closes at once, which never becomes a loop', async () => {
    const server = await living(0)
    const recording = record(server.url(), { backoff: { base: 50, cap: 10_000 } })
    await until(() => recording.errors.length >= 4)
    const spent = server.requests[3]!.time - server.requests[0]!.time
    // 3 x base, and at least a tenth of 50, 100 and 200.
    expect(spent).toBeGreaterThanOrEqual(3 * 50 + 0.1 * (50 + 100 + 200) - 5)
  })

  test('starts anew after a stream that lived long enough', async () => {
    const server = await living(0, 0, 0, 600, 0)
    const backoff = { base: 20, factor: 4, cap: 10_000, resetAfter: 400, jitter: 'none' } as const
    const found = delays(await failures(4, server.url(), backoff), 4)
    expect(found[1]).toBeGreaterThanOrEqual(20 + 80 - LATE)
    expect(found[2]).toBeGreaterThanOrEqual(20 + 320 - LATE)
    expect(found[3]).toBeLessThanOrEqual(20 + 20)
  })

  test('does not start anew after a stream that did not', async () => {
    const server = await living(0, 0, 50, 0)
    const backoff = { base: 10, factor: 4, cap: 10_000, resetAfter: 60_000, jitter: 'none' } as const
    const found = delays(await failures(4, server.url(), backoff), 4)
    expect(found[2]).toBeGreaterThanOrEqual(10 + 160 - LATE)
    expect(found[3]).toBeGreaterThanOrEqual(10 + 640 - LATE)
  })

  test('does not start anew because of events', async () => {
    const server = await startServer((_, response) => startStream(response).end('data: a\n\n'.repeat(20)))
    const found = delays(await failures(4, server.url(), { base: 10, factor: 4, cap: 160, jitter: 'none' }), 4)
    expect(found[2]).toBeGreaterThanOrEqual(10 + 160 - LATE)
  })
})
