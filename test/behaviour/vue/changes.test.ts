import './app'
import { type Channel, defineChannel, type MillraceError, type StreamEvent } from 'millrace'
import { useChannel } from 'millrace/vue'
import { afterEach, describe, expect, test } from 'vitest'
import { defineComponent, h, nextTick, ref, watch } from 'vue'
import { closeServers } from '../../support/http-server'
import { until } from '../../support/until'
import { status as answer, block, closeClients, json, startClient, startFeed, startStill } from '../channels/watch'
import { mount, unmountAll } from './app'

afterEach(unmountAll)
afterEach(closeClients)
afterEach(closeServers)

/** Rooms of one hub: many channels, one source. */
const room = (stream: string, name: string): Channel<string[], StreamEvent<string, string>> =>
  defineChannel<string[], StreamEvent<string, string>>({
    key: ['room', name],
    stream,
    // Nothing outlives its last subscriber for longer than a task.
    grace: 0,
    initial: [],
    normalize: ({ event, data }) => (event === name ? { type: event, data } : undefined),
    reduce: (said, { data }) => [...said, data],
  })

describe('a key that changes', () => {
  test('moves to the other channel without a gap in the source that both share', async () => {
    const feed = await startFeed()
    const { client } = startClient()
    const name = ref('hall')
    const seen: string[] = []
    const Root = defineComponent(() => {
      const { data, status } = useChannel(() => room(feed.streamUrl, name.value))
      watch([name, status, data], () => seen.push(`${name.value} ${status.value} ${data.value?.join() ?? ''}`.trim()))
      return () => h('p', `${name.value}: ${data.value?.join()}`)
    })
    const shown = mount(Root, client)
    await until(() => feed.open === 1)
    feed.write(block('hello', { event: 'hall' }))
    await until(() => shown.text === 'hall: hello')

    for (let n = 0; n < 50; n += 1) {
      name.value = n % 2 ? 'hall' : 'yard'
      await nextTick()
    }
    name.value = 'yard'
    // In one tick, and never anything of the other room under the name of this one.
    await nextTick()
    expect(shown.text).toBe('yard: ')
    feed.write(block('here', { event: 'yard' }))
    await until(() => shown.text === 'yard: here')
    expect(feed.streamRequests).toHaveLength(1)
    expect(feed.open).toBe(1)
    expect(client.stats().subscriptions.active).toBe(1)
    expect(seen.filter((line) => line.includes('yard') && line.includes('hello'))).toEqual([])
    expect(seen.filter((line) => line.includes('reconnecting') || line.includes('idle'))).toEqual([])
  })

  test('moves once for all that changed by the end of the tick', async () => {
    const feed = await startFeed()
    const { client } = startClient()
    const path = ref('/a')
    const mode = ref('1')
    const Root = defineComponent(() => {
      const { status } = useChannel(() =>
        defineChannel({
          key: 'k'.concat(path.value, mode.value),
          stream: feed.server.url(`${path.value}?${mode.value}`),
        }),
      )
      return () => h('p', status.value)
    })
    const shown = mount(Root, client)
    await until(() => shown.text === 'live')
    path.value = '/b'
    mode.value = '2'
    await until(() => feed.streamRequests.length === 2 && shown.text === 'live')
    expect(feed.streamRequests.map(({ url }) => url)).toEqual(['/a?1', '/b?2'])
  })

  test('to nothing leaves the channel, and back joins it, with what it knew', async () => {
    const feed = await startFeed()
    const { client } = startClient()
    const name = ref<string | undefined>()
    const Root = defineComponent(() => {
      const { data, status, refresh } = useChannel(() => name.value && room(feed.streamUrl, name.value))
      return () => h('p', { onClick: refresh }, `${status.value} ${data.value}`)
    })
    const shown = mount(Root, client)
    expect(shown.text).toBe('idle undefined')
    // Nothing to refresh.
    shown.element.querySelector('p')!.click()
    expect(client.stats().channels).toEqual([])
    name.value = 'hall'
    await until(() => shown.text === 'live ')
    feed.write(block('hello', { event: 'hall' }))
    await until(() => shown.text === 'live hello')
    name.value = undefined
    await until(() => feed.open === 0)
    expect(shown.text).toBe('idle undefined')
    expect(client.stats().channels).toEqual([])
    name.value = 'hall'
    await nextTick()
    expect(shown.text).toBe('connecting hello')
    await until(() => shown.text === 'live hello')
    expect(shown.errors).toEqual([])
  })
})

describe('options that change', () => {
  test('`enabled` leaves and joins, and what is known is shown meanwhile', async () => {
    const feed = await startFeed()
    const { client } = startClient()
    const enabled = ref(false)
    const Root = defineComponent(() => {
      const { data, status, isStale } = useChannel(room(feed.streamUrl, 'hall'), () => ({ enabled: enabled.value }))
      return () => h('p', `${status.value} ${data.value} ${isStale.value}`)
    })
    const shown = mount(Root, client)
    expect(shown.text).toBe('idle  false')
    expect(feed.streamRequests).toEqual([])
    enabled.value = true
    await until(() => shown.text === 'live  false')
    feed.write(block('hello', { event: 'hall' }))
    await until(() => shown.text.startsWith('live hello'))
    enabled.value = false
    await until(() => feed.open === 0)
    expect(shown.text).toBe('idle hello true')
  })

  test('`enabled` off and on again within the grace reconnects nothing', async () => {
    const feed = await startFeed()
    const { client } = startClient()
    const enabled = ref(true)
    const Root = defineComponent(() => {
      const { status } = useChannel(defineChannel({ key: 'k', stream: feed.streamUrl }), () => ({
        enabled: enabled.value,
      }))
      return () => h('p', status.value)
    })
    const shown = mount(Root, client)
    await until(() => shown.text === 'live')
    enabled.value = false
    await nextTick()
    expect(shown.text).toBe('idle')
    enabled.value = true
    await nextTick()
    expect(shown.text).toBe('live')
    expect(feed.streamRequests).toHaveLength(1)
  })

  test('`interval` changes the pace of the polls, and asks for nothing by itself', async () => {
    const feed = await startFeed(json('body'))
    const { client, clock } = startStill()
    const interval = ref(10_000)
    const channel = defineChannel({ key: 'k', snapshot: feed.snapshotUrl, interval: 60_000 })
    const Root = defineComponent(() => {
      const { data } = useChannel(channel, () => ({ interval: interval.value }))
      return () => h('p', `${data.value}`)
    })
    const shown = mount(Root, client)
    const polls = async (count: number) => {
      await until(async () => {
        await clock.advance(0)
        return shown.text === 'body' && feed.snapshotRequests.length === count
      })
    }
    await polls(1)
    for (let n = 0; n < 20; n += 1) {
      interval.value = 20_000 + n
      await nextTick()
    }
    await clock.advance(11_500)
    await polls(1)
    interval.value = 1_000
    await nextTick()
    await polls(2)
    await clock.advance(1_200)
    await polls(3)
  })
})

describe('a channel that fails for good', () => {
  test('is told of by `onError`, once and by the latest, and starts again with `refresh`', async () => {
    const feed = await startFeed()
    feed.stream(answer(404))
    const { client } = startClient()
    const told: [number, MillraceError][] = []
    const n = ref(0)
    let again = async () => {}
    const Root = defineComponent(() => {
      const { status, error, refresh } = useChannel(defineChannel({ key: 'k', stream: feed.streamUrl }), () => {
        const now = n.value
        return { onError: (error) => told.push([now, error]) }
      })
      again = refresh
      return () => h('p', `${status.value} ${error.value?.status}`)
    })
    const shown = mount(Root, client)
    n.value = 7
    await until(() => shown.text === 'failed 404')
    expect(told.map(([by, { code }]) => [by, code])).toEqual([[7, 'http']])
    feed.stream()
    await again()
    await until(() => shown.text === 'live undefined')
    expect(feed.streamRequests).toHaveLength(2)
  })

  test('and one that is refused is shown as failed, and reported', async () => {
    const { client } = startClient()
    const feed = await startFeed()
    const key = ref('k')
    const Root = defineComponent(() => {
      const { status, error } = useChannel(() => defineChannel({ key: key.value, stream: feed.streamUrl }))
      return () => h('p', `${status.value} ${error.value?.code}`)
    })
    client.subscribe(defineChannel({ key: 'k', stream: feed.streamUrl }), {}, { exclusive: true })
    const shown = mount(Root, client)
    expect(shown.text).toBe('failed rejected')
    expect(shown.errors).toEqual([])
    key.value = 'another'
    await until(() => shown.text === 'live undefined')
    key.value = 'k'
    await until(() => shown.text === 'failed rejected')
    expect(client.stats().subscriptions.active).toBe(1)
    client.close()
    const late = mount(Root, client)
    expect(late.text).toBe('failed closed')
  })
})
