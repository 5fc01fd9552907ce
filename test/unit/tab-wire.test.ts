import fc from 'fast-check'
import { type Alert, type ChannelState, defineChannel } from 'millrace'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { composeClient } from '../../src/client/create-client'
import { MillraceError } from '../../src/primitives/errors'
import { isHeaderList, pack, packError, unpack, unpackError, unpackMessages } from '../../src/sources/tabs/wire'
import { streamHeaders } from '../../src/stream/stream-http'
import { settledHeap } from '../support/heap'
import { createModelledJournal } from '../support/modelled-journal'
import { createWorld } from '../support/modelled-tabs'

const hostileKeys = JSON.parse('{"__proto__":{"isPolluted":true},"constructor":{"prototype":{"isPolluted":true}}}')

describe('a state that was told', () => {
  const error = new MillraceError('network', 'GET /a could not be reached', { retryable: true, retryAfter: 5 })

  test.each([
    { name: 'idle' as const },
    { name: 'open' as const, failures: 0, since: 1 },
    { name: 'waiting' as const, failures: 2, retryAt: 7, delay: 1, error },
    { name: 'failed' as const, error },
    { name: 'held-back' as const, by: 'offline' as const },
    { name: 'connecting' as const, failures: 0, since: 1, error: undefined },
    { name: 'connecting' as const, failures: 0, since: 1, error },
    { name: 'open' as const, failures: 0, since: 1 },
    { name: 'paused' as const, failures: 1 },
    { name: 'complete' as const },
    { name: 'idle' as const },
  ])('is the same in another tab: $name', (state) => {
    const arrived = unpack(structuredClone(pack(state))) as { error?: unknown }
    expect(arrived).toEqual(state)
    if ('error' in state && state.error) expect(arrived.error).toBeInstanceOf(MillraceError)
    else expect(arrived).toEqual(pack(state))
  })

  test.each([
    undefined,
    null,
    1,
    'open',
    [],
    {},
    { name: 'no such state' },
    { name: 1 },
    { name: 'failed' },
    { name: 'waiting' },
    { name: 'waiting', error: 'none' },
    { name: 'failed', error: null },
    { name: { toString: () => 'open' } },
    { name: 'failed', error: { code: 'http' } },
    { name: 'failed', error: { code: {}, message: 'no' } },
    { name: 'waiting', failures: 1, error: { code: 'http', message: 'no' } },
    { name: 'connecting', failures: 'many', since: 1 },
    { name: 'open', failures: 0, since: {} },
    { name: 'held-back', by: {} },
    { name: 'held-back' },
    { name: 'connecting', since: 1 },
    { name: 'connecting', failures: 1 },
    { name: 'connecting', failures: 0, since: 1, error: 'none' },
    { name: 'open', since: 1 },
    { name: 'open', failures: 1 },
    { name: 'waiting', failures: 1, retryAt: 7 },
    { name: 'waiting', retryAt: 7, error: { code: 'http', message: 'no' } },
    { name: 'paused' },
    { name: 'polling' },
    { name: 'polling', failures: 0, retryAt: 'soon' },
    { name: 'complete', failures: 'many' },
    { name: 'complete', since: 'noon' },
    { name: 'idle', retryAt: 'soon' },
  ])('is none if it is %j', (value) => {
    expect(unpack(value)).toBeUndefined()
  })

  test('is never a reason to throw', () => {
    fc.assert(
      fc.property(fc.anything({ withNullPrototype: true, withBigInt: true, withDate: true }), (value) => {
        unpack(value)
        unpack({ name: 'failed', error: value })
        unpackMessages(value)
        unpackMessages([value])
      }),
      { numRuns: 2_000, seed: 50 },
    )
  })
})

describe('messages that were told', () => {
  const message = { event: '', data: 'a', id: undefined, lastEventId: '' }

  test('are taken as they are', () => {
    const messages = [message, { ...message, event: 'x', id: '1', lastEventId: '1' }]
    expect(unpackMessages(messages)).toBe(messages)
    expect(unpackMessages([])).toEqual([])
  })

  test.each([
    undefined,
    message,
    { length: 0 },
    [null],
    ['a'],
    [message, { ...message, event: 1 }],
    [{ ...message, data: 1 }, message],
    [{ ...message, lastEventId: undefined }],
  ])('are none if they are %j', (value) => {
    expect(unpackMessages(value)).toBeUndefined()
  })
})

test('a list with holes is none, and is not looked through to its end', () => {
  const endless: unknown[] = []
  endless.length = 2 ** 32 - 1
  for (const list of [new Array(1), endless]) {
    expect(unpackMessages(list)).toBeUndefined()
    expect(isHeaderList(list)).toBe(false)
  }
})

test('headers that were told are pairs of texts', () => {
  expect(isHeaderList([])).toBe(true)
  expect(isHeaderList([['a', 'b']])).toBe(true)
  for (const none of [undefined, {}, 'a', [7], [null], [['a']], [['a', 'b', 'c']], [['a', 1]], [[1, 'a']]])
    expect(isHeaderList(none)).toBe(false)
})

test('a message whose id is no text is none', () => {
  const message = { event: '', data: '1', lastEventId: 'e1' }
  expect(unpackMessages([{ ...message, id: undefined }, { ...message, id: 'e1' }, message])).toHaveLength(3)
  expect(unpackMessages([{ ...message, id: { toString: 1 } }])).toBeUndefined()
})

test('an error that another tab tells of in anything but words is none', () => {
  // A clone may have a `toString` that is no function: to make a text of it would throw.
  for (const message of [{ toString: 1, valueOf: 1 }, ['x'], 7, null, undefined])
    expect(unpackError({ code: 'http', message })).toBeUndefined()
  const details = { status: {}, retryAfter: 'soon', retryable: 'yes', endpoint: 7 }
  expect(unpackError({ code: 'http', message: 'no', ...details })).toMatchObject({
    status: undefined,
    retryAfter: undefined,
    retryable: false,
    endpoint: undefined,
  })
})

test('a cursor that no header can carry is not sent', () => {
  for (const id of ['x'.repeat(4_097), 'x'.repeat(2 ** 20), 'a\nb'])
    expect(streamHeaders(undefined, id).has('last-event-id')).toBe(false)
  expect(streamHeaders(undefined, '€'.repeat(1_000)).get('last-event-id')).toHaveLength(3_000)
})

test('an error from another tab is one of ours, whatever it says of itself', () => {
  const error = unpackError({ ...hostileKeys, code: 'http', message: 'no', status: 500 })
  expect(error).toBeInstanceOf(MillraceError)
  expect(error).toMatchObject({ code: 'http', message: 'no', status: 500 })
  for (const none of [undefined, null, 'http']) expect(unpackError(none)).toBeUndefined()
  const whole = new MillraceError('http', 'no', { retryable: true, status: 503, endpoint: 'GET /a', retryAfter: 5 })
  expect({ ...unpackError(structuredClone(packError(whole))) }).toEqual({ ...whole })
  expect(({} as { isPolluted?: boolean }).isPolluted).toBeUndefined()
})

describe('tabs that hear what no tab of ours says', () => {
  const open = async () => {
    const world = createWorld()
    const journal = createModelledJournal(world, { ids: true, extra: 0 })
    const tabs = []
    for (let n = 0; n < 2; n += 1) {
      const tab = world.open()
      const alerts: Alert[] = []
      const heard: number[] = []
      const states: ChannelState<unknown>[] = []
      const client = await tab.act(() =>
        composeClient(
          { environment: 'test', clock: tab.clock, fetch: journal.fetchOf(tab), backoff: { base: 50, cap: 500 } },
          tab.platform,
        ),
      )
      client.on('alert', (alert) => alerts.push(alert))
      await tab.act(() => {
        client.subscribe(defineChannel({ key: 'stream', stream: 'https://example.com/stream' }), {
          next: ({ data }) => heard.push((data as { n: number }).n),
          state: (state) => states.push(state),
        })
        client.subscribe(defineChannel({ key: 'poll', snapshot: 'https://example.com/poll', interval: 5_000 }), {
          state: (state) => states.push(state),
        })
      })
      await world.clock.advance(2_000)
      tabs.push({ tab, client, alerts, heard, states })
    }
    journal.append(3)
    await world.clock.advance(1_000)
    return { world, journal, tabs }
  }
  let scene: Awaited<ReturnType<typeof open>>
  beforeEach(async () => {
    vi.spyOn(console, 'warn').mockImplementation(() => {})
    scene = await open()
  })
  afterEach(() => {
    vi.restoreAllMocks()
    scene.world.close()
  })

  const picture = () =>
    scene.tabs.map(({ client, heard }) => ({
      heard: [...heard],
      channels: client.stats().channels.map(({ key, status, role }) => ({ key, status, role })),
    }))

  /** Says it on every channel, and expects that all is as it was, and that what comes next arrives. */
  const expectUnmoved = async (...messages: unknown[]) => {
    const before = picture()
    const leader = scene.tabs[0]!.client.stats().channels[0]!.role
    for (const message of messages) {
      scene.world.shout('millrace2', message)
      await scene.world.clock.advance(20)
    }
    expect(picture()).toEqual(before)
    scene.journal.append(2)
    await scene.world.clock.advance(20_000)
    const { last } = scene.journal
    for (const { heard } of scene.tabs) expect(heard).toEqual(Array.from({ length: last }, (_, n) => n + 1))
    expect(scene.tabs[0]!.client.stats().channels[0]!.role).toBe(leader)
    expect(scene.journal.open).toBe(1)
    expect(({} as { isPolluted?: boolean }).isPolluted).toBeUndefined()
  }

  test.each([
    ['nothing', [undefined, null, 0, '', 'hello', true]],
    ['no objects of ours', [[], {}, new Date(), new Map(), new Uint8Array(8), [[[]]]]],
    ['no type, or no sender', [{ type: 1, from: 'x' }, { type: 'hello' }, { from: 'x' }, { type: 'bye', from: {} }]],
    ['an epoch that is none', [NaN, 1.5, '9', null, {}, Infinity].map((e) => ({ type: 'leader', from: 'x', e }))],
    ['names that would change all objects', [{ ...hostileKeys, type: 'status', from: 'x', e: 1 }, hostileKeys]],
  ])('drop %s, and tell it once', async (_, messages) => {
    await expectUnmoved(...messages)
    for (const { alerts } of scene.tabs) for (const { code } of alerts) expect(code).toBe('tab-protocol')
  })

  test('ignore types and fields that they do not know', async () => {
    await expectUnmoved(
      { type: 'telepathy', from: 'x', more: { deep: [1] } },
      { type: 'telepathy', from: 'x', e: 1 },
      { type: 'ping', from: 'x', unknown: 1 },
    )
    for (const { alerts } of scene.tabs) expect(alerts).toEqual([])
  })

  test('ignore epochs from the past and from the future', async () => {
    for (const ahead of [-1e12, -1e9, -10_000_000, 61_000, 1e9, 1e12]) {
      const e = Math.floor(scene.world.clock.now()) + ahead
      await expectUnmoved(
        { type: 'leader', from: 'x', e },
        { type: 'batch', from: 'x', e, n: 0, events: [{ event: '', data: '{"n":99}', lastEventId: 'e99' }] },
        { type: 'status', from: 'x', e, state: { name: 'failed', error: { code: 'http', message: 'no' } } },
        { type: 'welcome', from: 'x', e, n: 0, cursor: 'e99', events: [] },
      )
    }
  })

  test('survive any fields in a message of a known type', async () => {
    const field = fc.anything({ maxDepth: 2 })
    const types = [
      'hello',
      'bye',
      'ping',
      'ask',
      'asking',
      'restart-not',
      'done',
      'left',
      'has-left',
      'invalidate',
      'changed',
      'leader',
    ]
    const message = fc.record(
      {
        type: fc.constantFrom(...types),
        from: fc.string(),
        cursor: field,
        fresh: field,
        interval: field,
        askers: field,
        hidden: field,
        number: field,
        kind: field,
        name: field,
        match: field,
        state: field,
        events: field,
        n: field,
      },
      { requiredKeys: ['type', 'from'] },
    )
    for (const said of fc.sample(message, { numRuns: 300, seed: 51 })) {
      try {
        structuredClone(said)
      } catch {
        continue
      }
      scene.world.shout('millrace2', said)
      await scene.world.clock.advance(10)
    }
    await scene.world.clock.advance(400_000)
    scene.journal.append(2)
    await scene.world.clock.advance(30_000)
    for (const { heard } of scene.tabs) expect(heard).toEqual([1, 2, 3, 4, 5])
  })

  test('survive any fields in a message of their own leader', async () => {
    const field = fc.anything({ maxDepth: 2 })
    const types = ['welcome', 'batch', 'status', 'body', 'trouble', 'asking', 'done', 'pong', 'leader']
    const names = [
      'n',
      'cursor',
      'events',
      'given',
      'state',
      'last',
      'value',
      'headers',
      'error',
      'number',
      'age',
      'resumed',
    ]
    const message = fc.record(
      { type: fc.constantFrom(...types), ...Object.fromEntries(names.map((name) => [name, field])) },
      { requiredKeys: ['type'] },
    )
    for (const said of fc.sample(message, { numRuns: 300, seed: 52 })) {
      const whole = { ...said, from: 'zzz', e: scene.world.clock.now() - 1_500 }
      try {
        structuredClone(whole)
      } catch {
        continue
      }
      scene.world.shout('millrace2', whole)
      await scene.world.clock.advance(10)
    }
    await scene.world.clock.advance(400_000)
    scene.journal.append(2)
    await scene.world.clock.advance(30_000)
    for (const { heard } of scene.tabs) expect(heard.slice(-2)).toEqual([4, 5])
    expect(scene.journal.open).toBe(1)
  })

  test('resume from no id that is not a text', async () => {
    const e = scene.world.clock.now() - 1_500
    scene.world.shout('millrace2', {
      ...{ type: 'welcome', from: 'zzz', e, n: 3 },
      ...{ cursor: 'e3', since: 'e3', events: [], state: { name: 'open' } },
    })
    const event = { event: '', data: '{"n":4}', lastEventId: 'e4' }
    for (const cursor of [7, ['e1'], {}])
      scene.world.shout('millrace2', { type: 'batch', from: 'zzz', e, n: 3, events: [event], cursor })
    await scene.world.clock.advance(100)
    scene.tabs[0]!.tab.crash()
    await scene.world.clock.advance(1_000)
    const streams = scene.journal.requests.filter(({ path }) => path === '/stream')
    expect(streams.length).toBeGreaterThan(1)
    for (const { lastEventId } of streams.slice(1)) expect(lastEventId).toMatch(/^e\d+$/)
  })

  test('tell once of a word about sign-out, invalidation or the cache that is none', async () => {
    await expectUnmoved(
      { type: 'answer', answer: { key: 'k', url: 'u', headers: [['a b', 'c']], bytes: 1, at: 1 } },
      { type: 'answer', answer: { key: 'k', url: 'u', headers: [], bytes: -1e15, at: 1 } },
      { type: 'answer', answer: { key: 'k', url: 'u', headers: [], bytes: 1, at: Number.NaN } },
      { type: 'invalidate', match: 7 },
    )
    for (const { client } of scene.tabs) expect(client.stats().memory).toBeGreaterThanOrEqual(0)
    for (const { alerts } of scene.tabs) expect(alerts.map(({ code }) => code)).toEqual(['tab-protocol'])
  })

  test('are not stopped by a body that contains itself a thousand times', async () => {
    type Knot = { left?: Knot; right?: Knot }
    const knot: Knot = {}
    knot.left = knot
    knot.right = knot
    let lattice: Knot = {}
    for (let n = 0; n < 60; n += 1) lattice = { left: lattice, right: lattice }
    for (const value of [knot, knot, lattice, lattice])
      scene.world.shout('millrace2 snapshot', {
        type: 'body',
        from: 'zzz',
        e: scene.world.clock.now() - 1_500,
        value,
        headers: [],
      })
    await scene.world.clock.advance(100)
    for (const value of [knot, knot, lattice, lattice])
      scene.world.shout('millrace2 control', {
        type: 'answer',
        answer: { key: 'k', url: 'u', headers: [], bytes: 1, at: scene.world.clock.now() - 100, value },
      })
    await scene.world.clock.advance(100)
    expect(scene.tabs.map(({ client }) => client.stats().channels.length)).toEqual([2, 2])
  })

  test('remember no more tabs than there can be', async () => {
    const before = await settledHeap()
    for (let n = 0; n < 5_000; n += 1) {
      const from = `${n}`.padEnd(500, 'x')
      scene.world.shout('millrace2', { type: 'hello', from, cursor: '' })
      if (n % 100 === 0) await scene.world.clock.advance(10)
    }
    await scene.world.clock.advance(10)
    // Each name is 500 bytes, and there are two sources that are asked.
    expect((await settledHeap()) - before).toBeLessThan(1_500_000)
  })

  test('are not stopped, nor replaced, by what is no number, no list and no name', async () => {
    const { world, journal } = scene
    const forger = world.open()
    const ends = [...new Set(world.channels())].map((name) => {
      const end = { channel: forger.platform.open(name), leader: {}, kind: name.split(' ')[1] }
      end.channel.onmessage = ({ data }) => {
        const { from, e } = data as { from?: string; e?: number }
        if (e) end.leader = { from, e }
      }
      return end
    })
    journal.append(1)
    await world.clock.advance(6_000)
    const endless: unknown[] = []
    endless.length = 2 ** 32 - 1
    let tower: unknown = 'x'
    for (let n = 0; n < 30; n += 1) tower = [tower, tower]
    const odd = [new Array(1), endless, tower, new Date(), '99999999', { toString: 1, valueOf: 1 }]
    const state = { name: 'idle', failures: 0 }
    const said = {
      stream: (odd: unknown) => [
        { type: 'batch', n: 4, events: odd, cursor: 'e4', restart: false },
        { type: 'batch', n: 4, events: [], cursor: 'e4', restart: odd },
        { type: 'welcome', n: 4, cursor: 'e4', since: 'e4', events: odd, state: { name: 'open' } },
        { type: 'pong', n: 4, cursor: 'e4', name: 'open', age: odd },
      ],
      snapshot: (odd: unknown) => [
        { type: 'body', value: 'forged', headers: odd },
        { type: 'welcome', state, last: { value: 'forged', headers: odd, at: world.clock.now() } },
        { type: 'welcome', state, last: { value: 'forged', headers: [], at: odd } },
      ],
      control: (match: unknown) => [{ type: 'invalidate', match }],
    }
    // As their leader, so far as a follower can tell.
    for (const value of odd)
      for (const { channel, leader, kind } of ends)
        for (const fields of said[kind as keyof typeof said](value)) channel.postMessage({ ...fields, ...leader })
    await world.clock.advance(100)
    for (const { states } of scene.tabs) expect(states.map(({ data }) => data)).not.toContain('forged')
    await expectUnmoved()
    for (const { alerts } of scene.tabs) for (const { code } of alerts) expect(code).toBe('tab-protocol')
  })

  test('take huge arrays for what they are', async () => {
    const events = Array.from({ length: 100_000 }, () => 'none')
    await expectUnmoved(
      { type: 'batch', from: 'x', e: 5, n: 0, events },
      { type: 'hello', from: 'x', cursor: 'e1', fresh: events },
      { type: 'ask', from: 'x', every: -1, maxAge: 1e300 },
    )
  })
})

test('what cannot be cloned is told, and the tab goes on', async () => {
  vi.spyOn(console, 'warn').mockImplementation(() => {})
  const world = createWorld()
  const journal = createModelledJournal(world, { ids: true, extra: 0 })
  const tab = world.open()
  const open = tab.platform.open.bind(tab.platform)
  Object.assign(tab.platform, {
    open: (name: string) =>
      Object.assign(open(name), {
        postMessage() {
          throw new DOMException('() => {} could not be cloned.', 'DataCloneError')
        },
      }),
  })
  const alerts: Alert[] = []
  const heard: unknown[] = []
  const client = composeClient({ environment: 'test', clock: tab.clock, fetch: journal.fetchOf(tab) }, tab.platform)
  client.on('alert', (alert) => alerts.push(alert))
  await tab.act(() => client.subscribe('https://example.com/stream', ({ data }) => heard.push(data)))
  await world.clock.advance(1_000)
  journal.append(1)
  await world.clock.advance(1_000)
  expect(heard).toEqual([{ n: 1 }])
  expect(alerts).toEqual([
    expect.objectContaining({ code: 'tab-protocol', message: expect.stringContaining('could not be cloned') }),
  ])
  client.close()
  world.close()
  vi.restoreAllMocks()
})
