import { board } from './channels.js'
import { fitScreen } from './motion.js'
import { byId, count, setText } from './text.js'

const turn = 2 * Math.PI
const spokes = 6
const mostWheels = 600

/**
 * A wheel for each of many subscribers to one stream. An event pushes every wheel by its own subscriber's handler;
 * between events they coast, and without a stream they come to rest.
 */
export function showRace(client, counters, motion) {
  const canvas = byId('wheels')
  const wheels = []
  let flowed = 0
  let flow = 0

  byId('add-wheels').addEventListener('click', () => add(50))
  byId('remove-wheels').addEventListener('click', () => remove(50))
  counters.onCount(({ connections }) => {
    setText(byId('race-connections'), connections.board)
    setText(byId('race-noun'), connections.board === 1 ? 'connection' : 'connections')
  })
  motion.animate(canvas, draw)
  add(7)

  function add(number) {
    for (let n = 0; n < number && wheels.length < mostWheels; n++) {
      const wheel = { angle: Math.random() * turn, speed: 0 }
      const label = `wheel ${wheels.length + 1}`
      wheel.subscription = client.subscribe(board, { next: () => push(wheel) }, { label })
      wheels.push(wheel)
    }
    tell()
  }

  function remove(number) {
    for (const { subscription } of wheels.splice(Math.max(0, wheels.length - number))) subscription.unsubscribe()
    tell()
  }

  function push(wheel) {
    if (motion.reduced) wheel.angle += turn / spokes / 8
    else wheel.speed = Math.min(2.4, wheel.speed + 0.9 + Math.random() * 0.3)
  }

  function tell() {
    setText(byId('race-subscribers'), count(wheels.length))
    canvas.setAttribute('aria-label', `${wheels.length} water wheels on one mill race`)
    byId('add-wheels').disabled = wheels.length >= mostWheels
    byId('remove-wheels').disabled = wheels.length === 0
  }

  function draw(ms) {
    const passed = Math.min(ms, 100) / 1000
    const { width, height, ratio } = fitScreen(canvas)
    const pen = canvas.getContext('2d')
    pen.clearRect(0, 0, width, height)
    const live = client.getState(board).status === 'live'
    flow += ((live ? 1 : 0) - flow) * Math.min(1, passed * 1.5)
    if (!motion.reduced) flowed += flow * passed

    // The water runs from edge to edge, the wheels stand as wide as the text.
    const grid = layOut(Math.min(width - 40 * ratio, 1_240 * ratio), height, Math.max(1, wheels.length))
    const wood = { frame: new Path2D(), boards: new Path2D() }
    wheels.forEach((wheel, n) => {
      wheel.angle += wheel.speed * passed
      wheel.speed *= Math.exp(-passed / 1.6)
      const row = Math.floor(n / grid.columns)
      const across = Math.min(grid.columns, wheels.length - row * grid.columns)
      const x = width / 2 + ((n % grid.columns) - (across - 1) / 2) * grid.pitch
      addWheel(wood, x, (row + 0.5) * grid.rowHeight, grid.radius, wheel.angle)
    })
    pen.strokeStyle = motion.colour('wood')()
    pen.lineWidth = Math.max(0.8, grid.radius * 0.045)
    pen.stroke(wood.frame)
    pen.lineWidth = Math.max(1, grid.radius * 0.09)
    pen.stroke(wood.boards)
    for (let row = 0; row < grid.rows; row++) drawWater(pen, row, grid, width)
  }

  /** Over the feet of the wheels: three waves, one behind the other, and the water below the first. */
  function drawWater(pen, row, { rowHeight, radius }, width) {
    const middle = (row + 0.5) * rowHeight
    const bottom = middle + rowHeight / 2
    const length = Math.max(16, radius * 1.3)
    const water = pen.createLinearGradient(0, middle + radius * 0.6, 0, bottom)
    water.addColorStop(0, `${motion.colour('foam')()}80`)
    water.addColorStop(1, `${motion.colour('foam')()}00`)
    pen.fillStyle = water
    pen.strokeStyle = motion.colour('foam')()
    pen.lineWidth = Math.max(1, radius * 0.03)
    for (const [depth, speed] of [
      [0.62, 2.6],
      [0.78, 1.9],
      [0.94, 1.3],
    ]) {
      const wave = new Path2D()
      for (let x = 0; x <= width + 8; x += 8) {
        const swell = Math.sin(x / length - flowed * speed) + 0.4 * Math.sin(x / length / 2.3 - flowed * speed * 0.7)
        wave.lineTo(x, middle + radius * (depth + swell * 0.045))
      }
      pen.globalAlpha = 0.75 - depth * 0.55
      pen.stroke(wave)
      pen.globalAlpha = 1
      if (depth > 0.62) continue
      wave.lineTo(width + 8, bottom)
      wave.lineTo(0, bottom)
      pen.fill(wave)
    }
  }
}

/** The arrangement in which the wheels are largest. */
function layOut(width, height, wheels) {
  let best
  for (let rows = 1; rows <= 12; rows++) {
    const columns = Math.ceil(wheels / rows)
    const pitch = Math.min(width / columns, (height / rows) * 1.35)
    const radius = Math.min(pitch * 0.4, (height / rows) * 0.42)
    if (!best || radius > best.radius) best = { rows, columns, pitch, radius, rowHeight: height / rows }
  }
  return best
}

/** Two rims, a hub, spokes, and boards that take the water; of a small wheel what can be seen of it. */
function addWheel({ frame, boards }, x, y, radius, angle) {
  const small = radius < 14
  for (const rim of small ? [0.78] : [0.13, 0.74, 0.92]) {
    frame.moveTo(x + radius * rim, y)
    frame.arc(x, y, radius * rim, 0, turn)
  }
  for (let n = 0; n < spokes; n++) addBar(frame, 0.13, 0.74, n / spokes)
  const floats = small ? spokes : spokes * 2
  for (let n = 0; n < floats; n++) addBar(boards, 0.74, 1, (n + 0.5) / floats)

  function addBar(path, from, to, part) {
    const towards = angle + part * turn
    path.moveTo(x + Math.cos(towards) * from * radius, y + Math.sin(towards) * from * radius)
    path.lineTo(x + Math.cos(towards) * to * radius, y + Math.sin(towards) * to * radius)
  }
}
