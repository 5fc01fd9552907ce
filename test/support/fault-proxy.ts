import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { createRandom } from './random'

/** What one connection through the proxy suffers. Only what the server answers is touched, unless it says otherwise. */
export interface Conduct {
  /** ms that each piece waits before it goes on. */
  latency?: number
  /** ms more at most, drawn from the seed. Order is kept. */
  jitter?: number
  /** Bytes a second. */
  bandwidth?: number
  /** How many bytes are written at once, over and over: `[1]` is byte by byte, `[7, Infinity]` one border after 7. */
  pieces?: readonly number[]
  /** ms between two bytes of the head. */
  slowHead?: number
  /** What happens once so many bytes have gone through; those of the head count. */
  breaks?: { after: number; by: Break }
}

/**
 * `reset`: RST. `end`: FIN, as if that were all. `stall`: nothing more is forwarded, and nothing closed. `swallow`: from
 * the beginning the connection is accepted and what comes is thrown away, so that the server never hears of it.
 */
export type Break = 'reset' | 'end' | 'stall' | 'swallow'

export interface FaultProxy {
  /** `http://127.0.0.1:port` */
  readonly origin: string
  /** A path behind the proxy. */
  url(path?: string): string
  /** TCP connections so far on which something was asked. */
  readonly connections: number
  /** Those of them that are open on the client's side now. */
  readonly open: number
  /** Bytes that came from the server on the connection that was opened last. */
  readonly bytes: number
  /** What the connections that are open now suffer from here on, each at once. */
  breakAll(by: Exclude<Break, 'swallow'>): void
  close(): Promise<void>
}

interface Passage {
  readonly client: Socket
  readonly server: Socket | undefined
  /** Nothing is forwarded any more. */
  broken: boolean
}

const running = new Set<FaultProxy>()

/**
 * A TCP proxy before an HTTP server of the loopback. The connections take their conduct from the list, in order of their
 * arrival; the ones after its end suffer nothing, or what `rest` says.
 */
export async function startFaultProxy(
  target: string,
  conducts: readonly Conduct[] = [],
  { seed = 1, rest = {} as Conduct } = {},
): Promise<FaultProxy> {
  const { hostname, port } = new URL(target)
  const passages = new Set<Passage>()
  let connections = 0
  let bytes = 0

  const sockets = new Set<Socket>()
  const listener = createServer({ noDelay: true }, (client) => {
    sockets.add(client)
    client.once('close', () => sockets.delete(client))
    client.on('error', () => {})
    // Some clients open connections that they never ask anything on.
    client.once('data', (first) => accept(client, first))
  })
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
  const origin = `http://127.0.0.1:${(listener.address() as AddressInfo).port}`

  const proxy: FaultProxy = {
    origin,
    url: (path = '/') => origin + path,
    get connections() {
      return connections
    },
    get open() {
      return passages.size
    },
    get bytes() {
      return bytes
    },
    breakAll(by) {
      for (const passage of [...passages]) breakOff(passage, by)
    },
    close,
  }
  running.add(proxy)
  return proxy

  function accept(client: Socket, first: Buffer): void {
    const conduct = conducts[connections] ?? rest
    connections += 1
    bytes = 0
    const swallows = conduct.breaks?.by === 'swallow'
    const server = swallows ? undefined : connect({ host: hostname, port: Number(port), noDelay: true })
    const passage: Passage = { client, server, broken: swallows }
    passages.add(passage)
    client.once('close', () => {
      passages.delete(passage)
      server?.destroy()
    })
    if (!server) return void client.resume()
    server.on('error', () => client.destroy())
    server.write(first)
    client.pipe(server)
    void forward(passage, server, conduct, createRandom(seed + connections))
  }

  async function forward(passage: Passage, server: Socket, conduct: Conduct, random: () => number): Promise<void> {
    const { client } = passage
    const { latency = 0, jitter = 0, bandwidth = Infinity, pieces = [Infinity], slowHead, breaks } = conduct
    let forwarded = 0
    let head = ''
    let piece = 0
    let left = pieces[0] as number
    try {
      for await (const chunk of server as AsyncIterable<Buffer>) {
        bytes += chunk.length
        let rest = chunk
        while (rest.length > 0 && !passage.broken) {
          const inHead = slowHead !== undefined && !head.endsWith('\r\n\r\n')
          const untilBreak = (breaks?.after ?? Infinity) - forwarded
          const next = rest.subarray(0, Math.min(inHead ? 1 : left, untilBreak))
          rest = rest.subarray(next.length)
          if (inHead) head += next.toString('latin1')
          await wait((inHead ? slowHead : latency + jitter * random()) + (1_000 * next.length) / bandwidth)
          if (passage.broken || client.destroyed) break
          client.write(next)
          forwarded += next.length
          left -= next.length
          if (left === 0) {
            piece += 1
            left = pieces[piece % pieces.length] as number
            // The reader gets a turn, or the kernel would join the two.
            await turn()
          }
          if (breaks && forwarded >= breaks.after) breakOff(passage, breaks.by)
        }
      }
      if (!passage.broken) client.end()
    } catch {
      if (!passage.broken) client.resetAndDestroy()
    }
  }

  function breakOff(passage: Passage, by: Break): void {
    passage.broken = true
    if (by === 'end') passage.client.end()
    // A reader that finds the reset right behind the last bytes takes it for an orderly end.
    if (by === 'reset') void turn().then(() => passage.client.resetAndDestroy())
    if (by !== 'stall') passage.server?.destroy()
  }

  async function close(): Promise<void> {
    running.delete(proxy)
    const closed = new Promise((resolve) => listener.close(resolve))
    for (const socket of sockets) socket.destroy()
    await closed
  }
}

/** For `afterEach`. */
export async function closeProxies(): Promise<void> {
  await Promise.all([...running].map((proxy) => proxy.close()))
}

function wait(ms: number): Promise<void> | undefined {
  return ms > 0 ? new Promise((resolve) => setTimeout(resolve, ms)) : undefined
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
}
