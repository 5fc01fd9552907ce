import { type JsonOptions, jsonChannel, type ViewOptions } from 'millrace'
import { type ChannelResult, useChannel } from './use-channel'

/** How {@link useJson} asks, and what the component sees of the answer. */
export interface UseJsonOptions<T, U = T>
  extends JsonOptions<T>,
    Omit<ViewOptions<T, never, U>, 'onEvent' | 'interval'> {
  /** ms between polls; the smallest of all who ask wins. @defaultValue none: it is asked once */
  interval?: number | undefined
}

export type JsonResult<T> = ChannelResult<T>

/**
 * JSON from a URL. All components that ask the same (URL, method, headers and body) share one state, and `client.json` its
 * answer: whoever asks, refreshes or invalidates it does so for all of them. Asked once it is `connecting`, then `complete`
 * or `failed`; with an interval it is polled. What is shown stays when the interval changes; what nobody waits for any more
 * is aborted.
 *
 * @param url anything falsy: nothing is asked
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
export function useJson<T = unknown, U = T>(
  url: string | URL | null | undefined | false | 0 | '',
  options?: UseJsonOptions<T, U>,
): JsonResult<U> {
  return useChannel(jsonChannel<T>(url, options), { label: 'useJson', ...options })
}
