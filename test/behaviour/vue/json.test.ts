import './app'
import { useJson } from 'millrace/vue'
import { afterEach, describe, expect, test } from 'vitest'
import { defineComponent, h, KeepAlive, nextTick, ref } from 'vue'
import { z } from 'zod'
import type { Handler } from '../../support/http-server'
import { closeServers, startServer } from '../../support/http-server'
import { until } from '../../support/until'
import { status as answer, closeClients, held, json, startClient, startStill } from '../channels/watch'
import { mount, unmountAll } from './app'

afterEach(unmountAll)
afterEach(closeClients)
afterEach(closeServers)

/** Answers with the path that was asked for, and how often something was. */
const echo =
  (requests: () => number): Handler =>
  (request, response, raw) =>
    json({ path: request.url, n: requests() })(request, response, raw)

async function startEcho() {
  const server = await startServer((...args) => echo(() => server.requests.length)(...args))
  return server
}

type Body = { path: string; n: number }

describe('a URL that is asked for once', () => {
  test('is one request for all components, and cached for those who come soon after', async () => {
    const server = await startEcho()
    const { client } = startClient()
    const One = defineComponent(() => {
      const { data, status } = useJson<Body>(server.url('/users'), { ttl: 60_000 })
      return () => h('p', `${status.value} ${data.value?.n};`)
    })
    const n = ref(0)
    const shown = mount(() => Array.from({ length: 20 }, (_, at) => h(One, { key: `${n.value} ${at}` })), client)
    expect(shown.text).toBe('connecting undefined;'.repeat(20))
    await until(() => shown.text === 'complete 1;'.repeat(20))
    for (let renders = 0; renders < 50; renders += 1) {
      n.value += 1
      await nextTick()
    }
    await until(() => shown.text === 'complete 1;'.repeat(20))
    expect(server.requests).toHaveLength(1)
    expect(shown.errors).toEqual([])
  })

  test('may change: the answer of the one before is never shown', async () => {
    const server = await startEcho()
    const { client } = startClient()
    const path = ref<string | null>(null)
    const seen: string[] = []
    const Root = defineComponent(() => {
      const { data, status } = useJson<Body>(() => path.value && new URL(path.value, server.origin))
      return () => {
        seen.push(`${path.value} ${status.value} ${data.value?.path}`)
        return h('p', seen.at(-1))
      }
    })
    const shown = mount(Root, client)
    expect(shown.text).toBe('null idle undefined')
    for (const next of ['/a', '/b', '/c', '/d']) {
      path.value = next
      await nextTick()
    }
    await until(() => shown.text === '/d complete /d')
    path.value = '/a'
    await until(() => shown.text === '/a complete /a')
    const { asked } = client.stats().requests
    path.value = null
    await nextTick()
    expect(shown.text).toBe('null idle undefined')
    expect(client.stats().requests.asked).toBe(asked)
    expect(seen.filter((line) => !/^(\S+) (idle undefined|connecting undefined|complete \1)$/.test(line))).toEqual([])
  })

  test('goes by the coordination that it is given, and is asked anew with `refresh`', async () => {
    let failures = 2
    const server = await startServer((...args) =>
      failures-- > 0 ? answer(503)(...args) : echo(() => server.requests.length)(...args),
    )
    const { client } = startClient()
    let again = async () => {}
    const One = defineComponent(() => {
      const { data, status, refresh } = useJson<Body>(server.url('/x'), { retry: 3, ttl: 60_000 })
      again = refresh
      return () => h('p', `${status.value} ${data.value?.n}`)
    })
    const both = ref(false)
    const shown = mount(() => [h(One), both.value && h(One)], client)
    await until(() => shown.text === 'complete 3')
    // An answer of this very millisecond is as new as one that is asked for now.
    const answeredAt = Date.now()
    await until(() => Date.now() > answeredAt)
    await again()
    await until(() => shown.text === 'complete 4')
    // The newer answer is the one that is cached.
    both.value = true
    await until(() => shown.text === 'complete 4complete 4')
    expect(server.requests).toHaveLength(4)
  })

  test('that fails says how, and keeps what it had', async () => {
    let isWell = true
    const server = await startServer((...args) => (isWell ? json('fine') : answer(404))(...args))
    const { client } = startClient()
    let again = async () => {}
    const Root = defineComponent(() => {
      const { data, status, error, refresh } = useJson<string>(server.url('/x'))
      again = refresh
      return () => h('p', `${status.value} ${data.value} ${error.value?.code} ${error.value?.status}`)
    })
    const shown = mount(Root, client)
    await until(() => shown.text === 'complete fine undefined undefined')
    isWell = false
    // Within the millisecond of an answer, that answer is as new as any.
    const at = Date.now()
    await until(() => Date.now() > at + 1)
    await again()
    await until(() => shown.text === 'failed fine http 404')
    isWell = true
    await again()
    await until(() => shown.text === 'complete fine undefined undefined')
    expect(shown.errors).toEqual([])
  })

  test('that does not fit its schema fails', async () => {
    const server = await startServer(json({ n: 'one' }))
    const { client } = startClient()
    const Root = defineComponent(() => {
      const { data, error } = useJson(server.url('/x'), { schema: z.object({ n: z.number() }) })
      return () => h('p', `${data.value} ${error.value?.code}`)
    })
    const shown = mount(Root, client)
    await until(() => shown.text === 'undefined invalid-body')
  })
})

describe('who is signed in', () => {
  test.each([undefined, 60_000])(
    'decides what is shown: nothing is left of the one before (interval %s)',
    async (interval) => {
      const server = await startServer((...args) => answering(...args))
      let answering = json('for Ada')
      const { client } = startClient({ identity: 'ada' })
      const Root = defineComponent(() => {
        const { data, status } = useJson<string>(server.url('/x'), interval ? { interval } : {})
        return () => h('p', `${status.value} ${data.value}`)
      })
      const shown = mount(Root, client)
      await until(() => shown.text.endsWith(' for Ada'))
      const slow = held(json('for Bob'))
      answering = slow.handler
      client.setIdentity('bob')
      await nextTick()
      expect(shown.text).toBe('connecting undefined')
      await until(() => slow.waiting === 1)
      slow.release()
      await until(() => shown.text.endsWith(' for Bob'))
      expect(server.requests).toHaveLength(2)
      expect(shown.errors).toEqual([])
    },
  )

  test('may change while a component is kept back: it shows nothing of the one before when it is back', async () => {
    const server = await startServer(json('for Ada'))
    const { client } = startClient({ identity: 'ada' })
    const seen: string[] = []
    const One = defineComponent(() => {
      const { data, status } = useJson<string>(server.url('/x'))
      return () => {
        seen.push(`${status.value} ${data.value}`)
        return h('p', seen.at(-1))
      }
    })
    const isThere = ref(true)
    const shown = mount(
      defineComponent(() => () => h(KeepAlive, () => (isThere.value ? h(One) : h('i')))),
      client,
    )
    await until(() => shown.text === 'complete for Ada')
    isThere.value = false
    await nextTick()
    client.setIdentity('bob')
    isThere.value = true
    await nextTick()
    expect(shown.text).toBe('connecting undefined')
  })
})

describe('a URL that is polled', () => {
  test('is one request an interval for all who poll it, at the pace of the fastest', async () => {
    const server = await startEcho()
    const { client, clock } = startStill()
    const schema = z.object({ path: z.string(), n: z.number().transform((n) => `number ${n}`) })
    const One = defineComponent({
      props: { interval: { type: Number, required: true } },
      setup(props) {
        const { data, status } = useJson(server.url('/x'), () => ({ interval: props.interval, schema }))
        return () => h('p', `${status.value} ${data.value?.n};`)
      },
    })
    const fast = ref(true)
    const shown = mount(
      () => [h(One, { interval: 30_000 }), h(One, { interval: 30_000 }), fast.value && h(One, { interval: 2_000 })],
      client,
    )
    const settled = (count: number, shows: number) =>
      until(async () => {
        await clock.advance(0)
        await clock.advance(16)
        return server.requests.length === count && shown.text === `polling number ${count};`.repeat(shows)
      })
    await settled(1, 3)
    await clock.advance(2_200)
    await settled(2, 3)
    // With the fast one gone, its pace is too.
    fast.value = false
    await nextTick()
    await clock.advance(20_000)
    await settled(2, 2)
    await clock.advance(14_000)
    await settled(3, 2)
  })

  test('begins and ends with its interval, and `refresh` asks at once', async () => {
    const server = await startEcho()
    const { client } = startClient({ cache: { ttl: 0 } })
    const interval = ref<number>()
    let again = async () => {}
    const Root = defineComponent(() => {
      const { data, status, refresh } = useJson<Body>(server.url('/x'), () =>
        interval.value ? { interval: interval.value } : {},
      )
      again = refresh
      return () => h('p', `${status.value} ${data.value?.n}`)
    })
    const shown = mount(Root, client)
    await until(() => shown.text === 'complete 1')
    interval.value = 600_000
    await until(() => shown.text === 'polling 1')
    await again()
    await until(() => shown.text === 'polling 2')
    interval.value = undefined
    await until(() => shown.text === 'complete 2')
    expect(server.requests).toHaveLength(2)
  })
})
