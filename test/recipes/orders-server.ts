import type { ServerResponse } from 'node:http'
import { type Client, type ClientOptions, createClient } from 'millrace'
import { vi } from 'vitest'
import type { Order } from '../../examples/recipes/orders'
import { type Handler, type RecordedRequest, startServer, startStream } from '../support/http-server'

/** What the recipes ask: `/api/orders`, and `/api/orders/stream`, which replays by `Last-Event-ID`. It counts. */
export async function startOrders(guard: Handler = () => false) {
  const list = new Map<string, Order>([['a', { id: 'a', state: 'open' }]])
  const log: Order[] = []
  const streams = new Set<ServerResponse>()
  let held: (() => void)[] | undefined

  const server = await startServer(async (request, response, raw) => {
    if (await guard(request, response, raw)) return
    if (request.url === '/api/orders/stream') return openStream(request, response)
    if (request.url === '/api/orders') return request.method === 'GET' ? answer(response) : accept(request, response)
    response.writeHead(404).end()
  })

  return {
    server,
    list: () => [...list.values()],
    asked: (path: string): RecordedRequest[] => server.requests.filter(({ url }) => url === path),
    get open() {
      return streams.size
    },
    /** Changes an order, and tells the streams unless it is to be missed. */
    put(order: Order, { told = true } = {}) {
      list.set(order.id, order)
      if (!told) return
      log.push(order)
      for (const stream of streams) stream.write(encode(log.length))
    },
    /** From now on the list is answered as it was when it was asked for, but only once it is let go. */
    hold() {
      held = []
    },
    get waiting() {
      return held?.length ?? 0
    },
    letGo() {
      for (const go of held?.splice(0) ?? []) go()
      held = undefined
    },
    drop() {
      for (const stream of streams) stream.socket?.resetAndDestroy()
    },
    end() {
      for (const stream of streams) stream.end()
    },
  }

  function openStream({ headers }: RecordedRequest, response: ServerResponse): void {
    startStream(response)
    streams.add(response)
    response.once('close', () => streams.delete(response))
    const known = headers['last-event-id']
    if (known !== undefined) for (let id = Number(known) + 1; id <= log.length; id += 1) response.write(encode(id))
  }

  function encode(id: number): string {
    return `id: ${id}\nevent: order\ndata: ${JSON.stringify(log[id - 1])}\n\n`
  }

  function answer(response: ServerResponse): void {
    const body = JSON.stringify([...list.values()])
    const head = { 'content-type': 'application/json', 'last-event-id': `${log.length}` }
    const send = () => response.writeHead(200, head).end(body)
    if (held) held.push(send)
    else send()
  }

  function accept({ body }: RecordedRequest, response: ServerResponse): void {
    const order = JSON.parse(body) as Order
    list.set(order.id, order)
    response.writeHead(201, { 'content-type': 'application/json' }).end(body)
  }
}

export type OrdersServer = Awaited<ReturnType<typeof startOrders>>

const clients = new Set<Client>()

/** Of tests: short delays, and what it would print is kept out of the report. */
export function startClient(orders: OrdersServer, options: ClientOptions = {}): Client {
  vi.spyOn(console, 'warn').mockImplementation(() => {})
  const client = createClient(quick(orders, options))
  clients.add(client)
  return client
}

export const quick = (orders: OrdersServer, options: ClientOptions = {}): ClientOptions => ({
  baseUrl: orders.server.origin,
  environment: 'test',
  backoff: { base: 5, cap: 40, resetAfter: 200 },
  ...options,
})

/** For `afterEach`. */
export function closeClients(): void {
  for (const client of clients) client.close()
  clients.clear()
  vi.restoreAllMocks()
}
