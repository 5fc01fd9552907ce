import { createClient, type MillraceError } from 'millrace'
import { startServer, startStream } from '../support/http-server'
import { until } from '../support/until'

export interface Torrent {
  /** Bytes of heap and buffers at the worst, above what there was before. */
  readonly peak: number
  readonly connections: number
  /** ms between the beginnings of the first connections. */
  readonly gaps: readonly number[]
  readonly codes: ReadonlySet<string>
}

/**
 * A server that, whoever connects, begins with `head` and then repeats `body` as fast as it is read; a client listens
 * until so many megabytes were sent.
 */
export async function endure(head: string, body: string, megabytes: number): Promise<Torrent> {
  const chunk = Buffer.from(body.repeat(Math.ceil(2 ** 16 / body.length)))
  let sent = 0
  let peak = 0
  const server = await startServer((_, response) => {
    startStream(response).write(head)
    const write = (): void => {
      peak = Math.max(peak, memory() - before)
      for (let more = true; more && !response.destroyed; sent += chunk.length) more = response.write(chunk)
      if (!response.destroyed) response.once('drain', write)
    }
    write()
  })
  const client = createClient({
    environment: 'production',
    backoff: { base: 4, cap: 64, jitter: 'none' },
    // The backoff alone is to hold it back.
    limits: { backgroundPerMinute: Infinity, burst: Infinity },
  })
  const errors: MillraceError['code'][] = []
  const before = memory()
  client.subscribe(server.url(), { state: ({ error }) => error && errors.push(error.code) })
  await until(() => sent >= megabytes * 1e6 && server.requests.length > 4, {
    what: `${megabytes} MB to be sent`,
    within: 30_000 + megabytes * 300,
  })
  const codes = new Set(errors)
  client.close()
  const times = server.requests.map(({ time }) => time)
  return {
    peak,
    connections: times.length,
    gaps: times.slice(1).map((time, index) => time - times[index]!),
    codes,
  }
}

function memory(): number {
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}
