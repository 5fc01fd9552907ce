import fc from 'fast-check'
import { afterAll, beforeAll, test, vi } from 'vitest'
import { figure } from '../support/figures'
import { anyHistory, play, type ServerKind } from '../unit/tab-histories'

beforeAll(() => void vi.spyOn(console, 'warn').mockImplementation(() => {}))
afterAll(() => void vi.restoreAllMocks())

const HISTORIES = Number(process.env.HISTORIES ?? 3_000)
const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 1e6))

const servers: ServerKind[] = ['replays', 'replays too much', 'has no ids']
test.each(servers)(`law 3 holds for ${HISTORIES} histories of tabs, and a server that %s`, async (server) => {
  await fc.assert(
    fc.asyncProperty(anyHistory(server, 120), (history) => play(history, server)),
    { numRuns: HISTORIES, seed: SEED },
  )
  figure(
    'Modelled tabs',
    `a server that ${server}`,
    `${HISTORIES} random histories (seed ${SEED}): law 3 holds in every tab`,
  )
})
