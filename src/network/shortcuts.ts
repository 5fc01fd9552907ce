/**
 * What `json` knows of the calls that it has had: for one of the same shape no URL need be parsed, no header object built
 * and no key made. It holds while the client's own settings are the same.
 */
import type { NetworkSettings } from './settings'

export interface Shortcut {
  /** What its answer is cached by. */
  readonly key: string
  readonly endpoint: string
}

export interface Shortcuts {
  find(input: RequestInfo | URL, init: RequestInit | null | undefined): Shortcut | undefined
  learn(input: RequestInfo | URL, init: RequestInit | null | undefined, key: string, endpoint: string): void
}

/** URLs that mean the same wherever the page has moved to. */
const SETTLED = /^(https?:\/\/|\/)/
/** What no URL, no header and no option can hold. */
const END = '\0'

export function createShortcuts(settings: NetworkSettings): Shortcuts {
  const known = new Map<string, Shortcut>()
  let { headers, identity, origins } = settings

  return {
    find(input, init) {
      if (headers !== settings.headers || identity !== settings.identity || origins !== settings.origins) {
        known.clear()
        ;({ headers, identity, origins } = settings)
      }
      const call = textOf(input, init)
      return call === undefined ? undefined : known.get(call)
    },
    learn(input, init, key, endpoint) {
      const call = textOf(input, init)
      // A function may answer otherwise the next time.
      if (call === undefined || typeof headers === 'function' || !SETTLED.test(call)) return
      if (known.size >= settings.cache.entries) known.clear()
      known.set(call, { key, endpoint })
    },
  }
}

/** All of a call; undefined for one that has no shortcut. */
function textOf(input: RequestInfo | URL, init: RequestInit | null | undefined): string | undefined {
  if (typeof input === 'string') return init ? withInit(input, init) : input
  if (typeof input !== 'object' || !input) return undefined
  if (!('url' in input)) return init ? withInit(input.href, init) : input.href
  const { url, method, cache, credentials, redirect, mode, integrity, referrerPolicy, headers, signal } = input
  if (init || method !== 'GET' || cache !== 'default' || signal?.aborted) return undefined
  return `${url}${END}${credentials} ${redirect} ${mode} ${integrity} ${referrerPolicy}${END}${headersText(headers)}`
}

function withInit(url: string, init: RequestInit): string | undefined {
  let text = url
  for (const name in init) {
    const value = init[name as keyof RequestInit]
    if (value === undefined || value === null) continue
    if (name === 'headers') text += headersText(value as HeadersInit)
    else if (name === 'signal') {
      if ((value as AbortSignal).aborted) return undefined
    } else if (name === 'method') {
      if (value !== 'GET') return undefined
    } else if (name === 'body' || name === 'cache' || typeof value === 'object') return undefined
    else text += `${END}${name}=${value}`
  }
  return text
}

function headersText(headers: HeadersInit): string {
  let text = ''
  if (Symbol.iterator in headers)
    for (const [name, value] of headers as Iterable<[string, string]>) text += `${END}${name}:${value}`
  else for (const name in headers) text += `${END}${name}:${headers[name]}`
  return text
}
