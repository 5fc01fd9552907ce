import type { ChannelStatus, MaybeChannel } from 'millrace'
import { type MaybeRefOrGetter, type Ref, toValue } from 'vue'
import { type UseChannelOptions, useChannel } from './use-channel'

/** How {@link useEvents} takes part. */
export type UseEventsOptions = Pick<UseChannelOptions<unknown, unknown>, 'enabled' | 'interval' | 'onError' | 'label'>

/**
 * Each event of a channel's stream, in order, as it comes, without a render. It comes and goes as {@link useChannel}
 * does; what happens while it is away is not made up for. Returns how the channel is doing.
 *
 * @example
 * ```ts
 * import { defineChannel, type StreamEvent } from 'millrace'
 * import { useEvents } from 'millrace/vue'
 *
 * const prices = defineChannel<number, StreamEvent<'price', number>>({ key: 'prices', stream: '/api/prices' })
 * const status = useEvents(prices, (event) => console.log(event.data))
 * ```
 */
export function useEvents<S, E>(
  channel: MaybeRefOrGetter<MaybeChannel<S, E>>,
  handler: (event: E) => void,
  options?: MaybeRefOrGetter<UseEventsOptions | undefined>,
): Readonly<Ref<ChannelStatus>> {
  return useChannel<S, E>(channel, () => ({ ...toValue(options), onEvent: handler })).status
}
