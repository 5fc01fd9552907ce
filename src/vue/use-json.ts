import type { StandardSchemaV1 } from '@standard-schema/spec'
import {
  type Channel,
  type ChannelState,
  type Client,
  type Coordination,
  defineChannel,
  type MillraceError,
  type Observer,
  type SubscribeOptions,
  urlKey,
} from 'millrace'
import { type MaybeRefOrGetter, shallowRef, toValue } from 'vue'
import { useClient } from './client'
import { live, type UseChannelReturn } from './live'
import { whileActive } from './while-active'

/** How {@link useJson} asks. */
export interface UseJsonOptions<T> extends Coordination {
  /**
   * ms between polls, in place of one request; the smallest of all who poll the URL wins. Polls go by the rules of
   * channels: of the other options, only `label` and `schema` count then.
   */
  interval?: number
  /** Validates and types the body. All who poll a URL should give the same one: the latest is used for all. */
  schema?: StandardSchemaV1<unknown, T>
}

/**
 * What {@link useJson} shows. `status` is 'idle' without a URL; for one request 'connecting', then 'complete' or
 * 'failed' ('paused' while it is not known who is signed in); for polls that of a channel. `refresh` asks now, past what is cached.
 */
export type UseJsonReturn<T> = Pick<UseChannelReturn<T>, 'data' | 'error' | 'status' | 'refresh'>

/**
 * The JSON at a URL: asked for once by `client.json`, shared and cached as that does; with an `interval`, polled as a
 * channel that everybody who polls the URL shares. Asks when the component is mounted or activated and when the URL
 * changes; an answer of the URL before is never shown. A server render asks nothing.
 *
 * @param url a URL, a ref or a getter of one, or nothing for now
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
export function useJson<T>(
  url: MaybeRefOrGetter<string | URL | null | undefined>,
  options?: MaybeRefOrGetter<UseJsonOptions<T> | undefined>,
): UseJsonReturn<T> {
  const client = useClient()
  let last: { key: string; state: ChannelState<T> } | undefined
  let ask: ((more: Coordination) => Promise<void>) | undefined

  // What one was answered is not for the next to see.
  const identity = shallowRef(client.identity)
  const meet = () => {
    identity.value = client.identity
  }
  whileActive(
    () => '',
    () => {
      meet()
      return client.on('identity', meet)
    },
  )

  const channel = () => {
    const { schema, interval: polled } = toValue(options) ?? {}
    const snapshot = toValue(url)?.toString()
    // The pace is that of its subscribers alone.
    const interval = Infinity
    return (
      snapshot &&
      defineChannel<T>({
        key: ['millrace.json', urlKey(snapshot), !polled && identity.value],
        snapshot,
        interval,
        ...(schema && { schema }),
      })
    )
  }
  return live<T, never>(channel, options, {
    ...client,
    subscribe: subscribe as Client['subscribe'],
    refresh: (channel) => (ask ? ask({ ttl: 1 }) : client.refresh(channel)),
  })

  /** Subscribes to a channel that polls; of any other, shows one answer of `client.json` as its state. */
  function subscribe(channel: Channel<T, never>, observer: Observer<T, never>, how: SubscribeOptions) {
    ask = undefined
    if (how.interval || !how.enabled) return client.subscribe(channel, observer, how)

    const leaving = new AbortController()
    const { signal } = leaving
    const asked = toValue(url) as string | URL
    if (last?.key !== channel.key) last = { key: channel.key, state: client.getState(channel) }
    const mine = last
    const show = (change: Partial<ChannelState<T>>) => {
      mine.state = { ...mine.state, error: undefined, ...change }
      observer.state?.(mine.state)
    }
    // A ttl of 1 ms: nothing cached is new enough for it, but its answer is cached.
    ask = async (more) => {
      if (identity.value === undefined) return
      try {
        show({ data: await client.json<T>(asked, { signal }, { ...toValue(options), ...more }), status: 'complete' })
      } catch (error) {
        if (!signal.aborted) show({ error: error as MillraceError, status: 'failed' })
      }
    }
    void ask(how)
    return {
      state: { ...mine.state, status: identity.value === undefined ? 'paused' : 'connecting' },
      unsubscribe: () => leaving.abort(),
    }
  }
}
