import { createClient, type Stats } from 'millrace'
import { useEffect, useState } from 'react'
import { useClient } from './provider'

/**
 * What the client knows about itself, for a dashboard: renders when something has happened, at most 4 times a second. What
 * was too much for that shows with what happens next.
 *
 * @example
 * ```tsx
 * import { useStats } from 'millrace/react'
 *
 * function Saved() {
 *   const { requests, channels } = useStats()
 *   return <p>{channels.length} channels, {Math.round(requests.saved * 100)} % of requests saved</p>
 * }
 * ```
 */
export function useStats(): Stats {
  const client = useClient()
  const [stats, setStats] = useState(beforeAnything)
  useEffect(() => {
    const renew = () => setStats(client.stats())
    let left = BURST
    let at = 0
    // An adapter has no clock: what the client tells of, and when that was, sets the pace.
    const stops = KINDS.map((kind) =>
      client.on(kind, (what) => {
        const { event, startedAt, since } = what as Timed
        const now = event?.receivedAt ?? startedAt ?? since ?? at
        if (now > at) {
          left = Math.min(BURST, left + (now - at) / EVERY)
          at = now
        }
        // The switch is the last word: what comes next may be long in coming.
        if (left < 1 && kind !== 'switch') return
        left--
        queueMicrotask(renew)
      }),
    )
    queueMicrotask(renew)
    return () => {
      for (const stop of stops) stop()
    }
  }, [client])
  return stats
}

const KINDS = ['request', 'subscribe', 'unsubscribe', 'event', 'status', 'switch', 'alert'] as const
/** Two at once, then one each so many ms: never more than four in a second. */
const BURST = 2
const EVERY = 500

/** The times that some of what happens comes with. */
interface Timed {
  startedAt?: number
  since?: number
  event?: { receivedAt: number }
}

/** What a server renders, and a page hydrates: those of a client to whom nothing has happened. */
function beforeAnything(): Stats {
  return { ...createClient().stats(), since: 0 }
}
