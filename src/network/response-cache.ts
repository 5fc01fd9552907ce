/** What the cache may hold and for how long. */
export interface CacheOptions {
  /** ms that an answer to `json` counts as fresh. @defaultValue 2_000 */
  ttl: number
  /** @defaultValue 500 */
  entries: number
  /** @defaultValue 10 MiB */
  bytes: number
  /** ms after its freshness that an answer may stand in for one that cannot be had. @defaultValue 300_000 */
  staleIfError: number
}

export const defaultCache: CacheOptions = { ttl: 2_000, entries: 500, bytes: 10 * 2 ** 20, staleIfError: 300_000 }

export interface CacheEntry<T> {
  readonly url: string
  readonly value: T
  readonly bytes: number
  readonly freshUntil: number
  readonly staleUntil: number
}

/** Least recently used first out, bounded by entries and bytes; expiry is looked at when asked, there are no timers. */
export interface ResponseCache<T> {
  readonly entries: number
  readonly bytes: number
  /** Fresh or stale: the caller looks at `freshUntil`. */
  get(key: string, now: number): CacheEntry<T> | undefined
  set(key: string, entry: CacheEntry<T>, bounds: { readonly entries: number; readonly bytes: number }): void
  forget(matches: (url: string) => boolean): void
}

export function createResponseCache<T>(account: (bytes: number) => void): ResponseCache<T> {
  const cached = new Map<string, CacheEntry<T>>()
  let bytes = 0

  function remove(key: string): void {
    const entry = cached.get(key)
    if (!entry) return
    cached.delete(key)
    bytes -= entry.bytes
    account(-entry.bytes)
  }

  return {
    get entries() {
      return cached.size
    },
    get bytes() {
      return bytes
    },
    get(key, now) {
      const entry = cached.get(key)
      if (!entry) return undefined
      if (now >= entry.staleUntil) {
        remove(key)
        return undefined
      }
      cached.delete(key)
      cached.set(key, entry)
      return entry
    },
    set(key, entry, bounds) {
      remove(key)
      if (entry.bytes > bounds.bytes || bounds.entries < 1) return
      cached.set(key, entry)
      bytes += entry.bytes
      account(entry.bytes)
      while (cached.size > bounds.entries || bytes > bounds.bytes) remove(cached.keys().next().value as string)
    },
    forget(matches) {
      for (const [key, { url }] of cached) if (matches(url)) remove(key)
    },
  }
}
