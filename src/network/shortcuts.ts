/**
 * What `json` knows of the calls that it has had: for one of the same shape no URL need be parsed, no header object built
 * and no key made. It holds while the client's own settings are the same.
 */
import type { NetworkSettings } from './settings'

export interface Shortcut {
  /** What its answer is cached by. */
  readonly key: string
  readonly endpoint: string
  readonly headers: NetworkSettings['headers']
  readonly identity: string | null
  readonly origins: readonly string[]
}

export interface Shortcuts {
  find(input: RequestInfo | URL, init: RequestInit | null | undefined): Shortcut | undefined
  learn(input: RequestInfo | URL, init: RequestInit | null | undefined, key: string, endpoint: string): void
}

/** URLs that mean the same wherever the page has moved to. */
const SETTLED = /^(https?:\/\/|\/)/
/** What no header and no option can hold. */
const END = '\0'

export function createShortcuts(settings: NetworkSettings): Shortcuts {
  const plain = new Map<string, Shortcut>()
  const others = new Map<string, Map<string, Shortcut>>()
  let count = 0

  return {
    find(input, init) {
      const url = urlOf(input)
      const rest = init || url !== input ? restOf(input, init) : ''
      const found = rest ? others.get(url)?.get(rest) : rest === '' ? plain.get(url) : undefined
      if (!found) return undefined
      const { headers, identity, origins } = settings
      return found.headers === headers && found.identity === identity && found.origins === origins ? found : undefined
    },
    learn(input, init, key, endpoint) {
      const { headers, identity, origins } = settings
      const url = urlOf(input)
      const rest = restOf(input, init)
      // A function may answer otherwise the next time.
      if (rest === undefined || typeof headers === 'function' || !SETTLED.test(url)) return
      if (++count > settings.cache.entries) {
        plain.clear()
        others.clear()
        count = 1
      }
      const shortcut = { key, endpoint, headers, identity, origins }
      if (!rest) plain.set(url, shortcut)
      else if (!others.get(url)?.set(rest, shortcut)) others.set(url, new Map([[rest, shortcut]]))
    },
  }
}

function urlOf(input: RequestInfo | URL): string {
  return typeof input === 'string'
    ? input
    : ((input as URL | undefined)?.href ?? (input as Request | undefined)?.url ?? '')
}

/** All of a call but its URL; undefined for one that has no shortcut. */
function restOf(input: RequestInfo | URL, init: RequestInit | null | undefined): string | undefined {
  if (typeof input === 'object' && 'url' in input) return init ? undefined : restOfRequest(input)
  if (!init) return ''
  let rest = ''
  for (const name in init) {
    const value = init[name as keyof RequestInit]
    if (value === undefined || value === null) continue
    if (name === 'headers') rest += headersText(value as HeadersInit)
    else if (name === 'signal') {
      if ((value as AbortSignal).aborted) return undefined
    } else if (name === 'method') {
      if (value !== 'GET') return undefined
    } else if (name === 'body' || name === 'cache' || typeof value === 'object') return undefined
    else rest += `${name}=${value}${END}`
  }
  return rest
}

function restOfRequest(request: Request): string | undefined {
  const { method, cache, credentials, redirect, mode, integrity, referrerPolicy, headers, signal } = request
  if (method !== 'GET' || cache !== 'default' || signal?.aborted) return undefined
  return `Request ${credentials} ${redirect} ${mode} ${integrity} ${referrerPolicy}${END}${headersText(headers)}`
}

function headersText(headers: HeadersInit): string {
  let text = ''
  if (typeof (headers as Headers)[Symbol.iterator] === 'function')
    for (const [name, value] of headers as Headers) text += `${name}:${value}${END}`
  else
    for (const name in headers as Record<string, string>)
      text += `${name}:${(headers as Record<string, string>)[name]}${END}`
  return text
}
