import type { ServerResponse } from 'node:http'
import { type Client, type ClientOptions, createClient } from 'millrace'
import { afterEach, describe, expect, test } from 'vitest'
import { closeServers, startServer } from '../../support/http-server'
import { createTestClock } from '../../support/test-clock'
import { until } from '../../support/until'

const clients: Client[] = []

function makeClient(options: ClientOptions = {}): Client {
  const client = createClient({ environment: 'production', ...options })
  clients.push(client)
  return client
}

/** A server that holds every answer, and a way to answer the oldest. */
async function startHeld() {
  const held: { url: string; response: ServerResponse }[] = []
  const server = await startServer(({ url }, response) => void held.push({ url, response }))
  const answer = async (): Promise<string> => {
    await until(() => held.length > 0, 'a request to answer')
    const { url, response } = held.shift()!
    response.end('ok')
    return url.slice(url.indexOf('?') + 1)
  }
  return { server, held, answer, url: (query: string | number) => server.url(`/a?${query}`) }
}

const outcomeOf = (promise: Promise<Response>): Promise<unknown> =>
  promise.then(
    (response) => response.text(),
    (error) => error.code ?? error,
  )

afterEach(async () => {
  for (const client of clients.splice(0)) client.close()
  await closeServers()
})

describe('requests to one endpoint', () => {
  test('are six at once; the others wait for their turn, and all are answered', async () => {
    const { server, held, answer, url } = await startHeld()
    const client = makeClient()
    const outcomes = Array.from({ length: 40 }, (_, n) => outcomeOf(client.fetch(url(n))))
    await until(() => held.length === 6)
    expect(client.stats().endpoints[0]).toMatchObject({ inFlight: 6, queued: 34 })
    const answered = new Set<string>()
    for (let n = 0; n < 40; n += 1) answered.add(await answer())
    expect(answered.size).toBe(40)
    expect(await Promise.all(outcomes)).toEqual(Array(40).fill('ok'))
    expect(server.mostOpenStreams).toBe(6)
  })

  test('do not wait for those to another endpoint', async () => {
    const { server, held, url } = await startHeld()
    const client = makeClient()
    for (let n = 0; n < 10; n += 1) client.fetch(url(n)).catch(() => {})
    client.fetch(server.url('/b')).catch(() => {})
    await until(() => held.some((one) => one.url === '/b'))
    expect(server.requests).toHaveLength(7)
  })

  test('are refused with `queue-full` only when a hundred wait already', async () => {
    const { held, url, answer } = await startHeld()
    const client = makeClient({ limits: { fetchesPer10s: Infinity } })
    const outcomes = Array.from({ length: 106 }, (_, n) => outcomeOf(client.fetch(url(n))))
    await until(() => held.length === 6)
    const refused = await client.fetch(url('one too many'), {}, { label: 'Table' }).catch((error) => error)
    expect(refused).toMatchObject({ code: 'queue-full', retryable: true, message: expect.stringContaining('"Table"') })
    expect(client.stats()).toMatchObject({ requests: { refused: 1 }, endpoints: [{ inFlight: 6, queued: 100 }] })
    await answer()
    await until(() => client.stats().endpoints[0]!.queued === 99)
    outcomes.push(outcomeOf(client.fetch(url('now there is room'))))
    for (let n = 0; n < 106; n += 1) await answer()
    expect(await Promise.all(outcomes)).toEqual(Array(107).fill('ok'))
  })

  test('fill a queue of the size that was asked for', async () => {
    const { held, url } = await startHeld()
    const client = makeClient({ limits: { concurrency: 1, queue: 2 } })
    const outcomes = Array.from({ length: 5 }, (_, n) => outcomeOf(client.fetch(url(n))))
    await until(() => held.length === 1)
    expect(await Promise.all(outcomes.slice(3))).toEqual(['queue-full', 'queue-full'])
  })

  test('leave the queue when they are aborted, and make room', async () => {
    const { held, url, answer, server } = await startHeld()
    const client = makeClient({ limits: { concurrency: 1, queue: 1 } })
    const first = outcomeOf(client.fetch(url('first')))
    await until(() => held.length === 1)
    const controller = new AbortController()
    const second = outcomeOf(client.fetch(url('second'), { signal: controller.signal }))
    expect(await outcomeOf(client.fetch(url('third')))).toBe('queue-full')
    controller.abort('gone')
    expect(await second).toBe('gone')
    const fourth = outcomeOf(client.fetch(url('fourth')))
    expect([await answer(), await answer()]).toEqual(['first', 'fourth'])
    expect([await first, await fourth, server.requests.length]).toEqual(['ok', 'ok', 2])
  })

  test('give their turn back however they end', async () => {
    const { held, url } = await startHeld()
    const client = makeClient({ limits: { concurrency: 1 }, breaker: { failures: 100 } })
    const controller = new AbortController()
    const aborted = outcomeOf(client.fetch(url('aborted'), { signal: controller.signal }))
    await until(() => held.length === 1)
    const broken = outcomeOf(client.fetch(url('broken')))
    const late = outcomeOf(client.fetch(url('late'), {}, { timeout: 30 }))
    const failed = outcomeOf(client.fetch(url('failed')))
    controller.abort('gone')
    expect(await aborted).toBe('gone')
    await until(() => held.length === 2)
    held[1]!.response.socket!.resetAndDestroy()
    expect(await broken).toBe('network')
    expect(await late).toBe('timeout')
    await until(() => held.length === 4)
    held[3]!.response.writeHead(500).end('failed')
    expect(await failed).toBe('failed')
    expect(client.stats().endpoints[0]).toMatchObject({ inFlight: 0, queued: 0 })
  })

  test('hold their turn until the headers, so that slow bodies do not block', async () => {
    const { held, url } = await startHeld()
    const client = makeClient({ limits: { concurrency: 1 } })
    const first = client.fetch(url('first'))
    await until(() => held.length === 1)
    held[0]!.response.write('slow')
    const response = await first
    const second = client.fetch(url('second'))
    await until(() => held.length === 2, 'the second request')
    held[1]!.response.end('ok')
    expect(await (await second).text()).toBe('ok')
    await response.body!.cancel()
  })
})

describe('a priority', () => {
  test('lets high go before normal, and normal before low', async () => {
    const { held, answer, url } = await startHeld()
    const client = makeClient({ limits: { concurrency: 1 } })
    const outcomes = [outcomeOf(client.fetch(url('first')))]
    await until(() => held.length === 1)
    for (const priority of ['low', 'normal', 'high', 'low', 'normal', 'high'] as const)
      outcomes.push(outcomeOf(client.fetch(url(priority + outcomes.length), {}, { priority })))
    await until(() => client.stats().endpoints[0]!.queued === 6)
    const order: string[] = []
    for (let n = 0; n < 7; n += 1) order.push(await answer())
    expect(order).toEqual(['first', 'high3', 'high6', 'normal2', 'normal5', 'low1', 'low4'])
    await Promise.all(outcomes)
  })

  test('starves nobody: who has waited long enough goes before every newcomer', async () => {
    const clock = createTestClock()
    const { held, answer, url } = await startHeld()
    const client = makeClient({ clock, limits: { concurrency: 1 } })
    const outcomes = [outcomeOf(client.fetch(url('first'), {}, { timeout: 3_600_000 }))]
    await until(() => held.length === 1)
    outcomes.push(outcomeOf(client.fetch(url('low'), {}, { priority: 'low' })))
    let turns = 0
    // For ever a high one waits when a turn is free; a second passes with each.
    for (;;) {
      outcomes.push(outcomeOf(client.fetch(url(`high${turns}`), {}, { priority: 'high' })))
      await clock.advance(1_000)
      turns += 1
      if ((await answer()) === 'low') break
      expect(turns).toBeLessThan(20)
    }
    expect(turns).toBeGreaterThan(5)
  })
})
