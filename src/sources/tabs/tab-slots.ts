/** The slots of an origin as locks, so that all tabs together stay under the browser's six connections. */
import { isMultiplexed, type StreamSlots } from '../stream-slots'
import type { TabPlatform } from './platform'
import { tabName } from './wire'

export function createTabSlots({ locks }: TabPlatform, page: StreamSlots): StreamSlots {
  return {
    async take(origin, limit, signal, onWait) {
      const count = limit()
      if (count === Infinity || isMultiplexed(origin)) return page.take(origin, limit, signal, onWait)
      const names = Array.from({ length: count }, (_, n) => tabName('slot', `${origin} ${n}`))
      const waiting = new AbortController()
      signal.addEventListener('abort', () => waiting.abort())
      try {
        for (const name of names) if (signal.aborted || (await request(name, { ifAvailable: true }))) break
        if (!waiting.signal.aborted) {
          onWait()
          await Promise.race(names.map((name) => request(name, { signal: waiting.signal }).catch(() => {})))
        }
      } catch {
        // No locks here after all (a sandboxed frame): this page counts for itself.
        return page.take(origin, limit, signal, onWait)
      }
      if (signal.aborted) throw signal.reason

      /** Resolves, with whether there is one, as soon as that is known; holds it as long as it is wanted. */
      function request(name: string, options: { ifAvailable?: true; signal?: AbortSignal }): Promise<boolean> {
        return new Promise((resolve, reject) => {
          locks
            .request(name, options, (lock) => {
              resolve(lock !== null)
              // Several may be granted at once; one is enough.
              if (lock === null || waiting.signal.aborted) return undefined
              waiting.abort()
              return new Promise<void>((free) => signal.addEventListener('abort', () => free()))
            })
            .catch(reject)
        })
      }
    },
  }
}
