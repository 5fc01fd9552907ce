/** A channel's state as refs, one for each part: what all composables are made of. */
import {
  type Channel,
  type ChannelState,
  type Client,
  defineChannel,
  type MillraceError,
  type SubscribeOptions,
} from 'millrace'
import {
  getCurrentInstance,
  type MaybeRefOrGetter,
  type Ref,
  shallowReactive,
  shallowRef,
  toRefs,
  toValue,
  watchSyncEffect,
} from 'vue'
import { useClient } from './client'
import { whileActive } from './while-active'

/** A channel, or nothing for now: `id && channel(id)` is one too. */
export type MaybeChannel<S, E> = Channel<S, E> | null | false | 0 | '' | undefined

/** How to take part in a channel. The functions may be new every time: the latest is called. */
export interface UseChannelOptions<S, E, T = S> {
  /** What of the data is shown; may read refs. Never called without data. @defaultValue all of it */
  select?: (data: S) => T
  /** Whether what is selected now is what was selected before, so that `data` stays as it is. @defaultValue Object.is */
  isEqual?: (a: T, b: T) => boolean
  /** `false`: nothing is open; what is known of the channel is shown, as 'idle'. @defaultValue true */
  enabled?: boolean
  /** ms between polls, if the channel polls; the smallest of all who ask wins. @defaultValue the channel's */
  interval?: number
  /** Each event of the stream, in order, as it comes; never for polls. The state then comes with each, not once a frame. */
  onEvent?: (event: E) => void
  /** The channel has failed for good; what will be retried is in `error`. */
  onError?: (error: MillraceError) => void
  /** Names the subscriber in alerts and statistics. @defaultValue the component's name */
  label?: string
}

/** A channel's state, a ref for each part: a component renders when a part that it reads has changed. */
export type UseChannelReturn<T> = {
  readonly [K in keyof ChannelState<T>]: Readonly<Ref<ChannelState<T>[K]>>
} & {
  /** Whether the stream is open: `status` is 'live'. */
  readonly isLive: Readonly<Ref<boolean>>
  /** Asks for the snapshot now, or connects now; a failed or complete channel starts again. See `client.refresh`. */
  refresh(): Promise<void>
}

/** Stands where there is no channel: nobody ever subscribes to it. */
const none: Channel<never, never> = /* @__PURE__ */ defineChannel<never>({ key: 'millrace.none', snapshot: '/' })

export function live<S, E, T = S>(
  channel: MaybeRefOrGetter<MaybeChannel<S, E>>,
  options?: MaybeRefOrGetter<UseChannelOptions<S, E, T> | undefined>,
  client: Pick<Client, 'store' | 'subscribe' | 'refresh'> = useClient(),
): UseChannelReturn<T> {
  const wanted = (): Channel<S, E> => toValue(channel) || none
  const latest = () => toValue(options) ?? {}
  // The one is of Options API and `defineComponent`, the other of `<script setup>`.
  const { name, __name = name } = (getCurrentInstance()?.type ?? {}) as { name?: string; __name?: string }
  const whole = shallowRef<S>()
  const shown = shallowReactive({} as ChannelState<T> & { data: T | undefined; isLive: boolean })
  let before: T | undefined

  // What a server shows of it, and what is shown until it is open here.
  show(client.store(wanted()).getServerSnapshot())
  // At once, so that the parts of a state change together. Not `computed`: before Vue 3.4 what is equal renders too.
  watchSyncEffect(() => {
    const { select, isEqual } = latest()
    const data = whole.value
    const selected = select && data !== undefined ? select(data) : (data as T | undefined)
    if (before === undefined || selected === undefined || !isEqual?.(before, selected)) shown.data = before = selected
  })
  whileActive(
    () => {
      const { enabled, interval, onEvent } = latest()
      return String([wanted().key, enabled, interval, !onEvent])
    },
    () => {
      const { enabled = true, interval, label = __name, onEvent } = latest()
      const now = wanted()
      const isOpen = enabled && now !== none
      try {
        const { state, unsubscribe } = client.subscribe(
          now,
          {
            state: show,
            error: (error) => latest().onError?.(error),
            // Without it, frames would be waited for on behalf of nobody.
            ...(onEvent && { next: (event) => latest().onEvent?.(event) }),
          },
          { interval, label, enabled: isOpen, delivery: onEvent ? 'each' : 'frame' } as SubscribeOptions,
        )
        // Others may have it live; here nobody would say when it changes.
        show(isOpen ? state : { ...state, status: 'idle', isStale: state.updatedAt !== undefined })
        return unsubscribe
      } catch (error) {
        show({ ...client.store(none).getServerSnapshot(), status: 'failed', error: error as MillraceError })
        throw error
      }
    },
  )

  return {
    ...toRefs(shown),
    async refresh() {
      if (wanted() !== none) await client.refresh(wanted())
    },
  }

  function show({ data, ...rest }: ChannelState<S>): void {
    Object.assign(shown, rest, { isLive: rest.status === 'live' })
    whole.value = data
  }
}
