/** The slots of an origin as locks, so that all tabs together stay under the browser's six connections. */
import { isMultiplexed, type StreamSlots } from '../stream-slots'
import type { TabPlatform } from './platform'
import { tabName } from './wire'

export function createTabSlots({ locks }: TabPlatform, page: StreamSlots): StreamSlots {
  return {
    enter(origin, limit, onSlot, onWait) {
      const count = limit()
      if (count === Infinity || isMultiplexed(origin)) return page.enter(origin, limit, onSlot, onWait)
      const names = Array.from({ length: count }, (_, n) => tabName('slot', `${origin} ${n}`))
      const waiting = new AbortController()
      let hasLeft = false
      let leave = () => {
        hasLeft = true
        waiting.abort()
      }
      void take().catch(() => {
        // No locks here after all (a sandboxed frame): this page counts for itself.
        if (!hasLeft) leave = page.enter(origin, limit, onSlot, onWait)
      })
      return () => leave()

      async function take(): Promise<void> {
        for (const name of names) if (hasLeft || (await request(name, { ifAvailable: true }))) return
        if (hasLeft) return
        onWait()
        await Promise.race(names.map((name) => request(name, { signal: waiting.signal }).catch(() => {})))
      }

      /** Resolves, with whether there is one, as soon as that is known; holds it until this leaves. */
      function request(name: string, options: { ifAvailable?: true; signal?: AbortSignal }): Promise<boolean> {
        return new Promise((resolve, reject) => {
          locks
            .request(name, options, (lock) => {
              resolve(lock !== null)
              // Several may be granted at once; one is enough.
              if (lock === null || hasLeft || waiting.signal.aborted) return undefined
              waiting.abort()
              const held = new Promise<void>((free) => {
                leave = () => {
                  hasLeft = true
                  free()
                }
              })
              onSlot()
              return held
            })
            .catch(reject)
        })
      }
    },
  }
}
