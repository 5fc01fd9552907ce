import '../../support/dom'
import { defineChannel } from 'millrace'
import { useChannel } from 'millrace/react'
import { afterEach, expect, test } from 'vitest'
import { closeServers } from '../../support/http-server'
import { until } from '../../support/until'
import { closeClients, startClient, startFeed } from '../channels/watch'

interface Hook {
  readonly name: string
  readonly value: unknown
}
interface Renderer {
  getElementIDForHostInstance(node: Node | null): number
  inspectElement(request: number, id: number, path: null, full: true): { value: { hooks: { data: Hook[] } } }
}

// The part of React DevTools that lives in the page. It has to be there before React is, and wants a browser's `self`.
Object.assign(globalThis, { self: window })
// @ts-expect-error It has no types.
const { connectWithCustomMessagingProtocol, initialize } = await import('react-devtools-core')
initialize()
const hook = (window as unknown as { __REACT_DEVTOOLS_GLOBAL_HOOK__: { rendererInterfaces: Map<number, Renderer> } })
  .__REACT_DEVTOOLS_GLOBAL_HOOK__
Object.assign(globalThis, { __REACT_DEVTOOLS_GLOBAL_HOOK__: hook })
const { render, unmountAll } = await import('./render')
connectWithCustomMessagingProtocol({ onSubscribe() {}, onUnsubscribe() {}, onMessage() {} })

afterEach(unmountAll)
afterEach(closeClients)
afterEach(closeServers)

let requests = 0

/** The hooks of the component that has rendered this node, as DevTools shows them. */
function hooksOf(node: Node | null): readonly Hook[] {
  const [renderer] = hook.rendererInterfaces.values()
  const id = renderer!.getElementIDForHostInstance(node)
  return renderer!.inspectElement(++requests, id, null, true).value.hooks.data
}

test('React DevTools shows the status and the role of a channel beside the hook', async () => {
  const feed = await startFeed()
  const { client } = startClient({ backoff: { base: 60_000, cap: 60_000, jitter: 'none' } })
  const channel = defineChannel({ key: 'wheel', stream: feed.streamUrl })
  function Wheel({ isWanted = true }) {
    const { status } = useChannel(isWanted && channel)
    return <p>{status}</p>
  }
  const page = render(<Wheel />, client)
  const shown = () => hooksOf(page.container.firstChild).map(({ name, value }) => ({ name, value }))
  await until(() => page.text === 'live')
  expect(shown()).toEqual([{ name: 'Channel', value: 'live solo' }])
  feed.drop()
  await until(() => page.text === 'reconnecting')
  expect(shown()).toEqual([{ name: 'Channel', value: 'reconnecting solo' }])
  page.render(<Wheel isWanted={false} />)
  expect(shown()).toEqual([{ name: 'Channel', value: 'idle' }])
})

test('and of one that nobody has yet, the status alone', () => {
  const { client } = startClient()
  const channel = defineChannel({ key: 'wheel', stream: 'http://127.0.0.1:1/' })
  function Wheel() {
    return <p>{useChannel(channel, { enabled: false }).status}</p>
  }
  const page = render(<Wheel />, client)
  expect(hooksOf(page.container.firstChild)[0]!.value).toBe('idle')
})
