import { defineChannel, type StreamEvent } from 'millrace'
import { useEvents } from 'millrace/react'
import { afterEach, expect, test } from 'vitest'
import { closeServers } from '../../support/http-server'
import { until } from '../../support/until'
import { block, closeClients, type Feed, startClient, startFeed } from '../channels/watch'
import { render, unmountAll } from './render'

afterEach(unmountAll)
afterEach(closeClients)
afterEach(closeServers)

const channelOf = (feed: Feed) => defineChannel<unknown, StreamEvent>({ key: 'events', stream: feed.streamUrl })

test('hands every event to the latest handler, and renders for the status alone', async () => {
  const feed = await startFeed()
  const { client } = startClient()
  const seen: [number, string][] = []
  let renders = 0
  function Bell({ name }: { name: string }) {
    renders += 1
    return <>{useEvents(channelOf(feed), ({ data }) => seen.push([data, name]))}</>
  }
  const page = render(<Bell name="first" />, client, { strict: true })
  await until(() => page.text === 'live')
  const before = renders
  for (let n = 1; n <= 50; n += 1) feed.write(block(n))
  await until(() => seen.length === 50)
  expect(renders).toBe(before)
  page.render(<Bell name="second" />)
  for (let n = 51; n <= 100; n += 1) feed.write(block(n))
  await until(() => seen.length === 100)
  expect(seen.map(([n]) => n)).toEqual(Array.from({ length: 100 }, (_, n) => n + 1))
  expect(seen.map(([, name]) => name)).toEqual([...Array(50).fill('first'), ...Array(50).fill('second')])
  expect(feed.streamRequests).toHaveLength(1)
  feed.drop()
  await until(() => feed.streamRequests.length === 2 && page.text === 'live')
})

test('a handler that throws disturbs nobody', async () => {
  const feed = await startFeed()
  const { client } = startClient()
  const reported: unknown[] = []
  Object.assign(globalThis, { reportError: (error: unknown) => reported.push(error) })
  const seen: unknown[] = []
  function Bad() {
    useEvents(channelOf(feed), () => {
      throw new Error('mine')
    })
    return null
  }
  function Good() {
    useEvents(channelOf(feed), ({ data }) => seen.push(data))
    return <>good</>
  }
  const page = render([<Bad key="bad" />, <Good key="good" />], client)
  await until(() => client.getState(channelOf(feed)).status === 'live')
  feed.write(block(1) + block(2))
  await until(() => seen.length === 2)
  expect(page.text).toBe('good')
  expect(reported).toEqual([expect.objectContaining({ code: 'callback' })])
  Reflect.deleteProperty(globalThis, 'reportError')
})
