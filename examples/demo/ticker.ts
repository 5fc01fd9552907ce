import { createJournal, type Message } from './journal.ts'
import { type Condition, createStream, type Stream } from './stream.ts'

/** The corn exchange: the prices of a few grains, a few hundred of them a second. */
export interface Ticker {
  readonly stream: Stream
  /** So many prices at once. */
  flood(count: number): void
  close(): void
}

const symbols = ['OATS', 'RYE', 'WHEAT', 'BARLEY', 'MAIZE', 'SPELT', 'MILLET', 'FLAX'] as const
const tickEvery = 33

export function createTicker(condition: () => Condition): Ticker {
  const grains = symbols.map((symbol, n) => ({ symbol, fair: 60 + 45 * n, price: 60 + 45 * n, drift: 0 }))
  // No larger than what a client can be expected to recognise when all of it is replayed (Millrace: 1,024 events).
  const journal = createJournal(1_000)
  const stream = createStream({ journal, condition, welcome: journal.all })
  const timer = setInterval(() => journal.publish(...grains.map(next)), tickEvery)

  return {
    stream,
    flood(count) {
      journal.publish(...Array.from({ length: count }, (_, n) => next(grains[n % grains.length]!)))
    },
    close() {
      clearInterval(timer)
      stream.close()
    },
  }
}

/** A walk with some momentum, and some noise, that is drawn back to the fair price. */
function next(grain: { symbol: string; fair: number; price: number; drift: number }): Message {
  grain.drift = grain.drift * 0.985 + (Math.random() - 0.5) * 0.00009
  const noise = (Math.random() - 0.5) * 0.0009
  grain.price *= 1 + grain.drift + noise + (grain.fair / grain.price - 1) * 0.002
  return ['price', { symbol: grain.symbol, price: Math.round(grain.price * 100) / 100, at: Date.now() }]
}
