import { type Client, defineChannel } from 'millrace'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { composeClient } from '../../src/client/create-client'
import { createModelledJournal, type ModelledJournal } from '../support/modelled-journal'
import { createWorld, type ModelledTab, type World } from '../support/modelled-tabs'

const URL = 'https://example.com/things'
const channel = defineChannel({ key: 'stream', stream: 'https://example.com/stream' })

let world: World
let journal: ModelledJournal

beforeEach(() => {
  vi.spyOn(console, 'warn').mockImplementation(() => {})
  world = createWorld(1)
  journal = createModelledJournal(world, { ids: true, extra: 0 })
})
afterEach(() => {
  world.close()
  vi.restoreAllMocks()
})

/** A tab whose client listens to the others, since somebody subscribes in it. */
async function open(identity: string | null = null): Promise<{ tab: ModelledTab; client: Client }> {
  const opened = await openIdle(identity)
  await opened.tab.act(() => opened.client.subscribe(channel, {}))
  await world.clock.advance(100)
  return opened
}

/** A tab in which nobody subscribes to anything. */
async function openIdle(identity: string | null = null): Promise<{ tab: ModelledTab; client: Client }> {
  const tab = world.open()
  const fetch = journal.fetchOf(tab)
  const client = await tab.act(() =>
    composeClient({ environment: 'test', clock: tab.clock, fetch, identity }, tab.platform),
  )
  return { tab, client }
}

const asked = () => journal.requests.filter(({ path }) => path === '/things').length

async function read({ tab, client }: { tab: ModelledTab; client: Client }): Promise<unknown> {
  const answer = await tab.act(() => ({ body: client.json(URL, undefined, { ttl: 60_000 }) }))
  await world.clock.advance(100)
  return answer.body
}

describe('what is cached', () => {
  test('is forgotten in all tabs when one of them changes it', async () => {
    const [one, other] = [await open(), await open()]
    await read(one)
    await read(other)
    expect(asked()).toBe(1)

    await other.tab.act(() => void other.client.fetch(URL, { method: 'POST' }))
    await world.clock.advance(100)
    expect(asked()).toBe(2)
    await read(one)
    expect(asked()).toBe(3)
    await read(other)
    expect(asked()).toBe(3)
  })

  test('stays where a change has failed', async () => {
    const [one, other] = [await open(), await open()]
    await read(one)
    journal.isDown = true
    await other.tab.act(() => void other.client.fetch(URL, { method: 'POST' }).catch(() => {}))
    await world.clock.advance(100)
    journal.isDown = false
    await read(one)
    expect(asked()).toBe(2)
  })
})

test('who is signed in is unknown once another tab has left it, until it is said', async () => {
  const [one, other] = [await open('ada'), await open('ada')]
  const told: unknown[] = []
  other.client.on('identity', ({ identity }) => told.push(identity))
  await one.tab.act(() => one.client.setIdentity('bob'))
  await world.clock.advance(100)
  expect(one.client.identity).toBe('bob')
  expect(other.client.identity).toBeUndefined()
  await other.tab.act(() => other.client.setIdentity('ada'))
  expect(other.client.identity).toBe('ada')
  expect(told).toEqual([undefined, 'ada'])
})

test('what was asked while it was unknown who is signed in is not for whoever that turns out to be', async () => {
  const [one, other] = [await open('ada'), await open('ada')]
  await one.tab.act(() => one.client.setIdentity('bob'))
  await world.clock.advance(100)
  await read(other)
  expect(asked()).toBe(1)
  await other.tab.act(() => other.client.setIdentity('ada'))
  await read(other)
  expect(asked()).toBe(2)
})

describe('a tab in which nobody subscribes', () => {
  test('tells the others who has left', async () => {
    const [one, idle] = [await open('ada'), await openIdle('ada')]
    await idle.tab.act(() => idle.client.setIdentity(null))
    await world.clock.advance(100)
    expect(one.client.identity).toBeUndefined()
  })

  test('tells them what is out of date', async () => {
    const [one, idle] = [await open(), await openIdle()]
    await read(one)
    await idle.tab.act(() => idle.client.invalidate(URL))
    await world.clock.advance(100)
    await read(one)
    expect(asked()).toBe(2)
  })

  test('tells them what it has changed', async () => {
    const [one, idle] = [await open(), await openIdle()]
    await read(one)
    await idle.tab.act(() => void idle.client.fetch(URL, { method: 'POST' }))
    await world.clock.advance(100)
    await read(one)
    expect(asked()).toBe(3)
  })

  test('is told, once it has anything to forget', async () => {
    const [one, idle] = [await open('ada'), await openIdle('ada')]
    await read(idle)
    await one.tab.act(() => one.client.setIdentity('bob'))
    await world.clock.advance(100)
    expect(idle.client.identity).toBeUndefined()
    await idle.tab.act(() => idle.client.setIdentity('ada'))
    await read(idle)
    expect(asked()).toBe(2)
  })

  test('opens no channel before it has something to say, and none after its client is closed', async () => {
    const { tab, client } = await openIdle('ada')
    expect(world.channels()).toEqual([])
    await tab.act(() => client.setIdentity(null))
    expect(world.channels()).toHaveLength(1)
    await tab.act(() => client.close())
    await tab.act(() => client.invalidate(URL))
    expect(world.channels()).toEqual([])
  })
})

describe('a loop in one tab', () => {
  test('is refused in all tabs, by how long it lasts and not until when', async () => {
    const [one, other] = [await open(), await open()]
    await one.tab.act(() => {
      for (let n = 0; n < 101; n += 1) void one.client.fetch(`${URL}?${n}`).catch(() => {})
    })
    await world.clock.advance(200)
    expect(one.client.health().status).toBe('unhealthy')
    const refused = await other.tab.act(() => ({ outcome: other.client.fetch(`${URL}?other`).catch((error) => error) }))
    await world.clock.advance(100)
    const error = await refused.outcome
    expect(error).toMatchObject({ code: 'runaway' })
    expect((error as { retryAfter: number }).retryAfter).toBeLessThanOrEqual(10_000)
    expect(other.client.health().status).toBe('unhealthy')
  })
})
