// <runtime> smoke.js <origin>: follows /stream to its sixth event, asks /snapshot, closes, and is done. One line for each thing.
import { createClient, defineChannel, isMillraceError, MillraceError } from 'millrace'

const [origin] = process.argv.slice(2)
const client = createClient({ baseUrl: origin, backoff: { base: 20, cap: 100 } })
const say = (what, value) => console.log(JSON.stringify([what, value]))

const numbers = defineChannel({ key: ['numbers'], stream: '/stream' })
await new Promise((resolve) => {
  client.subscribe(numbers, {
    next({ data, id }) {
      say('event', [id, data.n])
      if (data.n === 6) resolve()
    },
    state: ({ status, attempt }) => say('status', `${status} ${attempt}`),
  })
})

const polled = defineChannel({ key: ['polled'], snapshot: '/snapshot', interval: 1_000 })
await new Promise((resolve) => {
  let answers = 0
  const stop = client.on('request', ({ endpoint }) => {
    if (!endpoint.endsWith('/snapshot') || ++answers < 2) return
    stop()
    resolve()
  })
  client.subscribe(polled, {})
})
say('polled', client.getState(polled).data.last)

const error = await client.json('/nowhere').catch((error) => error)
say('error', [isMillraceError(error), error instanceof MillraceError, error.code, error.status])
client.close()
say('timers', client.stats().timers.length)
