import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Component } from 'svelte'
import { compile } from 'svelte/compiler'
import { render } from 'svelte/server'
import { afterEach, expect, test } from 'vitest'
import { orders as channel } from '../../examples/recipes/orders'
import { channelStore } from '../../examples/recipes/svelte'
import { closeServers } from '../support/http-server'
import { closeClients, startClient, startOrders } from './orders-server'

afterEach(closeClients)
afterEach(closeServers)

const source = '<script>let { board } = $props()</script><p>{$board.status} {$board.data?.length ?? 0}</p>'

/** The component as Svelte's compiler makes it for a server. */
async function load(): Promise<Component<{ board: unknown }>> {
  // Beside the dependencies, so that the component finds Svelte's runtime.
  const folder = mkdtempSync(join('node_modules', '.svelte-'))
  try {
    const file = join(folder, 'board.js')
    writeFileSync(file, compile(source, { generate: 'server' }).js.code)
    return (await import(/* @vite-ignore */ pathToFileURL(file).href)).default
  } finally {
    rmSync(folder, { recursive: true })
  }
}

test('a component reads $store, and its server render opens nothing', async () => {
  const orders = await startOrders()
  const client = startClient(orders)
  const { body } = render(await load(), { props: { board: channelStore(client, channel) } })
  expect(body).toContain('<p>idle 0</p>')
  expect(client.stats().subscriptions.total).toBe(0)
  expect(client.stats().timers).toEqual([])
  expect(orders.server.requests).toEqual([])
})
