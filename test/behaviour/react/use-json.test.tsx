import { useJson } from 'millrace/react'
import { afterEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { closeServers, type Handler } from '../../support/http-server'
import { until } from '../../support/until'
import { closeClients, held, json, startClient, startFeed, status } from '../channels/watch'
import { render, unmountAll } from './render'

afterEach(unmountAll)
afterEach(closeClients)
afterEach(closeServers)

type Options = Parameters<typeof useJson<{ n: number }>>[1]
let refresh = async () => {}
let renders = 0
function Show({ url, options }: { url: string | URL | null; options?: Options }) {
  renders += 1
  const result = useJson<{ n: number }>(url, options && { ...options })
  refresh = result.refresh
  return <>{`${result.status} ${result.data?.n ?? '-'} ${result.error?.code ?? '-'};`}</>
}

function counting(): Handler {
  let n = 0
  return (_, response) => response.setHeader('content-type', 'application/json').end(JSON.stringify({ n: n++ }))
}

describe('asked once', () => {
  test('is one request for all components, in StrictMode and over many renders', async () => {
    const feed = await startFeed(counting())
    const { client } = startClient()
    const url = new URL(feed.snapshotUrl)
    const two = (ttl: number) => [<Show key="a" url={feed.snapshotUrl} options={{ ttl }} />, <Show key="b" url={url} />]
    const page = render(two(1), client, { strict: true })
    expect(page.text).toBe('connecting - -;connecting - -;')
    await until(() => page.text === 'complete 0 -;complete 0 -;')
    for (let n = 0; n < 200; n += 1) page.render(two(n))
    expect(feed.snapshotRequests).toHaveLength(1)
  })

  test('comes from the cache within its `ttl`, and past it by `refresh`', async () => {
    const feed = await startFeed(counting())
    const { client } = startClient()
    const element = (key: string) => <Show key={key} url={feed.snapshotUrl} options={{ ttl: 60_000 }} />
    const page = render(element('a'), client)
    await until(() => page.text === 'complete 0 -;')
    page.render(element('b'))
    await until(() => page.text === 'complete 0 -;')
    expect(feed.snapshotRequests).toHaveLength(1)
    await refresh()
    await until(() => page.text === 'complete 1 -;')
    expect(feed.snapshotRequests).toHaveLength(2)
  })

  test('tells of a failure, keeps what it knew, and recovers', async () => {
    const feed = await startFeed(status(503))
    const { client } = startClient()
    const page = render(<Show url={feed.snapshotUrl} options={{ retry: 2 }} />, client)
    await until(() => page.text === 'failed - http;')
    expect(feed.snapshotRequests).toHaveLength(3)
    feed.snapshot(json({ n: 5 }))
    await refresh()
    await until(() => page.text === 'complete 5 -;')
    feed.snapshot(status(404))
    await refresh()
    await until(() => page.text === 'failed 5 http;')
  })

  test('drops an answer to a question that is asked no more, and asks nothing without a URL', async () => {
    const feed = await startFeed()
    const slow = held(json({ n: 1 }))
    feed.snapshot((request, response, raw) =>
      request.url.endsWith('?slow') ? slow.handler(request, response, raw) : json({ n: 2 })(request, response, raw),
    )
    const { client } = startClient()
    const page = render(<Show url={null} />, client)
    await refresh()
    expect(page.text).toBe('idle - -;')
    page.render(<Show url={`${feed.snapshotUrl}?slow`} />)
    await until(() => slow.waiting === 1)
    page.render(<Show url={feed.snapshotUrl} />)
    expect(page.text).toBe('connecting - -;')
    await until(() => page.text === 'complete 2 -;')
    slow.release()
    await until(() => feed.server.openStreams === 0)
    await until(() => client.stats().endpoints.every(({ inFlight }) => inFlight === 0))
    expect(page.text).toBe('complete 2 -;')
    page.render(<Show url={null} />)
    expect(page.text).toBe('idle - -;')
  })

  test('validates by a schema made anew at every render', async () => {
    const feed = await startFeed(json({ n: 'two' }))
    const { client } = startClient()
    function Typed() {
      const { data, error } = useJson(feed.snapshotUrl, { schema: z.object({ n: z.coerce.number() }) })
      return <>{error?.code ?? JSON.stringify(data)}</>
    }
    const page = render(<Typed />, client)
    await until(() => page.text === 'invalid-body')
    feed.snapshot(json({ n: '2' }))
    client.invalidate(feed.snapshotUrl)
    const again = render(<Typed />, client)
    await until(() => again.text === '{"n":2}')
  })
})

describe('who is signed in', () => {
  test.each([undefined, 60_000])(
    'decides what is shown: nothing is left of the one before (interval %s)',
    async (interval) => {
      const feed = await startFeed(json({ n: 1 }))
      const { client } = startClient({ identity: 'ada' })
      const page = render(<Show url={feed.snapshotUrl} options={interval ? { interval } : {}} />, client)
      await until(() => page.text.endsWith(' 1 -;'))
      const slow = held(json({ n: 2 }))
      feed.snapshot(slow.handler)
      client.setIdentity('bob')
      await until(() => page.text === 'connecting - -;')
      await until(() => slow.waiting === 1)
      slow.release()
      await until(() => page.text.endsWith(' 2 -;'))
      expect(feed.snapshotRequests).toHaveLength(2)
    },
  )

  test('decides it for what was asked before, too: that is dropped', async () => {
    const slow = held(json({ n: 1 }))
    const feed = await startFeed(slow.handler)
    const { client } = startClient({ identity: 'ada' })
    const page = render(<Show url={feed.snapshotUrl} />, client)
    await until(() => slow.waiting === 1)
    feed.snapshot(json({ n: 2 }))
    client.setIdentity(null)
    await until(() => page.text === 'complete 2 -;')
    slow.release()
    await until(() => client.stats().endpoints.every(({ inFlight }) => inFlight === 0))
    expect(page.text).toBe('complete 2 -;')
  })
})

describe('with an interval', () => {
  test('is one poll for all components, whoever asks more often, and renders nothing for equal answers', async () => {
    const feed = await startFeed(json({ n: 1 }))
    const { client } = startClient()
    const show = (key: string, interval: number) => <Show key={key} url={feed.snapshotUrl} options={{ interval }} />
    const page = render([show('a', 60_000), show('b', 200), show('c', 300)], client, { strict: true })
    await until(() => page.text === 'polling 1 -;'.repeat(3))
    const before = renders
    const asked = feed.snapshotRequests.length
    const begun = performance.now()
    await until(() => feed.snapshotRequests.length >= asked + 5)
    expect(performance.now() - begun).toBeGreaterThan(700)
    expect(renders).toBe(before)
    expect(client.stats().channels).toHaveLength(1)

    feed.snapshot(json({ n: 2 }))
    await refresh()
    await until(() => page.text === 'polling 2 -;'.repeat(3))
  })

  test('goes on through failures, and says so', async () => {
    const feed = await startFeed(json({ n: 1 }))
    const { client } = startClient()
    const page = render(<Show url={feed.snapshotUrl} options={{ interval: 200 }} />, client)
    await until(() => page.text === 'polling 1 -;')
    feed.snapshot(status(503))
    await until(() => page.text === 'reconnecting 1 http;')
    feed.snapshot(json({ n: 2 }))
    await until(() => page.text === 'polling 2 -;')
  })
})
