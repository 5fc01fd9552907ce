import { createClient, defineChannel, type StreamEvent } from '../../src/index'

/**
 * A client that is told a gigabyte: `kind url`. Five times a second, and when it is asked, it tells its parent how it is.
 */
export interface Told {
  /** Events in order from 1 on. */
  readonly heard: number
  /** The first that was not, if there was one. */
  readonly wrong: string
  readonly codes: readonly string[]
  readonly status: string
  /** Bytes that the process had at its worst, and before it began. */
  readonly peak: number
  readonly before: number
  /** ms that its event loop stood still at the longest. */
  readonly longestPause: number
}

const [kind, url = ''] = process.argv.slice(2)
const none = Number.POSITIVE_INFINITY
const codes = new Set<string>()
let heard = 0
let wrong = ''
let longestPause = 0
let lookedAt = performance.now()
const maxRss = (): number => process.resourceUsage().maxRSS * 1_024

const client = createClient({
  environment: 'production',
  backoff: { base: 1, cap: 8, resetAfter: 1 },
  limits: { backgroundPerMinute: none, burst: none },
})
const channel =
  kind === 'snapshot'
    ? defineChannel<unknown, StreamEvent>({ key: url, snapshot: url } as never)
    : defineChannel<unknown, StreamEvent>({ key: url, stream: url })
const before = maxRss()
const subscription = client.subscribe(channel, {
  next({ data: { n } }) {
    if (n === heard + 1) heard = n
    else wrong ||= `${n} after ${heard}`
  },
  state: ({ error }) => error && codes.add(error.code),
})

const timer = setInterval(tell, 200)
process.on('message', () => {
  tell()
  subscription.unsubscribe()
  client.close()
  clearInterval(timer)
  process.disconnect()
})
process.once('disconnect', () => setTimeout(() => process.exit(3), 10_000).unref())

function tell(): void {
  longestPause = Math.max(longestPause, performance.now() - lookedAt - 200)
  lookedAt = performance.now()
  const { status } = subscription.state
  process.send?.({ heard, wrong, codes: [...codes], status, before, peak: maxRss(), longestPause } satisfies Told)
}
