import { fitScreen } from './motion.js'

const shown = 20_000
/** ms without a price that leave a hole in the line, which fills when a reconnect brings what was missed. */
const hole = 1_000
/** ms: more would not be seen. */
const finest = 80

/** A line of the last 20 s, which flows with time. `colour` (#rrggbb) is asked at each drawing, since the theme may change. */
export function createSparkline(canvas, colour) {
  const points = []
  let low
  let high

  return { add, draw, first: () => points[0] }

  function add(at, value) {
    const before = points.at(-2)
    if (before && at - before.at < finest) points.pop()
    points.push({ at, value })
    forget(at)
  }

  function forget(now) {
    while (points.length > 0 && points[0].at < now - shown) points.shift()
  }

  function draw(now) {
    forget(now)
    const { width, height, ratio } = fitScreen(canvas)
    const pen = canvas.getContext('2d')
    pen.clearRect(0, 0, width, height)
    if (points.length === 0) return
    settleRange()

    const x = ({ at }) => width - 4 * ratio - ((now - at) / shown) * (width - 4 * ratio)
    const y = ({ value }) => height - (0.12 + 0.76 * ((value - low) / (high - low))) * height
    const line = new Path2D()
    const water = new Path2D()
    for (const run of runs()) {
      line.moveTo(x(run[0]), y(run[0]))
      water.moveTo(x(run[0]), height)
      for (const point of run) {
        line.lineTo(x(point), y(point))
        water.lineTo(x(point), y(point))
      }
      water.lineTo(x(run.at(-1)), height)
      water.closePath()
    }

    const gradient = pen.createLinearGradient(0, 0, 0, height)
    gradient.addColorStop(0, `${colour()}50`)
    gradient.addColorStop(1, `${colour()}05`)
    pen.fillStyle = gradient
    pen.fill(water)
    pen.strokeStyle = colour()
    pen.lineWidth = 1.5 * ratio
    pen.lineJoin = 'round'
    pen.stroke(line)
    const head = points.at(-1)
    pen.beginPath()
    pen.arc(x(head), y(head), 2.5 * ratio, 0, 2 * Math.PI)
    pen.fillStyle = colour()
    pen.fill()
  }

  /** The lines between the holes. */
  function runs() {
    const all = []
    let last = Number.NEGATIVE_INFINITY
    for (const point of points) {
      if (point.at - last > hole) all.push([])
      all.at(-1).push(point)
      last = point.at
    }
    return all
  }

  /** The scale follows the prices slowly, so that the line does not jump when an extreme leaves the window. */
  function settleRange() {
    let lowest = Number.POSITIVE_INFINITY
    let highest = Number.NEGATIVE_INFINITY
    for (const { value } of points) {
      if (value < lowest) lowest = value
      if (value > highest) highest = value
    }
    const room = Math.max((highest - lowest) * 0.1, highest * 0.0005)
    low = low === undefined ? lowest - room : low + (lowest - room - low) * 0.08
    high = high === undefined ? highest + room : high + (highest + room - high) * 0.08
  }
}
