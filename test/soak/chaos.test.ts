import { afterEach, expect, test } from 'vitest'
import { closeClients, startClient } from '../behaviour/channels/watch'
import { type Server, surviveChaos } from '../laws/chaos'
import { figure } from '../support/figures'
import { closeServers } from '../support/http-server'

afterEach(closeClients)
afterEach(closeServers)

const SEEDS = Number(process.env.SEEDS ?? 200)
/** How many run side by side: most of a run is waiting for a server that does not answer. */
const LANES = 4

const servers: Server[] = ['replays', 'replays, with a snapshot', 'has ids but replays nothing', 'has no ids']
test.each(servers)(`law 3 holds for ${SEEDS} seeds and a server that %s`, async (server) => {
  const left = Array.from({ length: SEEDS }, (_, seed) => seed + 1)
  const failures: string[] = []
  const lane = async () => {
    for (let seed = left.shift(); seed !== undefined; seed = left.shift()) {
      const { client } = startClient({
        limits: { backgroundPerMinute: Infinity },
        breaker: { cooldown: 50 },
        backoff: { base: 4, cap: 30, resetAfter: 100 },
      })
      const events = server.startsWith('replays') ? 3_000 : 1_000
      await surviveChaos(client, { seed, server, events, faults: 20 }).catch((error: Error) =>
        failures.push(error.message),
      )
      client.close()
    }
  }
  await Promise.all(Array.from({ length: LANES }, lane))
  expect(failures).toEqual([])
  figure('Chaos', `a server that ${server}`, `${SEEDS} seeds, 20 faults each: every event once and in order`)
})
