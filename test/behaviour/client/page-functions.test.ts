/** The functions of the page: each brings its part alone, and all of them mean one client, whichever copy they are of. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { closeServers, startServer } from '../../support/http-server'
import { startJournal } from '../../support/journal-server'
import { until } from '../../support/until'

type Copy = typeof import('millrace')

const place = Symbol.for('millrace')
const holder = globalThis as { [place]?: object }

/** Another copy of the bundle in this page. */
async function copy(): Promise<Copy> {
  vi.resetModules()
  return import('millrace')
}

let own: Copy
beforeEach(async () => {
  delete holder[place]
  own = await copy()
})
afterEach(() => {
  own.getClient().close()
  delete holder[place]
})
afterEach(closeServers)

const startCounting = () => {
  let asked = 0
  return startServer((_, response) => {
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ n: ++asked }))
  })
}

describe('a function of the page', () => {
  test('has the one client that `getClient` completes: one cache, one count, one switch', async () => {
    const server = await startCounting()
    const { coordinatedFetch, json, stats, getClient } = own
    expect(await json(server.url('/a'))).toEqual({ n: 1 })
    const begun = holder[place]
    expect(begun).not.toHaveProperty('subscribe')
    expect(stats().requests).toMatchObject({ asked: 1, sent: 1 })

    const client = getClient()
    expect(client).toBe(begun)
    expect(await client.json(server.url('/a'))).toEqual({ n: 1 })
    expect(await (await coordinatedFetch(server.url('/b'))).json()).toEqual({ n: 2 })
    expect(client.stats().requests).toMatchObject({ asked: 3, sent: 2, cached: 1 })
    expect(client.stats().endpoints).toHaveLength(2)

    client.disable()
    await expect(json(server.url('/c'))).rejects.toMatchObject({ code: 'disabled' })
    client.enable()
    client.setIdentity('anna')
    expect(await json(server.url('/a'))).toEqual({ n: 3 })
    client.close()
    await expect(json(server.url('/a'))).rejects.toMatchObject({ code: 'closed' })
    await expect(coordinatedFetch(server.url('/a'))).rejects.toMatchObject({ code: 'closed' })
    expect(server.requests).toHaveLength(3)
  })

  test('knows of nothing before anything has happened', () => {
    const { stats, noStats } = own
    expect(stats()).toEqual({ ...noStats, since: expect.any(Number) })
    expect(holder[place]).not.toHaveProperty('fetch')
  })

  test('subscribes, and takes events in a loop, with what the client has by then', async () => {
    const journal = await startJournal()
    const { defineChannel, events, stats, subscribe, getClient } = own
    const heard: unknown[] = []
    subscribe(journal.streamUrl, ({ data }) => heard.push(data))
    expect(holder[place]).not.toHaveProperty('stats')
    const loop = events(defineChannel({ key: 'loop', stream: journal.streamUrl }))
    const first = loop.next()
    await until(() => journal.open === 1)
    journal.append()
    await until(() => heard.length === 1)
    expect(await first).toMatchObject({ done: false })
    expect(stats().channels).toHaveLength(2)
    expect(stats().subscriptions).toEqual(getClient().stats().subscriptions)
    expect(journal.connections).toBe(1)
    await loop.return?.()
  })

  test('heeds what is configured later, and that cannot be what it began with', async () => {
    const server = await startCounting()
    const { configure, json } = own
    await json(server.url('/a'))
    configure({ headers: { 'x-team': 'blue' }, origins: [server.origin] })
    await json(server.url('/b'))
    expect(server.requests[1]?.headers['x-team']).toBe('blue')
    expect(() => configure({ baseUrl: server.origin })).toThrow(expect.objectContaining({ code: 'config' }))
  })
})

describe('several copies of the bundle', () => {
  test('bring parts to one client, each those that it is the first to need', async () => {
    const server = await startCounting()
    const journal = await startJournal()
    const others = [await copy(), await copy()] as const
    expect(new Set([own.json, others[0].json, others[1].json]).size).toBe(3)

    await others[0].json(server.url('/a'))
    const client = holder[place]
    others[1].subscribe(journal.streamUrl, () => {})
    await until(() => journal.open === 1)
    expect(own.stats()).toMatchObject({ requests: { sent: 2 }, subscriptions: { active: 1 } })
    for (const { getClient } of [own, ...others]) expect(getClient()).toBe(client)
    // What the first has cached is known to all.
    expect(await own.json(server.url('/a'))).toEqual({ n: 1 })
    expect(server.requests).toHaveLength(1)
    own.getClient().setIdentity('ben')
    expect(await others[1].json(server.url('/a'))).toEqual({ n: 2 })
  })

  test('of another version serve with what they have, and are let be where they have it not', async () => {
    const known = { json: async () => 'of another version' }
    holder[place] = known
    await expect(own.json('/a')).rejects.toMatchObject({ code: 'config' })
    holder[place] = { ...known, fetch: async () => new Response() }
    expect(await own.json('/a')).toBe('of another version')
    expect(own.stats()).toMatchObject({ subscriptions: { active: 0 } })
  })
})
