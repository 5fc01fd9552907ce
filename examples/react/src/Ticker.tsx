import { useChannel } from 'millrace/react'
import { ticker } from './channels.ts'
import { Status } from './Status.tsx'

const sameSymbols = (a: string[], b: string[]) => a.join() === b.join()

export function Ticker() {
  const { data: symbols } = useChannel(ticker, { select: Object.keys, isEqual: sameSymbols, label: 'Ticker' })
  return (
    <section id="ticker">
      <h2>
        Corn exchange <Status channel={ticker} />
      </h2>
      <ul className="grains">
        {symbols?.map((symbol) => (
          <Grain key={symbol} symbol={symbol} />
        ))}
      </ul>
    </section>
  )
}

/** Renders when its own price has changed, at most once a frame. */
function Grain({ symbol }: { symbol: string }) {
  const { data: price } = useChannel(ticker, { select: (prices) => prices[symbol], label: `Grain ${symbol}` })
  if (!price) return null
  const change = (price.last / price.from - 1) * 100
  return (
    <li data-direction={change < 0 ? 'down' : 'up'}>
      <span>{symbol}</span>
      <output>{price.last.toFixed(2)}</output>
      <small>
        {change < 0 ? '▼' : '▲'} {Math.abs(change).toFixed(2)} %
      </small>
    </li>
  )
}
