import fc from 'fast-check'
import { afterAll, beforeAll, describe, test, vi } from 'vitest'
import { anyHistory, type Deed, play, type ServerKind } from './tab-histories'

beforeAll(() => void vi.spyOn(console, 'warn').mockImplementation(() => {}))
afterAll(() => void vi.restoreAllMocks())

const RUNS = Number(process.env.HISTORIES ?? 150)
const SEED = Number(process.env.SEED ?? 30)

describe('every event reaches every tab once and in order, whatever happens to the tabs', () => {
  const servers: ServerKind[] = ['replays', 'replays too much', 'has no ids']
  test.each(servers)('of a server that %s', { timeout: 600_000 }, async (server) => {
    await fc.assert(
      fc.asyncProperty(anyHistory(server), (history) => play(history, server)),
      { numRuns: RUNS, seed: SEED, endOnFailure: process.env.SHRINK === undefined },
    )
  })
})

/** Found by the histories above, each the shortest that went wrong. */
describe('nothing is lost, doubled or reported missing', () => {
  const open: Deed = { do: 'open', channels: 1 }
  const wait = (ms: number): Deed => ({ do: 'wait', ms })
  const append: Deed = { do: 'append', count: 1 }
  const lose = (tab: number, count: number): Deed => ({ do: 'lose messages', tab, count })
  const lag = (tab: number, ms: number): Deed => ({ do: 'lag', tab, ms })
  const steal: Deed = { do: 'steal the lock' }

  const histories: [name: string, ...deeds: Deed[]][] = [
    ['a tab without a past leads tabs that have one', open, open, { do: 'hang', tab: 0 }, append],
    [
      'a new leader is behind its followers',
      ...[open, wait(8), wait(3)],
      ...[{ do: 'freeze', tab: 0 } as const, open, open, { do: 'stall', tab: 4 } as const, append],
    ],
    [
      'a new leader is behind a follower that began where it gets to',
      ...[open, open, wait(2_000), append, wait(300), append, append, lose(0, 3), { do: 'open', channels: 2 } as const],
      ...[lose(0, 5), append, wait(100_000), append, steal],
    ],
    [
      'a tab that knows where it stands, but has had no event yet, follows another leader',
      ...[open, wait(16_000), append, lose(0, 2), steal, open, wait(5)],
      ...[{ do: 'stall', tab: 0 } as const, { do: 'wake', tab: 0 } as const],
    ],
    [
      'a tab stands still while it catches up',
      ...[open, wait(300), open, lag(0, 30), wait(8), append, steal, open, lag(0, 0), { do: 'stall', tab: 0 } as const],
    ],
    [
      'a tab stands still before it catches up',
      ...[open, { do: 'freeze', tab: 0 } as const, open, open, wait(100_000), lose(1, 1), append, wait(300), append],
      { do: 'stall', tab: 2 },
    ],
    ['the last word of a leader is lost', open, open, wait(3), lose(0, 1), wait(20), append],
    [
      'a leader that is behind its followers stands still while the server is down',
      ...[open, wait(5), lag(0, 30), open, { do: 'hang', tab: 0 } as const, wait(100_000), append, open],
      ...[{ do: 'wake', tab: 0 } as const, open, wait(20), { do: 'outage', ms: 20_000 } as const, steal, lose(1, 4)],
      ...[{ do: 'disable', tab: 6 } as const, wait(16_000), append, { do: 'wake', tab: 0 } as const],
      { do: 'stall', tab: 0 },
    ],
    [
      'a tab catches up with more than it remembers at once',
      ...[
        open,
        wait(300),
        { do: 'freeze', tab: 0 } as const,
        append,
        open,
        wait(2_000),
        { do: 'stall', tab: 1 } as const,
      ],
      ...[{ do: 'append', count: 1_100 } as const, { do: 'wake', tab: 0 } as const, append, append],
    ],
    [
      'a tab catches up, far past its leader, with more than it remembers at once',
      ...[open, { do: 'fall silent', tab: 0 } as const, wait(16_000), steal, append, open, wait(16_000), append],
      ...[{ do: 'append', count: 1_100 } as const, lag(0, 0), { do: 'disable', tab: 0 } as const],
      { do: 'wake', tab: 0 },
    ],
    [
      'another leader comes while a tab catches up with the one before',
      ...[open, open, { do: 'freeze', tab: 1 } as const, open, wait(2_000), append, open, steal],
      ...[{ do: 'hang', tab: 3 } as const, wait(16_000), steal, wait(20), { do: 'freeze', tab: 2 } as const, append],
    ],
    [
      'the lock is taken away while the first event is on its way',
      ...[open, open, wait(20), append, wait(3), steal, wait(0), wait(0), open],
    ],
    [
      'a page that went on alone joins a leader that does not move',
      ...[open, open, { do: 'open', channels: 1, late: 2_500 } as const, wait(60), { do: 'stall', tab: 0 } as const],
      ...[{ do: 'close the client', tab: 1 } as const, open, append, wait(0), { do: 'close', tab: 2 } as const],
    ],
    [
      'the clock is between two milliseconds',
      open,
      open,
      { do: 'stall', tab: 1 },
      { do: 'disable', tab: 0 },
      { do: 'enable', tab: 0 },
    ],
    [
      'who was about to take the lock from one that stands still stands still, too',
      { do: 'open', channels: 1 },
      { do: 'open', channels: 1 },
      { do: 'open', channels: 1 },
      { do: 'wait', ms: 2_000 },
      { do: 'freeze', tab: 0 },
      { do: 'stall', tab: 1 },
      { do: 'wait', ms: 16_000 },
      { do: 'stall', tab: 2 },
      { do: 'wait', ms: 16_000 },
      { do: 'wake', tab: 2 },
      { do: 'open', channels: 1 },
      { do: 'stall', tab: 2 },
      { do: 'wait', ms: 0 },
      { do: 'close', tab: 0 },
      { do: 'wait', ms: 0 },
    ],
  ]
  test.each(histories)('though %s', (_, ...deeds) => play({ seed: 0, deeds }, 'replays'))
})
