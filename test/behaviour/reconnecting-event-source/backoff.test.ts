import { afterEach, describe, expect, test } from 'vitest'
import { closeServers, startServer, startStream } from '../../support/http-server'
import { until } from '../../support/until'
import { closeSources, type Init, record } from './recorder'

afterEach(closeSources)
afterEach(closeServers)

const refusing = () => startServer((_, response) => response.writeHead(503).end())

/** Streams that say a word and live so many ms, by the order of connections; the last of them for the rest as well. */
function living(...lives: number[]) {
  let connections = 0
  return startServer((_, response) => {
    const life = lives[Math.min(connections++, lives.length - 1)]!
    startStream(response).write(':\n')
    setTimeout(() => response.end(), life)
  })
}

interface Failure {
  /** ms from the answer, which came before the failure, to `retryAt`: never less than the delay. */
  sinceAnswer: number
  /** ms from the error event, which came after the failure, to `retryAt`: never more than the delay. */
  fromEvent: number
}

/** The first failures of one source, with the delay of each between two bounds that no stall of the machine can move. */
async function failures(count: number, url: string, backoff: NonNullable<Init['backoff']>): Promise<Failure[]> {
  const answers: number[] = []
  const recording = record(url, {
    backoff,
    fetch: async (input, init) => {
      const response = await fetch(input, init)
      answers.push(Date.now())
      return response
    },
  })
  await until(() => recording.errors.length >= count, `${count} failures`)
  return recording.errors
    .slice(0, count)
    .map(({ retryAt, delay }, index) => ({ sinceAnswer: retryAt! - answers[index]!, fromEvent: delay! }))
}

function expectDelays(found: readonly Failure[], delays: readonly number[]): void {
  for (const [index, delay] of delays.entries()) {
    expect(found[index]!.sinceAnswer, `failure ${index + 1}`).toBeGreaterThanOrEqual(delay)
    expect(found[index]!.fromEvent, `failure ${index + 1}`).toBeLessThanOrEqual(delay)
  }
}

describe('the delay after refusals', () => {
  test('doubles up to the cap', async () => {
    const server = await refusing()
    const found = await failures(5, server.url(), { base: 40, factor: 2, cap: 160, jitter: 'none' })
    expectDelays(found, [40, 80, 160, 160, 160])
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
      Array.from({ length: 60 }, () => failures(steps.length, server.url(), { base: 100, factor: 2, cap: 300 })),
    )
    for (const [index, step] of steps.entries()) {
      const failed = all.map((found) => found[index]!)
      expect(Math.min(...failed.map(({ sinceAnswer }) => sinceAnswer))).toBeGreaterThanOrEqual(0.1 * step)
      expect(Math.max(...failed.map(({ fromEvent }) => fromEvent))).toBeLessThanOrEqual(step)
      // A full jitter spreads: not to find both ends in sixty draws would be luck of one in a million.
      expect(Math.min(...failed.map(({ fromEvent }) => fromEvent))).toBeLessThan(0.4 * step)
      expect(Math.max(...failed.map(({ sinceAnswer }) => sinceAnswer))).toBeGreaterThan(0.7 * step)
    }
  })

  test('never overflows', async () => {
    const server = await refusing()
    const found = await failures(12, server.url(), { base: 10, factor: 1e200, cap: 30, jitter: 'none' })
    expectDelays(found, [10, ...Array<number>(11).fill(30)])
  })

  test("takes production's defaults where none are given", async () => {
    const server = await refusing()
    const [found] = await failures(1, server.url(), {})
    expect(found!.sinceAnswer).toBeGreaterThanOrEqual(100)
    expect(found!.fromEvent).toBeLessThanOrEqual(1_000)
  })
})

describe('the delay after a stream', () => {
  test('is the base on top of the step', async () => {
    const server = await living(0)
    const found = await failures(4, server.url(), { base: 40, factor: 2, cap: 160, jitter: 'none' })
    expectDelays(found, [40 + 40, 40 + 80, 40 + 160, 40 + 160])
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
    const found = await failures(4, server.url(), backoff)
    expectDelays(found, [20 + 20, 20 + 80, 20 + 320])
    expect(found[3]!.fromEvent).toBeLessThanOrEqual(20 + 20)
  })

  test('does not start anew after a stream that did not', async () => {
    const server = await living(0, 0, 50, 0)
    const backoff = { base: 10, factor: 4, cap: 10_000, resetAfter: 60_000, jitter: 'none' } as const
    expectDelays(await failures(4, server.url(), backoff), [10 + 10, 10 + 40, 10 + 160, 10 + 640])
  })

  test('does not start anew because of events', async () => {
    const server = await startServer((_, response) => startStream(response).end('data: a\n\n'.repeat(20)))
    const found = await failures(4, server.url(), { base: 10, factor: 4, cap: 160, jitter: 'none' })
    expectDelays(found, [10 + 10, 10 + 40, 10 + 160, 10 + 160])
  })
})
