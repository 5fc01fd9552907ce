import { createClient, defineChannel, ReconnectingEventSource, urlKey } from 'millrace'
import { describe, expect, test } from 'vitest'
import { block, startClient, startStill, watch } from '../behaviour/channels/watch'
import { memoryFetch } from '../bench/clients'
import { startServer } from '../support/http-server'
import { until } from '../support/until'
import { expectNothingReported } from './nothing-reported'

expectNothingReported()

const SECRET = 'hunter2'
const everything = (error: unknown): string => {
  const { message, stack, cause } = error as Error
  return `${message} ${stack} ${JSON.stringify(error)} ${cause === undefined ? '' : everything(cause)}`
}

const unsendable: [what: string, path: string, target: object][] = [
  ['user info in its URL', `//ann:${SECRET}@`, {}],
  ['a body on a GET', '//', { body: SECRET }],
  ['a method that browsers forbid', '//', { method: 'TRACE' }],
  ['a line break in a header', '//', { headers: { authorization: `Bearer ${SECRET}\r\nx: y` } }],
  ['a character beyond U+00FF in a header', '//', { headers: () => ({ authorization: `${SECRET} €` }) }],
  ['a header name that is none', '//', { headers: async () => [['x y', SECRET]] as [string, string][] }],
]

describe.each(unsendable)('a request with %s', (_, path, target) => {
  const describeTo = async () => {
    const server = await startServer((_, response) => response.writeHead(200).end('1'))
    return { server, request: { url: server.url('/').replace('//', path), ...target } }
  }

  test('ends a stream for good, says why, and shows no secret', async () => {
    const { server, request } = await describeTo()
    const { client } = startClient()
    const failure = await new Promise<unknown>((resolve) => {
      try {
        client.subscribe(defineChannel({ key: 'x', stream: request }), { error: resolve })
      } catch (error) {
        resolve(error)
      }
    })
    expect(failure).toMatchObject({ code: 'config', retryable: false })
    expect(everything(failure)).not.toContain(SECRET)
    expect(client.stats().timers.filter(({ label }) => label.startsWith('reconnect'))).toEqual([])
    expect(server.requests).toEqual([])
  })

  test('ends a snapshot for good, and shows no secret', async () => {
    const { server, request } = await describeTo()
    const { client, codes } = startClient()
    const failure = await new Promise<unknown>((resolve) => {
      try {
        client.subscribe(defineChannel({ key: 'x', snapshot: request }), { error: resolve })
      } catch (error) {
        resolve(error)
      }
    })
    expect(failure).toMatchObject({ code: 'config', retryable: false })
    expect(everything(failure)).not.toContain(SECRET)
    expect(server.requests).toEqual([])
    expect(codes).toEqual([])
  })

  test('rejects json, and opens no breaker', async () => {
    const { server, request } = await describeTo()
    const { client, codes } = startClient()
    const { url, headers, ...init } = request as { url: string; headers?: unknown }
    const given = typeof headers === 'function' ? await headers() : headers
    for (let n = 0; n < 10; n += 1) {
      const failure = await client.json(url, { ...init, ...(given && { headers: given }) }, { retry: 3 }).then(
        () => 'fulfilled',
        (error) => error,
      )
      expect(failure).toMatchObject({ code: 'config', retryable: false })
      expect(everything(failure)).not.toContain(SECRET)
    }
    expect(client.stats().endpoints.map(({ breaker }) => breaker)).not.toContain('open')
    expect(codes).not.toContain('breaker-open')
    expect(server.requests).toEqual([])
  })

  test('closes a ReconnectingEventSource', async () => {
    const { server, request } = await describeTo()
    const { url, ...init } = request
    const source = new ReconnectingEventSource(url, init)
    const failure = await new Promise<unknown>((resolve) => {
      source.onerror = ({ error }) => resolve(error)
    })
    expect(failure).toMatchObject({ code: 'config', retryable: false })
    expect(everything(failure)).not.toContain(SECRET)
    expect(source.readyState).toBe(source.CLOSED)
    expect(server.requests).toEqual([])
  })
})

test('client headers that cannot be sent are refused at once', () => {
  const refused = () => createClient({ headers: { authorization: `Bearer ${SECRET}\nx` } })
  expect(refused).toThrow(expect.objectContaining({ code: 'config' }))
  expect(refused).not.toThrow(SECRET)
})

test('a body that was a stream, and broke off, is a failure of the network', async () => {
  const server = await startServer((_, response) => response.socket!.resetAndDestroy())
  const { client } = startClient()
  const body = new ReadableStream({
    start(controller) {
      controller.enqueue(new Uint8Array(10))
      controller.close()
    },
  })
  const init = { method: 'POST', body, duplex: 'half' } as RequestInit
  await expect(client.fetch(server.url(), init)).rejects.toMatchObject({ code: 'network' })
})

test('an outage stays one where the page has an AbortSignal of its own, as a simulated DOM may', async () => {
  // One that `Request` does not take for one.
  const foreign = Object.assign(new EventTarget(), { aborted: 0, throwIfAborted() {} })
  const { client } = startClient({ fetch: () => Promise.reject(new TypeError('Failed to fetch')) })
  const asked = client.fetch('https://example.com/', { signal: foreign as unknown as AbortSignal })
  await expect(asked).rejects.toMatchObject({ code: 'network', retryable: true })
})

describe('a URL that is subscribed to', () => {
  const query = `?user=ann&token=${SECRET}`

  test('keeps its query out of stats, states and events', async () => {
    const { client } = startClient({ fetch: memoryFetch() })
    const told: string[] = []
    client.on('status', ({ key }) => told.push(key))
    client.on('subscribe', ({ key }) => told.push(key))
    const watched = watch(client, `https://example.com/prices${query}`)
    await until(() => watched.state.status === 'live')
    expect(client.stats().channels[0]!.key).toMatch(/^https:\/\/example\.com\/prices /)
    expect(JSON.stringify([client.stats(), told])).not.toContain(SECRET)
    expect(told.length).toBeGreaterThan(1)
  })

  test('is one channel for all who ask for that URL, and another one for each other query', async () => {
    const { client } = startClient({ fetch: memoryFetch() })
    for (const url of ['https://example.com/a', 'https://example.com/a?b', 'https://example.com/a?c'])
      for (const given of [url, new URL(url)]) client.subscribe(given, {})
    expect(client.stats().channels.map(({ subscribers }) => subscribers.length)).toEqual([2, 2, 2])
  })

  test('is forgotten by the URL that it was asked for by', async () => {
    const url = `https://example.com/prices${query}`
    const { client, clock } = startStill({ fetch: memoryFetch((write) => write(block(1))) })
    const before = watch(client, url)
    await clock.advance(10)
    before.unsubscribe()
    await clock.advance(2_000)
    const again = watch(client, url)
    expect(again.state.data).toBe(1)
    again.unsubscribe()
    await clock.advance(2_000)
    client.invalidate(url)
    expect(watch(client, url).state.data).toBeUndefined()
  })

  test('is named by what is no secret of it', () => {
    expect(urlKey('/prices')).toBe('/prices')
    expect(urlKey(new URL('https://example.com/prices'))).toBe('https://example.com/prices')
    expect(urlKey('/prices?a=1')).toMatch(/^\/prices \w+$/)
    expect(urlKey(`//ann:${SECRET}@example.com/prices#x`)).toMatch(/^\/\/example\.com\/prices \w+$/)
    expect(urlKey('/prices?a=1')).toBe(urlKey('/prices?a=1'))
    const queries = Array.from({ length: 10_000 }, (_, n) => urlKey(`/prices?n=${n}`))
    expect(new Set(queries).size).toBe(queries.length)
  })
})
