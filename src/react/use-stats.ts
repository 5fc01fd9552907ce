import { noStats, type Stats } from 'millrace'
import { useEffect, useState } from 'react'
import { useClient } from './provider'

/**
 * What the client knows about itself, for a dashboard: 4 updates a second.
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
  const [stats, setStats] = useState(noStats)
  useEffect(() => client.on('stats', setStats), [client])
  return stats
}
