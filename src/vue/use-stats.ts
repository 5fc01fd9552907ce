import { getClient, noStats, type Stats } from 'millrace'
import { type Ref, shallowRef } from 'vue'
import { useProvided } from './client'
import { whileActive } from './while-active'

/**
 * What the client knows about itself, for a dashboard: 4 updates a second.
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
  const client = useProvided()
  const stats = shallowRef(noStats)
  whileActive(
    () => '',
    () =>
      (client ?? getClient()).on('stats', (now) => {
        stats.value = now
      }),
  )
  return stats
}
