import { Writable } from 'node:stream'
import { defineChannel, type StreamEvent } from 'millrace'
import { useChannel, useClient, useEvents, useJson, useStats } from 'millrace/react'
import { lazy, type ReactNode, Suspense } from 'react'
import { renderToPipeableStream, renderToString } from 'react-dom/server'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { closeServers } from '../../support/http-server'
import { activeResources } from '../../support/sockets'
import { until } from '../../support/until'
import { block, closeClients, type Feed, json, startClient, startFeed } from '../channels/watch'
import { hydrate, silentClient, unmountAll, wrap } from './render'

afterEach(unmountAll)
afterEach(closeClients)
afterEach(closeServers)

const makePage = (feed: Feed) =>
  function Page() {
    const users = defineChannel<string[], StreamEvent>({
      key: 'users',
      stream: feed.streamUrl,
      snapshot: feed.snapshotUrl,
      initial: ['nobody'],
      reduce: (list, { data }) => [...list, data],
    })
    const { data, status, isLive, isStale } = useChannel(users, { select: (list) => list.join(), onEvent() {} })
    const events = useEvents(users, () => {})
    const once = useJson<string[]>(feed.snapshotUrl)
    const polled = useJson<string[]>(feed.snapshotUrl, { interval: 60_000 })
    const { channels } = useStats()
    useClient()
    return (
      <ul>
        <li>{[data, status, isLive, isStale, events].join(' ')}</li>
        <li>{[once.data?.[0], once.status, polled.data?.[0], polled.status].join(' ')}</li>
        <li>{channels.length}</li>
      </ul>
    )
  }

/** What React warns of, but that server and browser are one process here. */
function listen(): { readonly said: unknown[] } {
  const said: unknown[] = []
  vi.spyOn(console, 'error').mockImplementation((...args) => {
    if (!String(args[0]).includes('multiple renderers')) said.push(args)
  })
  return { said }
}

const SILENT = 'nobody connecting false false connecting connecting  connecting0'

async function stream(element: ReactNode): Promise<string> {
  let html = ''
  await new Promise<void>((resolve, reject) => {
    const sink = new Writable({
      write(chunk, _, done) {
        html += chunk
        done()
      },
    })
    sink.on('finish', resolve)
    const { pipe } = renderToPipeableStream(element, { onAllReady: () => pipe(sink), onError: reject })
  })
  return html
}

const textOf = (html: string) => html.replace(/<!-- -->/g, '').replace(/<[^>]*>/g, '')

describe.each([
  ['renderToString', async (element: ReactNode) => renderToString(element)],
  ['renderToPipeableStream', stream],
])('%s', (_, toHtml) => {
  test('opens nothing, and hydrates without a mismatch', async () => {
    const feed = await startFeed(json(['ann']))
    const Page = makePage(feed)
    const server = silentClient()
    const before = activeResources()
    const html = await toHtml(wrap(<Page />, server))
    expect(textOf(html)).toBe(SILENT)
    expect(server.stats()).toMatchObject({
      channels: [],
      timers: [],
      endpoints: [],
      subscriptions: { active: 0, total: 0 },
      requests: { asked: 0, sent: 0 },
    })
    expect(activeResources().Timeout).toBe(before.Timeout)
    expect(feed.server.requests).toEqual([])

    const { said } = listen()
    const { client } = startClient()
    const page = hydrate(html, <Page />, client)
    const first = page.container.querySelector('li')
    await until(() => page.text.startsWith('ann live true false liveann polling ann polling'))
    feed.write(block('"ben"'))
    await until(() => page.text.startsWith('ann,ben live'))
    // The nodes of the server are still there.
    expect(page.container.querySelector('li')).toBe(first)
    expect(page.complaints).toEqual([])
    expect(said).toEqual([])
    expect(feed.streamRequests).toHaveLength(1)
  })

  test('hydrates what the page knows already as the server had it, then shows what it knows', async () => {
    const { said } = listen()
    const feed = await startFeed(json(['ann']))
    const Page = makePage(feed)
    const html = await toHtml(wrap(<Page />, silentClient()))
    const { client } = startClient()
    const early = hydrate(html, <Page />, client)
    await until(() => early.text.startsWith('ann live'))
    const late = hydrate(html, <Page />, client)
    await until(() => late.text.startsWith('ann live'))
    expect(late.complaints).toEqual([])
    expect(said).toEqual([])
  })
})

test('a streamed Suspense boundary hydrates late, and opens nothing twice', async () => {
  const { said } = listen()
  const feed = await startFeed(json(['ann']))
  const Page = makePage(feed)
  const Late = lazy(async () => {
    await new Promise((resolve) => setImmediate(resolve))
    return { default: Page }
  })
  const element = (
    <main>
      <Page />
      <Suspense fallback="wait">
        <Late />
      </Suspense>
    </main>
  )
  const html = await stream(wrap(element, silentClient()))
  expect(textOf(html)).toContain(SILENT + SILENT)
  const { client } = startClient()
  const page = hydrate(html, element, client)
  await until(() => page.text.match(/ann live true false live/g)?.length === 2)
  expect(page.complaints).toEqual([])
  expect(said).toEqual([])
  expect(feed.streamRequests).toHaveLength(1)
})
