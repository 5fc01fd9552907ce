import type { MaybeRefOrGetter } from 'vue'
import { live, type MaybeChannel, type UseChannelOptions, type UseChannelReturn } from './live'

/**
 * A channel's state, for a component or a scope. Joins the channel before the first render and leaves it with the
 * component; one that `KeepAlive` holds back has left, and goes on showing what it showed. State changes come at most
 * once a frame.
 *
 * Identity is the channel's key: a channel or options built anew cost nothing, a new key moves over without a gap,
 * `enabled` and `interval` may change at any time and reconnect nothing. Outside of components it is open at once, until
 * its effect scope is stopped. A server render opens nothing and shows `initial`; for data in the page that a server
 * sends, fetch it there and give it to the channel as `initial`.
 *
 * A channel that `client.subscribe` refuses (`config`, `rejected`, `closed`) is 'failed', and the error goes to the app's
 * error handler too.
 *
 * @param channel a channel, a ref or a getter of one, or nothing for now
 * @param options the same: an object, a ref or a getter
 *
 * @example
 * ```ts
 * import { defineChannel } from 'millrace'
 * import { useChannel } from 'millrace/vue'
 * import { ref } from 'vue'
 *
 * const crawl = (id: string) => defineChannel<{ done: number }>({ key: ['crawl', id], snapshot: `/api/crawl/${id}` })
 *
 * const id = ref('7')
 * const { data, status, error } = useChannel(() => crawl(id.value), { select: ({ done }) => `${done} pages` })
 * ```
 */
export const useChannel: <S, E, T = S>(
  channel: MaybeRefOrGetter<MaybeChannel<S, E>>,
  options?: MaybeRefOrGetter<UseChannelOptions<S, E, T> | undefined>,
) => UseChannelReturn<T> = live
