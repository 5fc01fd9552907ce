import './app'
import { type Channel, defineChannel, type StreamEvent } from 'millrace'
import { useChannel } from 'millrace/vue'
import { afterEach, describe, expect, test } from 'vitest'
import { defineComponent, h, isReadonly, nextTick, onUpdated, ref, shallowRef } from 'vue'
import { closeServers } from '../../support/http-server'
import { until } from '../../support/until'
import { block, closeClients, json, startClient, startFeed, startStill } from '../channels/watch'
import { mount, turns, unmountAll } from './app'

afterEach(unmountAll)
afterEach(closeClients)
afterEach(closeServers)

interface Quote {
  symbol: string
  last: number
}
const quotes = (stream: string): Channel<Record<string, number>, StreamEvent<string, Quote>> =>
  defineChannel<Record<string, number>, StreamEvent<string, Quote>>({
    key: ['quotes'],
    stream,
    initial: {},
    reduce: (all, { data: { symbol, last } }) => ({ ...all, [symbol]: last }),
  })

describe('1,000 renders', () => {
  test('with a channel, options and callbacks built anew cost no request and no subscription', async () => {
    const feed = await startFeed()
    const { client } = startClient()
    const heard: number[] = []
    const n = ref(0)
    const Root = defineComponent(() => {
      const { data } = useChannel(
        () => {
          void n.value
          return quotes(feed.streamUrl)
        },
        () => {
          const now = n.value
          return { select: (all) => (all.RYE ?? 0) + now, onEvent: () => heard.push(now), label: 'rye' }
        },
      )
      return () => h('p', `${n.value}: ${data.value}`)
    })
    const shown = mount(Root, client)
    await until(() => feed.open === 1)
    await turns(1_000, () => {
      n.value += 1
    })
    expect(shown.text).toBe('1000: 1000')
    feed.write(block({ symbol: 'RYE', last: 5 }))
    await until(() => shown.text === '1000: 1005')
    // The callbacks are the latest, though nobody subscribed again.
    expect(heard).toEqual([1_000])
    expect(client.stats().subscriptions).toMatchObject({ active: 2, total: 2 })
    expect(client.stats().requests.sent).toBe(1)
    expect(feed.streamRequests).toHaveLength(1)
    expect(shown.errors).toEqual([])
  })

  test('of a parent, and 1,000 mounts and unmounts of a child, are one connection', async () => {
    const feed = await startFeed()
    const { client, codes } = startClient()
    const Child = defineComponent(() => {
      const { status } = useChannel(quotes(feed.streamUrl))
      return () => h('p', status.value)
    })
    const n = ref(0)
    mount(() => h(Child, { key: n.value }), client)
    await until(() => feed.open === 1)
    await turns(1_000, () => {
      n.value += 1
    })
    expect(client.stats().subscriptions).toMatchObject({ active: 1, total: 1_001 })
    expect(feed.streamRequests).toHaveLength(1)
    expect(codes).toEqual([])
  })
})

describe('a component renders', () => {
  test('only when a part that it reads has changed, or what it selected', async () => {
    const feed = await startFeed()
    const { client } = startClient()
    const renders = { status: 0, selected: 0, close: 0, whole: 0 }
    const channel = quotes(feed.streamUrl)
    const component = (name: keyof typeof renders, setup: () => () => unknown) =>
      defineComponent(() => {
        const render = setup()
        onUpdated(() => {
          renders[name] += 1
        })
        return () => h('p', `${name} ${render()};`)
      })
    const Status = component('status', () => {
      const { status } = useChannel(channel)
      return () => status.value
    })
    const Selected = component('selected', () => {
      // A new array each time, which is the same for its reader.
      const { data } = useChannel(channel, {
        select: (all) => [all.OATS],
        isEqual: ([a], [b]) => a === b,
      })
      return () => data.value
    })
    const Close = component('close', () => {
      const { data } = useChannel(channel, { select: (all) => Object.keys(all).length })
      return () => data.value
    })
    const Whole = component('whole', () => {
      const { data } = useChannel(channel)
      return () => JSON.stringify(data.value)
    })
    const shown = mount(() => [h(Status), h(Selected), h(Close), h(Whole)], client)
    await until(() => shown.text.startsWith('status live'))
    feed.write(block({ symbol: 'OATS', last: 1 }))
    await until(() => shown.text.includes('whole {"OATS":1}'))
    expect(shown.text).toBe('status live;selected 1;close 1;whole {"OATS":1};')
    const before = { ...renders }

    for (const last of [2, 3, 4]) {
      feed.write(block({ symbol: 'RYE', last }))
      await until(() => shown.text.includes(`"RYE":${last}`))
    }
    expect(shown.text).toContain('selected 1;close 2;')
    expect(renders).toEqual({ ...before, close: before.close + 1, whole: before.whole + 3 })
  })

  test('once a frame, while `onEvent` hears each event as it comes', async () => {
    const feed = await startFeed()
    const { client, clock } = startStill()
    const heard: number[] = []
    const component = (onEvent?: (event: StreamEvent<string, Quote>) => void) =>
      defineComponent(() => {
        const { data } = useChannel(quotes(feed.streamUrl), onEvent ? { onEvent } : {})
        return () => h('p', `${data.value?.RYE};`)
      })
    const Frames = component()
    const Events = component(({ data }) => heard.push(data.last))
    const shown = mount(() => [h(Frames), h(Events)], client)
    await until(() => feed.open === 1)
    feed.write(block({ symbol: 'RYE', last: 1 }))
    await until(() => heard.length === 1)
    await nextTick()
    expect(shown.text).toBe('undefined;undefined;')
    await clock.advance(16)
    await nextTick()
    expect(shown.text).toBe('1;1;')
  })

  test('once a frame, however many events come', async () => {
    const feed = await startFeed()
    const { client } = startClient()
    let renders = 0
    const Root = defineComponent(() => {
      const { data } = useChannel(quotes(feed.streamUrl))
      return () => {
        renders += 1
        return h('p', `${data.value?.RYE}`)
      }
    })
    const shown = mount(Root, client)
    await until(() => feed.open === 1)
    const before = renders
    feed.write(Array.from({ length: 5_000 }, (_, n) => block({ symbol: 'RYE', last: n })).join(''))
    await until(() => shown.text === '4999')
    // It comes in some chunks, over some frames.
    expect(renders - before).toBeLessThan(60)
  })
})

describe('what is returned', () => {
  test('follows what `select` reads besides the data', async () => {
    const feed = await startFeed(json(['oats', 'rye']))
    const { client } = startClient()
    const channel = defineChannel<string[]>({ key: 'grains', snapshot: feed.snapshotUrl })
    const start = ref('o')
    const Root = defineComponent(() => {
      const { data } = useChannel(channel, { select: (all) => all.filter((grain) => grain.startsWith(start.value)) })
      return () => h('p', data.value?.join())
    })
    const shown = mount(Root, client)
    await until(() => shown.text === 'oats')
    start.value = 'r'
    await nextTick()
    expect(shown.text).toBe('rye')
    expect(feed.snapshotRequests).toHaveLength(1)
  })

  test('is there from the first render on, where another component had it before', async () => {
    const feed = await startFeed(json(['oats']))
    const { client } = startClient()
    const channel = defineChannel<string[]>({ key: 'grains', snapshot: feed.snapshotUrl })
    const seen: unknown[] = []
    const One = defineComponent(() => {
      const { data, status } = useChannel(channel)
      return () => {
        seen.push([status.value, data.value?.[0]])
        return h('p', data.value?.join())
      }
    })
    const both = ref(false)
    const shown = mount(() => [h(One), both.value && h(One)], client)
    await until(() => shown.text === 'oats')
    seen.length = 0
    both.value = true
    await nextTick()
    expect(seen).toEqual([['polling', 'oats']])
  })

  test('is for reading, and the data are as they came', async () => {
    const feed = await startFeed(json([{ deep: { n: 1 } }]))
    const { client } = startClient()
    const channel = shallowRef(defineChannel<{ deep: { n: number } }[]>({ key: 'k', snapshot: feed.snapshotUrl }))
    const seen: unknown[] = []
    const Root = defineComponent(() => {
      const { data } = useChannel(channel)
      return () => {
        seen.push(data.value)
        return h('p', JSON.stringify(data.value))
      }
    })
    const shown = mount(Root, client)
    await until(() => shown.text !== '')
    expect(seen.at(-1)).toBe(client.getState(channel.value).data)
    expect(isReadonly(seen.at(-1))).toBe(false)
  })
})
