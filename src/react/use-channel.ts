import type { Channel, ChannelState, MillraceError, SubscribeOptions } from 'millrace'
import {
  useCallback,
  useDebugValue,
  useEffect,
  useInsertionEffect,
  useRef,
  useState,
  useSyncExternalStore,
} from 'react'
import { useClient } from './provider'
import { useLatest } from './use-latest'
import { type ChannelResult, createViews } from './views'

export interface UseChannelOptions<S, E, T = S> {
  /** What of the data this component is about: it renders only when that is another. */
  select?: ((data: S) => T) | undefined
  /** Whether two selected values are the same to this component. @defaultValue `Object.is` */
  isEqual?: ((a: T, b: T) => boolean) | undefined
  /** `false`: not subscribed; the data that was known stays. @defaultValue true */
  enabled?: boolean | undefined
  /** ms between polls, for this component; the smallest of all subscribers wins. */
  interval?: number | undefined
  /** Every event of the stream, as it comes. It makes nothing render. */
  onEvent?: ((event: E) => void) | undefined
  /** The channel has failed for good; what will be retried is in `error`. */
  onError?: ((error: MillraceError) => void) | undefined
  /** Names the component in alerts and statistics. @defaultValue the hook and the channel's key */
  label?: string | undefined
}

/**
 * A channel in a component: the first one that mounts opens its source, the others share it. Identity is the channel's
 * key: a channel, options or callbacks made anew at every render cost nothing. The component renders only when a field
 * that it reads has changed, at most once a frame for data; the callbacks that are called are the latest.
 *
 * On a server, and while it hydrates, it is `connecting` with the channel's `initial` data, and opens nothing.
 *
 * @param channel `null`, `false` or `undefined`: nothing is wanted, the status is `idle`
 * @throws MillraceError `config`, to the error boundary, for a key with another target
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
  channel: Channel<S, E> | null | false | undefined,
  options: UseChannelOptions<S, E, T> = {},
): ChannelResult<T> {
  const client = useClient()
  const { enabled = true, interval, label, onEvent } = options
  /** Of the channel, if it is wanted. */
  const key = enabled && channel ? channel.key : undefined
  const [open] = useState(createViews<S, T>)
  const view = open()
  const latest = useLatest({ channel, options })
  const look = useRef(() => {})

  const refresh = useCallback(async () => {
    const { channel } = latest.current
    if (channel) await client.refresh(channel)
    // Who does not subscribe is not told.
    if (key === undefined) look.current()
  }, [client, key, latest])
  const subscribe = useCallback(
    (onChange?: () => void) => {
      if (onChange) look.current = onChange
      if (key === undefined) return () => {}
      return client.subscribe(
        latest.current.channel as Channel<S, E>,
        onChange
          ? { state: onChange, error: (error) => latest.current.options.onError?.(error) }
          : { next: (event) => latest.current.options.onEvent?.(event) },
        // What is undefined is not given, whatever its type says.
        { delivery: onChange ? 'frame' : 'each', interval, label: label ?? `useChannel ${key}` } as SubscribeOptions,
      ).unsubscribe
    },
    [client, key, interval, label, latest],
  )

  const see = (state: ChannelState<S>) => view.see(state, key, refresh, options)
  const result = useSyncExternalStore(
    subscribe,
    () => see(channel ? client.getState(channel) : nothing),
    () => see(channel ? client.store(channel).getServerSnapshot() : nothing),
  )
  useInsertionEffect(view.commit)

  // A subscriber of its own: state comes per frame, and no event should wait for a frame that a hidden page does not get.
  const listens = onEvent !== undefined
  useEffect(() => (listens ? subscribe() : undefined), [subscribe, listens])

  useDebugValue(channel && client.getState(channel), (state) => state && `${state.status} ${state.role ?? ''}`.trim())
  return result
}

/** The state where there is no channel. */
const nothing = { status: 'idle', attempt: 0, isStale: false } as ChannelState<never>
