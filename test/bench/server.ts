import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** How many events `/burst` sends as fast as they are read, and then no more; the stream stays open. */
export const BURST = 40_000

/** What an event says. */
export interface Quote {
  readonly symbol: string
  readonly last: number
  readonly bid: number
  readonly ask: number
  readonly volume: number
  /** ms by the monotonic clock that all processes of a machine share, when it was written. */
  readonly at: number
}

/** ms by the clock of `Quote.at`. */
export function monotonic(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

export interface BenchServer {
  readonly origin: string
  stop(): void
}

/** A server in a process of its own, so that what it costs is not what is measured. */
export async function startServer(): Promise<BenchServer> {
  const child = fork(fileURLToPath(new URL('server.child.ts', import.meta.url)), {
    // Whoever starts it may run TypeScript in another way.
    execArgv: ['--import', 'tsx'],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  const [origin] = (await once(child, 'message')) as [string]
  return { origin, stop: () => void child.kill() }
}
