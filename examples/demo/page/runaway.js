import { fitScreen } from './motion.js'
import { announce, byId, count, setText } from './text.js'

const requests = 400
const across = 40

/** A hook gone wrong, and the guard that ends it: what was asked for, what the server got to see. */
export function showRunaway(client, counters, motion) {
  const canvas = byId('runaway-requests')
  const start = byId('runaway-start')
  const outcomes = []
  let seenBefore = 0
  let seen = 0

  start.addEventListener('click', run)
  counters.onCount(({ sessions }) => {
    seen = sessions
    showCounts()
  })
  client.on('alert', ({ code, message }) => {
    if (code === 'runaway') setText(byId('runaway-verdict'), message)
  })
  motion.animate(canvas, draw)

  /** As a hook would whose effect depends on what it sets: no pause, no end in sight, each URL another. */
  async function run() {
    start.disabled = true
    await counters.look()
    seenBefore = seen
    outcomes.length = 0
    const answers = []
    for (let render = 1; render <= requests; render++) {
      const index = outcomes.push('waiting') - 1
      const answer = client.fetch(`/api/sessions?render=${render}`, {}, { label: 'useSessions' })
      answers.push(
        answer.then(
          () => settle(index, 'answered'),
          (error) => settle(index, 'refused', error),
        ),
      )
    }
    await Promise.all(answers)
    await counters.look()
    start.disabled = false
    announce(`${numberOf('refused')} of ${requests} requests were refused`)
  }

  function settle(index, outcome, error) {
    outcomes[index] = outcome
    if (error && byId('runaway-verdict').textContent === '') setText(byId('runaway-verdict'), error.message)
    showCounts()
  }

  function showCounts() {
    if (outcomes.length === 0) return
    setText(byId('runaway-asked'), count(outcomes.length))
    setText(byId('runaway-reached'), count(seen - seenBefore))
    setText(byId('runaway-refused'), count(numberOf('refused')))
    canvas.setAttribute('aria-label', `${outcomes.length} requests, ${numberOf('refused')} of them refused`)
  }

  function numberOf(outcome) {
    return outcomes.filter((each) => each === outcome).length
  }

  /** A square for each request: full if it was answered, hollow if not. */
  function draw() {
    const { width, height } = fitScreen(canvas)
    const pen = canvas.getContext('2d')
    const pitch = width / across
    const size = pitch * 0.62
    const squares = { waiting: new Path2D(), answered: new Path2D(), refused: new Path2D() }
    for (let n = 0; n < requests; n++) {
      const x = (n % across) * pitch + (pitch - size) / 2
      const y = Math.floor(n / across) * pitch + (pitch - size) / 2
      squares[outcomes[n] ?? 'waiting'].roundRect(x, y, size, size, size / 4)
    }
    pen.clearRect(0, 0, width, height)
    pen.fillStyle = motion.colour('water')()
    pen.fill(squares.answered)
    pen.lineWidth = Math.max(1, size * 0.12)
    pen.strokeStyle = motion.colour('brick')()
    pen.stroke(squares.refused)
    pen.strokeStyle = motion.colour('rule')()
    pen.stroke(squares.waiting)
  }
}
