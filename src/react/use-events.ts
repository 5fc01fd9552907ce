import type { ChannelStatus, MaybeChannel } from 'millrace'
import { type UseChannelOptions, useChannel } from './use-channel'

export type UseEventsOptions<E> = Pick<UseChannelOptions<unknown, E>, 'enabled' | 'interval' | 'onError' | 'label'>

/**
 * Every event of a channel, as it comes, without rendering for any of them: only another status does. The handler that
 * is called is the latest.
 *
 * @returns the channel's status
 *
 * @example
 * ```tsx
 * import { defineChannel, type StreamEvent } from 'millrace'
 * import { useEvents } from 'millrace/react'
 *
 * const orders = defineChannel<unknown, StreamEvent<'placed', { id: string }>>({ key: 'orders', stream: '/api/orders' })
 *
 * function Bell({ ring }: { ring: (id: string) => void }) {
 *   const status = useEvents(orders, ({ data }) => ring(data.id))
 *   return <span title={status}>🔔</span>
 * }
 * ```
 */
export function useEvents<S, E>(
  channel: MaybeChannel<S, E>,
  handler: (event: E) => void,
  options: UseEventsOptions<E> = {},
): ChannelStatus {
  return useChannel(channel, { ...options, onEvent: handler }).status
}
