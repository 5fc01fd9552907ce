import { configError } from './errors'
import { fingerprint } from './fingerprint'
import { attempt } from './platform'

/** What relative URLs are relative to: the given base, else the document (or the worker's script). */
export function resolveUrl(url: string | URL, base?: string | URL): URL {
  try {
    return new URL(url, base === undefined ? pageUrl() : new URL(base, pageUrl()))
  } catch {
    throw configError('an absolute URL, or `baseUrl`', 'neither')
  }
}

/** What a page's own URLs are relative to; undefined outside of pages and workers. */
export function pageUrl(): string | undefined {
  return attempt(() => (typeof document === 'undefined' ? location.href : document.baseURI))
}

/** Undefined where a URL has none, such as that of a page in a file. */
export function originOf(url: string | URL | undefined): string | undefined {
  const origin = attempt(() => new URL(url as string).origin)
  return origin === 'null' ? undefined : origin
}

/**
 * The endpoint of a request: method, origin and path, without its query, fragment and user info. It is the unit of
 * breakers, budgets and concurrency, and all of a request that an error, an alert or a statistic may show.
 */
export function endpointOf(method: string, { origin, pathname, protocol }: URL): string {
  return `${method} ${origin === 'null' ? protocol : origin}${pathname}`
}

/**
 * A channel's key from a URL that may carry a secret: its user info, query and fragment stand in it as a hash, so that
 * statistics, alerts and logs show its path alone. `subscribe(url)` and polling `useJson` name their channels by it.
 *
 * @example
 * ```ts
 * import { defineChannel, urlKey } from 'millrace'
 *
 * const prices = (url: string) => defineChannel({ key: ['prices', urlKey(url)], stream: url })
 * ```
 */
export function urlKey(url: string | URL): string {
  const text = String(url)
  const shown = text.replace(/[?#].*/s, '').replace(/\/\/[^/]*@/, '//')
  return shown === text ? text : `${shown} ${fingerprint(text)}`
}
