import type { StandardSchemaV1 } from '@standard-schema/spec'
import {
  type ChannelStatus,
  type CommonOptions,
  type Coordination,
  defineChannel,
  type MillraceError,
  urlKey,
} from 'millrace'
import { useCallback, useEffect, useRef, useState, useSyncExternalStore } from 'react'
import { useClient } from './provider'
import { useChannel } from './use-channel'
import { useLatest } from './use-latest'

export interface UseJsonOptions<T> extends Coordination {
  /**
   * ms between polls: all components with the same URL share them. It is a channel then, for which of the other options
   * `label` and `schema` count. Without it the URL is asked once.
   */
  interval?: number | undefined
  /** Validates and types the body. */
  schema?: StandardSchemaV1<unknown, T> | undefined
}

export interface JsonResult<T> {
  /** The last answer's; the same reference while it is equal. */
  readonly data: T | undefined
  /** The last one; gone after the next success. */
  readonly error: MillraceError | undefined
  /** Asked once: `connecting`, then `complete` or `failed`; polled: the channel's. `idle` without a URL;
   * `paused` while it is not known who is signed in. */
  readonly status: ChannelStatus
  /** Asks again, past the cache. Resolves when the answer, or the error, is there. */
  readonly refresh: () => Promise<void>
}

interface Answer<T> {
  /** What asked for it. */
  readonly ask?: unknown
  readonly data?: T | undefined
  readonly error?: MillraceError
}

/**
 * JSON from a URL, as `client.json` has it: shared while in flight, cached, of one reference while it is equal; asked
 * again every `interval` ms, if there is one.
 *
 * @param url `null`: nothing is asked
 *
 * @example
 * ```tsx
 * import { useJson } from 'millrace/react'
 *
 * function Sessions() {
 *   const { data, error } = useJson<{ count: number }>('/api/sessions', { interval: 10_000 })
 *   return <p>{error ? error.message : (data?.count ?? '…')}</p>
 * }
 * ```
 */
export function useJson<T = unknown>(url: string | URL | null, options: UseJsonOptions<T> = {}): JsonResult<T> {
  const client = useClient()
  const { interval, schema } = options
  const href = url === null ? undefined : String(url)
  const polls = href !== undefined && interval !== undefined
  const polled = useChannel(
    // The intervals of those who subscribe decide.
    polls &&
      defineChannel({ key: ['useJson', urlKey(href)], snapshot: href, schema, interval: Infinity } as SnapshotOptions),
    { label: 'useJson', ...options },
  )

  // What one was answered is not for the next to see.
  const listen = useCallback((onChange: () => void) => client.on('identity', onChange), [client])
  const who = () => client.identity
  const identity = useSyncExternalStore(listen, who, who)

  const [answer, setAnswer] = useState<Answer<T>>({})
  const latest = useLatest(options)
  const turns = useRef(0)
  const ask = useCallback(
    async function ask(isFirst?: unknown) {
      if (href === undefined || identity === undefined) return
      const turn = ++turns.current
      if (isFirst !== true) client.invalidate(href)
      const coordination = { label: 'useJson', ...latest.current } as Coordination
      const next: Answer<T> = await client.json<T>(href, {}, coordination).then(
        (data) => ({ data }),
        (error) => ({ error }),
      )
      // What was asked before something else is not looked at.
      if (turn === turns.current)
        setAnswer((last) => ({ data: last.ask === ask ? last.data : undefined, ...next, ask }))
    },
    [client, href, identity, latest],
  )
  useEffect(() => {
    if (!polls) void ask(true)
  }, [ask, polls])

  if (polls) return polled as JsonResult<T>
  const isKnown = answer.ask === ask
  const { data, error } = isKnown ? answer : {}
  const status =
    href === undefined
      ? 'idle'
      : identity === undefined
        ? 'paused'
        : error
          ? 'failed'
          : isKnown
            ? 'complete'
            : 'connecting'
  return { data, error, status, refresh: ask }
}

/** A `schema` that is undefined is none, whatever its type says. */
type SnapshotOptions = CommonOptions<never> & { snapshot: string }
