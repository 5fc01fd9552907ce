import { createClient, defineChannel, type Stats } from 'millrace'
import type { Ref } from 'vue'
import { useClient } from './client'
import { live } from './live'

/**
 * What the client knows about itself, for a dashboard: 4 updates a second at most, none while the page is hidden.
 *
 * @example
 * ```ts
 * import { useStats } from 'millrace/vue'
 * import { computed } from 'vue'
 *
 * const stats = useStats()
 * const saved = computed(() => `${Math.round(stats.value.requests.saved * 100)} % saved`)
 * ```
 */
export function useStats(): Readonly<Ref<Stats>> {
  const { stats } = useClient()
  // Rates sink and minutes pass without an event, so it takes a timer, and those are the clock's alone: they are a
  // channel that polls, on a client that asks nobody and answers itself. Only in 'test' do polls come this often.
  const pace = createClient({ environment: 'test', fetch: async () => new Response('0') })
  const channel = defineChannel<Stats>({
    key: 'stats',
    snapshot: 'stats:',
    // With the jitter of polls on top, no second sees five.
    interval: 260,
    initial: stats(),
    fromSnapshot: stats,
  })
  return live(channel, undefined, pace).data as Readonly<Ref<Stats>>
}
