import { type JsonOptions, jsonChannel, type ViewOptions } from 'millrace'
import { type MaybeRefOrGetter, toValue } from 'vue'
import { type UseChannelReturn, useChannel } from './use-channel'

/** How {@link useJson} asks, and what the component sees of the answer. */
export interface UseJsonOptions<T, U = T>
  extends JsonOptions<T>,
    Omit<ViewOptions<T, never, U>, 'onEvent' | 'interval'> {
  /** ms between polls; the smallest of all who ask wins. @defaultValue none: it is asked once */
  interval?: number | undefined
}

export type UseJsonReturn<T> = UseChannelReturn<T>

/**
 * The JSON at a URL. All components that ask the same (URL, method, headers and body) share one state, and `client.json`
 * its answer: whoever asks, refreshes or invalidates it does so for all of them. Asked once it is 'connecting', then
 * 'complete' or 'failed'; with an interval it is polled. What is shown stays when the interval changes; an answer of the
 * URL before is never shown, and what nobody waits for any more is aborted. A server render asks nothing.
 *
 * @param url a URL, a ref or a getter of one, or anything falsy for now
 *
 * @example
 * ```ts
 * import { useJson } from 'millrace/vue'
 * import { ref } from 'vue'
 *
 * const id = ref(7)
 * const { data, error } = useJson<{ name: string }>(() => `/api/users/${id.value}`, { ttl: 60_000 })
 * const { data: load } = useJson<number>('/api/load', { interval: 5_000 })
 * ```
 */
export function useJson<T = unknown, U = T>(
  url: MaybeRefOrGetter<string | URL | null | undefined | false | 0 | ''>,
  options?: MaybeRefOrGetter<UseJsonOptions<T, U> | undefined>,
): UseJsonReturn<U> {
  return useChannel(() => jsonChannel<T>(toValue(url), toValue(options)), options)
}
