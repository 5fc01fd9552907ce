import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createReplayFilter } from '../../src/sources/replay-filter'
import type { Message } from '../../src/stream/messages'

const message = (id: number | string, data = `data of ${id}`, event = ''): Message => ({
  event,
  data,
  id: String(id),
  lastEventId: String(id),
})
const range = (from: number, to: number): Message[] =>
  Array.from({ length: Math.max(0, to - from + 1) }, (_, n) => message(from + n))
const idsOf = (messages: readonly Message[]): string[] => messages.map(({ lastEventId }) => lastEventId)

function makeFilter() {
  let bytes = 0
  let time = 0
  const filter = createReplayFilter(
    (more) => {
      bytes += more
    },
    () => time,
  )
  const wait = (ms: number) => {
    time += ms
  }
  return { filter, bytes: () => bytes, wait }
}

describe('a replay filter', () => {
  test('lets everything through while no replay is expected, repeated ids too', () => {
    const { filter } = makeFilter()
    const messages = [message(1), message(1), message(2), message(1)]
    expect(filter.sift(messages)).toMatchObject({ fresh: messages, restarted: false })
  })

  test('drops after a reconnect what is known, up to the first that is not', () => {
    const { filter } = makeFilter()
    filter.sift(range(1, 5))
    filter.expectReplay()
    expect(idsOf(filter.sift(range(3, 4)).fresh)).toEqual([])
    expect(idsOf(filter.sift(range(5, 7)).fresh)).toEqual(['6', '7'])
    // From there on nothing is dropped.
    expect(idsOf(filter.sift([message(3)]).fresh)).toEqual(['3'])
  })

  test('drops what stands before a known message, though it is from before its time', () => {
    const { filter } = makeFilter()
    filter.sift(range(10, 12))
    filter.expectReplay()
    expect(idsOf(filter.sift(range(1, 14)).fresh)).toEqual(['13', '14'])
  })

  test('knows a message by id, type and data', () => {
    const { filter } = makeFilter()
    filter.sift([message(1, 'a', 'x'), message(1, 'a', 'y'), message(1, 'b', 'x')])
    filter.expectReplay()
    expect(filter.sift([message(1, 'a', 'y'), message(1, 'b', 'x')]).fresh).toEqual([])
    const other = [message(1, 'a', 'z')]
    expect(filter.sift(other)).toMatchObject({ fresh: other, restarted: true })
  })

  test('says that the server began anew when a known id comes with other data', () => {
    const { filter } = makeFilter()
    filter.sift(range(1, 5))
    filter.expectReplay()
    const anew = [message(1, 'another'), message(2, 'story')]
    expect(filter.sift(anew)).toMatchObject({ fresh: anew, restarted: true })
    filter.expectReplay()
    expect(filter.sift(range(3, 5))).toMatchObject({ fresh: range(3, 5), restarted: false })
  })

  test('takes a message without an id of its own for new, not for a new beginning', () => {
    const { filter } = makeFilter()
    filter.sift(range(1, 2))
    filter.expectReplay()
    const late: Message = { event: '', data: 'without', id: undefined, lastEventId: '2' }
    expect(filter.sift([late])).toMatchObject({ fresh: [late], restarted: false })
  })

  test('remembers nothing of a stream without ids', () => {
    const { filter, bytes } = makeFilter()
    const bare: Message = { event: '', data: 'bare', id: undefined, lastEventId: '' }
    filter.sift([bare, bare])
    filter.expectReplay()
    expect(filter.sift([bare]).fresh).toEqual([bare])
    expect(bytes()).toBe(0)
  })

  test('answers what came after an id, if it knows the id', () => {
    const { filter } = makeFilter()
    filter.sift(range(1, 5))
    expect(idsOf(filter.since('3')!)).toEqual(['4', '5'])
    expect(filter.since('5')).toEqual([])
    expect(filter.since('9')).toBeUndefined()
  })

  test('remembers 1,024 messages, and gives back the bytes of those it forgets', () => {
    const { filter, bytes } = makeFilter()
    for (let n = 0; n < 40; n += 1) filter.sift(range(n * 100 + 1, n * 100 + 100))
    expect(filter.since('2977')).toHaveLength(1_023)
    expect(filter.since('2976')).toBeUndefined()
    const held = range(2_977, 4_000).reduce(
      (sum, { event, data, lastEventId }) => sum + 2 * (event.length + data.length + lastEventId.length),
      0,
    )
    expect(bytes()).toBeGreaterThanOrEqual(held)
    // Of the others two numbers each.
    expect(bytes()).toBeLessThanOrEqual(held + 16 * 2_976)
    filter.clear()
    expect(bytes()).toBe(0)
  })

  test('remembers at most 8 MB, however few messages that is', () => {
    const { filter, bytes } = makeFilter()
    // Its id counts too.
    const large = 'x'.repeat(2 ** 20 - 2)
    for (let n = 1; n <= 20; n += 1) filter.sift([message(n, large)])
    expect(bytes()).toBeLessThanOrEqual(8 * 2 ** 20 + 16 * 20)
    expect(filter.since('20')).toEqual([])
    expect(filter.since('17')).toHaveLength(3)
    expect(filter.since('16')).toBeUndefined()
  })

  test('forgets for a few large messages as many small ones as it must, and none of the large', () => {
    const { filter } = makeFilter()
    filter.sift(range(1, 1_024))
    const large = Array.from({ length: 5 }, (_, n) => message(2_000 + n, 'x'.repeat(2 ** 20 - 4)))
    filter.sift(large)
    expect(filter.since('1024')).toBeUndefined()
    expect(filter.since('2001')).toEqual(large.slice(2))
  })

  test('hands out each message once and in order, wherever connections break and replays begin', () => {
    const connection = fc.record({
      known: fc.nat(1_000),
      extra: fc.nat(40),
      lasts: fc.nat(60),
      chunk: fc.integer({ min: 1, max: 20 }),
    })
    fc.assert(
      fc.property(fc.array(connection, { minLength: 1, maxLength: 12 }), (connections) => {
        const { filter } = makeFilter()
        const received: string[] = []
        let last = 0
        for (const { extra, lasts, chunk } of connections) {
          // The server sends again up to 40 that are known, then goes on.
          const sent = range(Math.max(1, last - extra + 1), last + lasts)
          filter.expectReplay()
          for (let at = 0; at < sent.length; at += chunk)
            received.push(...idsOf(filter.sift(sent.slice(at, at + chunk)).fresh))
          last += lasts
        }
        expect(received).toEqual(idsOf(range(1, last)))
      }),
      { seed: 1, numRuns: 300 },
    )
  })

  test('takes a message without an id of its own for news, whatever stands before and after it', () => {
    const { filter } = makeFilter()
    const signal = (after: string): Message => ({ event: 'look', data: '', id: undefined, lastEventId: after })
    filter.sift([message(1), signal('1'), message(2), signal('2')])
    filter.expectReplay()
    expect(filter.sift([signal('2'), message(1), signal('1'), message(2), signal('2'), message(3)]).fresh).toEqual([
      signal('2'),
      signal('1'),
      signal('2'),
      message(3),
    ])
  })

  test('drops what is longer ago than the messages that it remembers', () => {
    const { filter } = makeFilter()
    filter.sift(range(1, 20_000))
    filter.expectReplay()
    const received: Message[] = []
    for (let at = 0; at < 20_010; at += 7) received.push(...filter.sift(range(at + 1, Math.min(at + 7, 20_010))).fresh)
    expect(idsOf(received)).toEqual(idsOf(range(20_001, 20_010)))
  })

  test('knows the beginning of another story by its data, however long ago that id was', () => {
    const { filter } = makeFilter()
    filter.sift(range(1, 20_000))
    filter.expectReplay()
    const anew = [message(1, 'another'), message(2, 'story')]
    expect(filter.sift(anew)).toMatchObject({ fresh: anew, restarted: true })
  })

  test('tells of what was sent again that even its numbers do not know', () => {
    const { filter } = makeFilter()
    const all = 40_000
    for (let at = 0; at < all; at += 1_000) filter.sift(range(at + 1, at + 1_000))
    filter.expectReplay()
    let doubled = 0
    const received: string[] = []
    for (let at = 0; at < all + 100; at += 100) {
      const sifted = filter.sift(range(at + 1, at + 100))
      if (sifted.doubled) doubled += 1
      received.push(...idsOf(sifted.fresh))
    }
    expect(doubled).toBe(1)
    expect(received.slice(-100)).toEqual(idsOf(range(all + 1, all + 100)))
    expect(received.length).toBeLessThan(all / 2)
  })

  test('takes no repetition of the same few ids after news for a replay', () => {
    const { filter } = makeFilter()
    const beat = message('beat', 'same')
    filter.sift([message(1), beat, beat, beat, message('a', 'on'), message('b', 'on')])
    filter.expectReplay()
    const live = [message(2), ...Array.from({ length: 30 }, () => beat)]
    expect(filter.sift(live)).toMatchObject({ fresh: live, restarted: false })
    const again = [message('a', 'on'), message('b', 'on'), beat]
    expect(filter.sift(again)).toMatchObject({ fresh: again, restarted: false })
  })

  test('says once that ids stay while their data is stamped anew, and then goes by the ids', () => {
    const { filter, wait } = makeFilter()
    const stamped = (from: number, to: number, time: string) =>
      range(from, to).map((each) => ({ ...each, data: `${each.data} at ${time}` }))
    filter.sift(stamped(1, 5, '9:00'))
    filter.expectReplay()
    expect(filter.sift(stamped(3, 6, '9:01')).restarted).toBe(true)
    for (const time of ['9:02', '9:03']) {
      wait(60_000)
      filter.expectReplay()
      expect(filter.sift(stamped(4, 5, time))).toMatchObject({ fresh: [], restarted: false })
      expect(filter.sift(stamped(6, 6, time))).toMatchObject({ fresh: [], restarted: false })
    }
    const news = stamped(7, 8, '9:04')
    expect(filter.sift(news)).toMatchObject({ fresh: news, restarted: false })
  })

  test('says each time that a server began anew whose ids do not come to where they were', () => {
    const { filter, wait } = makeFilter()
    filter.sift(range(1, 50))
    for (const story of ['another', 'a third']) {
      filter.expectReplay()
      const anew = [message(1, story), message(2, story)]
      expect(filter.sift(anew)).toMatchObject({ fresh: anew, restarted: true })
      wait(10_000)
      for (let n = 3; n <= 50; n += 1) filter.sift([message(n, story)])
    }
  })
})
