/** What is out of date, by a URL or by the beginning of a key. */
import { shown } from '../primitives/check'
import { configError } from '../primitives/errors'
import { hashKey } from '../primitives/hash-key'
import { attempt } from '../primitives/platform'
import { resolveUrl, urlKey } from '../primitives/url'
import type { ChannelDefinition } from '../registry/define-channel'
import { isUrl } from '../sources/target'
import type { Client } from './api'
import type { ClientContext } from './context'

type Match = Parameters<Client['invalidate']>[0]

export function invalidation(context: ClientContext): Pick<Client, 'invalidate'> {
  return {
    invalidate(match) {
      if (!Array.isArray(match) && typeof match !== 'string' && !isUrl(match))
        throw configError('a URL, or a key or its beginning', shown(match))
      if (context.closed) return
      context.tellTabs?.((others) => others.invalidate(Array.isArray(match) ? match : String(match)))
      invalidateHere(context, match)
    },
  }
}

/** In this tab. */
export function invalidateHere({ settings, requests, registry }: ClientContext, match: Match): void {
  if (Array.isArray(match)) {
    const parts = match.map((part) => hashKey([part]))
    const begins = (key: readonly unknown[]) =>
      parts.every((part, index) => index < key.length && part === hashKey([key[index]]))
    return registry?.invalidate(({ key }) => Array.isArray(key) && begins(key))
  }
  const url = match as string | URL
  const hrefOf = (each: string | URL) => attempt(() => resolveUrl(each, settings.baseUrl).href)
  const href = hrefOf(url)
  const names = [url, urlKey(url)]
  if (href !== undefined) requests?.forget((cached) => cached === href)
  registry?.invalidate(({ key, snapshot }: ChannelDefinition) => {
    if (names.includes(key as string) || (Array.isArray(key) && key[0] === url)) return true
    const asked = typeof snapshot === 'object' && !isUrl(snapshot) ? snapshot.url : snapshot
    return typeof asked !== 'function' && asked !== undefined && hrefOf(asked) === href
  })
}
