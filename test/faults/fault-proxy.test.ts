import { connect } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { type Conduct, closeProxies, startFaultProxy } from '../support/fault-proxy'
import { closeServers, startServer } from '../support/http-server'
import { until } from '../support/until'

afterEach(closeProxies)
afterEach(closeServers)

const BODY = 'x'.repeat(400)

/** Asks through the proxy, and writes down what the kernel hands over, piece by piece. */
async function ask(conduct: Conduct) {
  const server = await startServer((_, response) => response.writeHead(200, { connection: 'close' }).end(BODY))
  const proxy = await startFaultProxy(server.origin, [conduct], { seed: 7 })
  const pieces: { size: number; at: number }[] = []
  let over: string | undefined
  const started = performance.now()
  const socket = connect({ host: '127.0.0.1', port: Number(new URL(proxy.origin).port), noDelay: true })
  socket.write('GET / HTTP/1.1\r\nhost: localhost\r\n\r\n')
  socket.on('data', (data) => pieces.push({ size: data.length, at: performance.now() - started }))
  socket.once('end', () => {
    over ??= 'end'
  })
  socket.once('error', (error: NodeJS.ErrnoException) => {
    over ??= error.code ?? error.message
  })
  return {
    server,
    proxy,
    pieces,
    over: () => over,
    total: () => pieces.reduce((sum, { size }) => sum + size, 0),
    took: () => pieces.at(-1)!.at,
  }
}

test('hands on what comes as it comes', async () => {
  const { over, total, proxy } = await ask({})
  await until(() => over() === 'end')
  expect(total()).toBe(proxy.bytes)
  expect(total()).toBeGreaterThan(BODY.length)
})

test('puts its borders anywhere', async () => {
  const single = await ask({ pieces: [1] })
  await until(() => single.over() === 'end')
  expect(single.pieces.filter(({ size }) => size === 1).length).toBeGreaterThan(0.9 * single.total())
  const [first] = (await ask({ pieces: [33, Infinity] }).then(async (asked) => {
    await until(() => asked.over() === 'end')
    return asked.pieces
  }))!
  expect(first?.size).toBe(33)
})

test('waits, and is slow', async () => {
  const late = await ask({ latency: 60, jitter: 20 })
  const narrow = await ask({ bandwidth: 5_000, pieces: [50] })
  const slow = await ask({ slowHead: 1 })
  await until(() => [late, narrow, slow].every(({ over }) => over() === 'end'))
  expect(late.took()).toBeGreaterThanOrEqual(59)
  expect(narrow.took()).toBeGreaterThanOrEqual(80)
  expect(slow.took()).toBeGreaterThanOrEqual(100)
  expect(slow.pieces.length).toBeGreaterThan(100)
})

test('breaks after exactly so many bytes, in each way', async () => {
  const reset = await ask({ breaks: { after: 300, by: 'reset' } })
  const end = await ask({ breaks: { after: 301, by: 'end' } })
  const stall = await ask({ breaks: { after: 302, by: 'stall' } })
  await until(() => reset.over() && end.over() && stall.total() === 302)
  expect([reset.over(), reset.total()]).toEqual(['ECONNRESET', 300])
  expect([end.over(), end.total()]).toEqual(['end', 301])
  expect([stall.over(), stall.proxy.open]).toEqual([undefined, 1])
})

test('swallows what was asked, and the next one is answered', async () => {
  const { proxy, server, pieces } = await ask({ breaks: { after: 0, by: 'swallow' } })
  await until(() => proxy.open === 1)
  expect(await (await fetch(proxy.url())).text()).toBe(BODY)
  expect(server.requests).toHaveLength(1)
  expect(pieces).toEqual([])
})
