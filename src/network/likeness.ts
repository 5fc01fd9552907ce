/** What makes two requests equal: such are one in flight, and are answered by one entry of the cache. */
import { isSecretHeader } from '../primitives/http'
import type { Asked } from './asked'

export interface Likeness {
  /** What equal requests in flight have in common, the best first; undefined where none is equal to another. */
  readonly keys?: readonly string[]
  /** What its answer is cached by; undefined if it is not. */
  readonly key?: string | undefined
  /** It is not to be answered from the cache. */
  readonly isPastCache?: boolean
  /** Sent with credentials of its own: the answer is not for other tabs. */
  readonly isSecret?: boolean
}

/** Headers that differ with every request and change no answer. */
const TRACING = /^(traceparent|tracestate|baggage|x-request-id|x-correlation-id)$/
/** What else may change an answer, and what it is where nobody says otherwise. */
const MODE = {
  credentials: 'same-origin',
  redirect: 'follow',
  mode: 'cors',
  integrity: '',
  referrerPolicy: '',
} as const satisfies RequestInit
/** What is asked past our own cache, too. */
const PAST_CACHE = /^(no-store|reload|no-cache)$/

/** `purpose` keeps apart what is read in different ways. */
export function likenessOf(
  purpose: string,
  { input, init, method, url }: Asked,
  headers: Headers,
  identity: string | null,
  credentials: RequestCredentials | undefined,
): Likeness {
  const request = typeof input === 'string' ? undefined : input
  const shown = [...headers].filter(([name]) => !TRACING.test(name))
  const usual = { ...MODE, ...(!request && credentials && { credentials }) }
  const mode = (Object.keys(MODE) as (keyof typeof MODE)[]).map((name) => init[name] ?? request?.[name] ?? usual[name])
  const how = init.cache ?? request?.cache ?? 'default'
  const isPastCache = PAST_CACHE.test(how)
  const all = JSON.stringify([purpose, method, url, identity, shown, mode])
  const keyOf = (cache: string) => `${all} ${cache}`
  return {
    // What goes past the caches on its way is as good for who would have taken what they hold.
    keys: how === 'default' ? [keyOf(how), keyOf('no-cache')] : [keyOf(how)],
    key: how === 'no-store' ? undefined : keyOf(isPastCache ? 'default' : how),
    isPastCache,
    isSecret: shown.some(([name]) => isSecretHeader(name)),
  }
}
