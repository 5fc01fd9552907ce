import { ticker } from './channels.js'
import { createSparkline } from './sparkline.js'
import { byId, element, setText } from './text.js'

/** ms: words at a pace to be read. */
const wordsEvery = 250
const mostGrains = 12

/** A row and a line for each grain. However many prices come, they are taken once per frame. */
export function showTicker(vitals, motion) {
  const list = byId('ticker-grains')
  const grains = new Map()
  // How far this clock is ahead of the server's, at least: lines are drawn in the server's time.
  let ahead = Number.POSITIVE_INFINITY

  vitals.watch(ticker, { batch: (events) => events.forEach(take) }, 'ticker panel')
  motion.animate(list, draw)
  setInterval(speak, wordsEvery)

  function take({ data: { symbol, price, at }, receivedAt }) {
    ahead = Math.min(ahead, receivedAt - at)
    const grain = grains.get(symbol) ?? (grains.size < mostGrains ? addGrain(symbol) : undefined)
    if (!grain || at < grain.at) return
    grain.price = price
    grain.at = at
    grain.line.add(at, price)
  }

  function addGrain(symbol) {
    const row = element('li', 'grain')
    const canvas = element('canvas', 'line')
    canvas.setAttribute('aria-hidden', 'true')
    const price = element('span', 'price')
    const change = element('span', 'change')
    row.append(element('span', 'symbol', symbol), price, change, canvas)
    list.append(row)
    const grain = {
      row,
      price: 0,
      at: 0,
      shown: { price, change },
      line: createSparkline(canvas, motion.colour('water')),
    }
    grains.set(symbol, grain)
    return grain
  }

  function draw() {
    const now = Date.now() - ahead
    for (const { line } of grains.values()) line.draw(now)
  }

  function speak() {
    for (const { price, line, row, shown } of grains.values()) {
      const change = (price / (line.first()?.value ?? price) - 1) * 100
      setText(shown.price, price.toFixed(2))
      setText(shown.change, `${change < 0 ? '▼' : '▲'} ${Math.abs(change).toFixed(2)} %`)
      row.dataset.direction = change < 0 ? 'down' : 'up'
    }
  }
}
