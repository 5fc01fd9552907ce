import { defineChannel } from 'millrace'
import { useChannel } from 'millrace/react'
import { useEffect, useState } from 'react'
import { afterEach, describe, expect, test } from 'vitest'
import { closeClients, startClient } from '../behaviour/channels/watch'
import { render, unmountAll } from '../behaviour/react/render'
import { closeServers, startServer, type TestServer } from '../support/http-server'
import { until } from '../support/until'

// The reports of hooks, with the hooks that they were about: React's own, in a document, against a server that counts.

afterEach(unmountAll)
afterEach(closeClients)
afterEach(closeServers)

/** A list that says how often it was asked for. */
async function startBoard(): Promise<TestServer> {
  const server = await startServer((_, response) => {
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ users: ['ann'], asked: server.requests.length }))
  })
  return server
}

interface Options {
  interval: number
  onData?: (data: unknown) => void
}

/** What was deployed: an effect that asks at once and then by a timer, anew whenever its options are. */
function usePolling(url: string, options: Options): unknown {
  const [data, setData] = useState<unknown>()
  useEffect(() => {
    let current = true
    const ask = async (): Promise<void> => {
      try {
        const body = await (await fetch(url)).json()
        if (current) setData(body)
        options.onData?.(body)
      } catch {
        // The server is gone: the test is over.
      }
    }
    void ask()
    const timer = setInterval(ask, options.interval)
    return () => {
      current = false
      clearInterval(timer)
    }
  }, [url, options])
  return data
}

/** The same on Millrace, with options as new at every render. */
function useSessions(url: string, options: Options): unknown {
  const channel = defineChannel<unknown>({ key: ['sessions'], snapshot: url, interval: options.interval })
  return useChannel(channel, { interval: options.interval, onEvent: () => options.onData?.(undefined) }).data
}

/** The layers: each is a hook that makes the options of the next. */
function layered(use: typeof usePolling) {
  const useHealth = (url: string) => use(url, { interval: 60_000, onData: () => {} })
  const useIntegration = (url: string) => [useHealth(url), use(url, { interval: 60_000 })]
  return function Board({ url }: { url: string }) {
    const data = [...useIntegration(url), use(url, { interval: 60_000, onData: () => {} })]
    return <p>{data.filter(Boolean).length}</p>
  }
}

describe('2: options objects and callbacks new at every render, in layers of hooks', () => {
  test('run away: each answer renders, each render asks', async () => {
    const server = await startBoard()
    const { client } = startClient()
    const Board = layered(usePolling)
    const page = render(<Board url={server.url('/api/sessions')} />, client)
    // The interval is a minute.
    await until(() => server.requests.length > 200, 'two hundred requests')
    page.unmount()
  })

  test('are one request on Millrace, over 1,000 renders', async () => {
    const server = await startBoard()
    const { client, alerts } = startClient()
    const Board = layered(useSessions)
    const url = server.url('/api/sessions')
    const page = render(<Board url={url} />, client)
    await until(() => page.text === '3')
    for (let n = 0; n < 1_000; n += 1) page.render(<Board url={url} />)
    expect(page.text).toBe('3')
    expect(server.requests).toHaveLength(1)
    expect(alerts).toEqual([])
  })
})

describe('4: StrictMode mounts twice', () => {
  const stable: Options = { interval: 60_000 }

  test('and doubles the polling', async () => {
    const server = await startBoard()
    const { client } = startClient()
    function Board() {
      return <p>{usePolling(server.url('/api/sessions'), stable) ? 'here' : ''}</p>
    }
    const page = render(<Board />, client, { strict: true })
    await until(() => page.text === 'here')
    await until(() => server.requests.length === 2)
  })

  test('and opens nothing twice, and closes nothing in between, on Millrace', async () => {
    const server = await startBoard()
    const { client, alerts } = startClient()
    function Board() {
      return <p>{useSessions(server.url('/api/sessions'), stable) ? 'here' : ''}</p>
    }
    const page = render([<Board key="a" />, <Board key="b" />], client, { strict: true })
    await until(() => page.text === 'herehere')
    expect(server.requests).toHaveLength(1)
    // It has mounted twice indeed.
    expect(client.stats().subscriptions.total).toBeGreaterThan(client.stats().subscriptions.active)
    expect(alerts).toEqual([])
  })
})
