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

export interface CacheEntry {
  readonly url: string
  readonly value: unknown
  readonly bytes: number
  /** When it came, by the second hand: whoever asks knows how old it may be. */
  readonly at: number
}

/** How often it was read, since when; goes on when its answer is replaced. */
export interface Reads {
  count: number
  since: number
}

/** Least recently used first out, bounded by entries and bytes. */
export interface ResponseCache {
  get(key: string): (CacheEntry & { readonly reads: Reads }) | undefined
  set(key: string, entry: CacheEntry, bounds: { readonly entries: number; readonly bytes: number }): void
  forget(matches: (url: string) => boolean): void
  figures(): { readonly entries: number; readonly bytes: number }
}

export function createResponseCache(account: (bytes: number) => void): ResponseCache {
  const cached = new Map<string, CacheEntry & { readonly reads: Reads; used: number }>()
  let bytes = 0
  /** Uses are numbered and looked through when something has to go: to move what is used would cost every hit more. */
  let uses = 0

  function remove(key: string): void {
    take(-(cached.get(key)?.bytes ?? 0))
    cached.delete(key)
  }

  function take(more: number): void {
    bytes += more
    account(more)
  }

  return {
    get(key) {
      const entry = cached.get(key)
      if (entry) entry.used = ++uses
      return entry
    },
    set(key, entry, bounds) {
      const { reads = { count: 0, since: entry.at } } = cached.get(key) ?? {}
      remove(key)
      if (entry.bytes > bounds.bytes) return
      cached.set(key, { ...entry, reads, used: ++uses })
      take(entry.bytes)
      while (cached.size > bounds.entries || bytes > bounds.bytes)
        remove([...cached].reduce((least, other) => (other[1].used < least[1].used ? other : least))[0])
    },
    forget(matches) {
      for (const [key, { url }] of cached) if (matches(url)) remove(key)
    },
    figures: () => ({ entries: cached.size, bytes }),
  }
}
