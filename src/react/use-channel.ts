import { createView, type MaybeChannel, type Seen, type ViewOptions } from 'millrace'
import { useDebugValue, useInsertionEffect, useState, useSyncExternalStore } from 'react'
import { useProvided } from './provider'

/** How a component takes part in a channel. */
export type UseChannelOptions<S, E, T = S> = ViewOptions<S, E, T>

/** A channel, as a component sees it. Only the fields that a component reads make it render. */
export type ChannelResult<T> = Seen<T>

/**
 * A channel in a component: the first one that mounts opens its source, the others share it. Identity is the channel's
 * key: a channel, options or callbacks made anew at every render cost nothing. The component renders only when a field
 * that it reads has changed, at most once a frame for data; the callbacks that are called are the latest.
 *
 * On a server, and while it hydrates, it is `connecting` with the channel's `initial` data, and opens nothing. What cannot
 * be had is `failed`, and reported: nothing is thrown while rendering.
 *
 * @param channel anything falsy: nothing is wanted, the status is `idle`
 *
 * @example
 * ```tsx
 * import { defineChannel } from 'millrace'
 * import { useChannel } from 'millrace/react'
 *
 * const users = defineChannel<string[]>({ key: 'users', snapshot: '/api/users' })
 *
 * function Online() {
 *   const { data: count, status } = useChannel(users, { select: (list) => list.length })
 *   return <p title={status}>{count ?? '…'} online</p>
 * }
 * ```
 */
export function useChannel<S, E, T = S>(
  channel: MaybeChannel<S, E>,
  options?: UseChannelOptions<S, E, T>,
): ChannelResult<T> {
  const [view] = useState(createView<S, E, T>)
  const look = view.look(useProvided(), channel, options, channel ? `useChannel ${channel.key}` : undefined)
  const seen = useSyncExternalStore(
    look.open,
    () => look.see(look.known()),
    () => look.see(look.assumed()),
  )
  useInsertionEffect(look.commit)
  useDebugValue(look, told)
  return seen
}

/** Called by the developer tools alone. */
function told(look: { known(): Pick<Seen<unknown>, 'status' | 'role'> }): string {
  const { status, role } = look.known()
  return `${status} ${role ?? ''}`.trim()
}
