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
  motion.onFrame(draw)

  /** As a hook would whose effect depends on what it sets: no pause, no end in sight, each URL another. */
  async function run() {
    start.disabled = true
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
    start.disabled = false
    announce(`${outcomes.filter((outcome) => outcome === 'refused').length} of ${requests} requests were refused`)
  }

  function settle(index, outcome, error) {
    outcomes[index] = outcome
    if (error && byId('runaway-verdict').textContent === '') setText(byId('runaway-verdict'), error.message)
    showCounts()
  }

  function showCounts() {
    const refused = outcomes.filter((outcome) => outcome === 'refused').length
    setText(byId('runaway-asked'), count(outcomes.length))
    setText(byId('runaway-reached'), outcomes.length === 0 ? 0 : count(seen - seenBefore))
    setText(byId('runaway-refused'), count(refused))
    if (outcomes.length > 0) {
      canvas.setAttribute('aria-label', `${outcomes.length} requests, ${refused} of them refused`)
    }
  }

  function draw() {
    const { width, height } = fitScreen(canvas)
    const pen = canvas.getContext('2d')
    const pitch = width / across
    const size = Math.min(pitch, height / (requests / across)) * 0.62
    pen.clearRect(0, 0, width, height)
    for (let n = 0; n < requests; n++) {
      const x = (n % across) * pitch + (pitch - size) / 2
      const y = Math.floor(n / across) * (height / (requests / across)) + (height / (requests / across) - size) / 2
      const outcome = outcomes[n]
      pen.beginPath()
      pen.roundRect(x, y, size, size, size / 4)
      if (outcome === 'answered') {
        pen.fillStyle = motion.colour('water')()
        pen.fill()
      } else {
        pen.strokeStyle = motion.colour(outcome === 'refused' ? 'brick' : 'rule')()
        pen.lineWidth = Math.max(1, size * 0.12)
        pen.stroke()
      }
    }
  }
}
