import { createView, type MaybeChannel, type Seen, type ViewOptions } from 'millrace'
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
import { useProvided } from './client'
import { whileActive } from './while-active'

/** How to take part in a channel. `select` may read refs. */
export type UseChannelOptions<S, E, T = S> = ViewOptions<S, E, T>

/** A channel's state, a ref for each part: a component renders when a part that it reads has changed. */
export type UseChannelReturn<T> = {
  readonly [K in keyof Omit<Seen<T>, 'refresh'>]: Readonly<Ref<Seen<T>[K]>>
} & Pick<Seen<T>, 'refresh'>

/**
 * A channel's state, for a component or a scope. Joins the channel before the first render and leaves it with the
 * component; one that `KeepAlive` holds back has left, and goes on showing what it showed. State changes come at most
 * once a frame.
 *
 * Identity is the channel's key: a channel or options built anew cost nothing, a new key moves over without a gap,
 * `enabled` and `interval` may change at any time and reconnect nothing. Outside of components it is open at once, until
 * its effect scope is stopped; a page is warned of one outside of any scope, which nobody closes. A server render opens
 * nothing and shows `initial`; for data in the page that a server sends, fetch it there and give it to the channel as
 * `initial`. What cannot be had is 'failed', and reported.
 *
 * @param channel a channel, a ref or a getter of one, or anything falsy for now
 * @param options the same: an object, a ref or a getter
 *
 * @example
 * ```ts
 * import { defineChannel } from 'millrace'
 * import { useChannel } from 'millrace/vue'
 * import { ref } from 'vue'
 *
 * const crawl = (id: string) =>
 *   defineChannel<{ done: number }>({ key: ['crawl', id], snapshot: `/api/crawl/${id}` })
 *
 * const id = ref('7')
 * const { data, status, error } = useChannel(() => crawl(id.value), { select: ({ done }) => `${done} pages` })
 * ```
 */
export function useChannel<S, E, T = S>(
  channel: MaybeRefOrGetter<MaybeChannel<S, E>>,
  options?: MaybeRefOrGetter<UseChannelOptions<S, E, T> | undefined>,
): UseChannelReturn<T> {
  const provided = useProvided()
  // The one is of Options API and `defineComponent`, the other of `<script setup>`.
  const { name, __name = name } = (getCurrentInstance()?.type ?? {}) as { name?: string; __name?: string }
  const view = createView<S, E, T>()
  const look = () => {
    const given = toValue(options)
    const { select } = given ?? {}
    // A new one every time: what refs it reads may have changed.
    return view.look(provided, toValue(channel), { ...given, select: select && ((data) => select(data)) }, __name)
  }
  const first = look()
  const shown = shallowReactive({ ...first.see(first.assumed()) })
  /** What was known last, and of what. */
  const known = shallowRef({ key: first.key, state: first.assumed() })
  let isOpen = false

  // At once, so that the parts of a state change together. Not `computed`: before Vue 3.4 what is equal renders too.
  watchSyncEffect(() => {
    const now = look()
    const { key, state } = known.value
    Object.assign(shown, now.see(key === now.key ? state : isOpen ? now.known() : now.assumed()))
    now.commit()
  })
  whileActive(
    () => look().identity,
    () => {
      const now = look()
      const show = () => {
        known.value = { key: now.key, state: now.known() }
      }
      isOpen = true
      const close = now.open(show)
      show()
      return close
    },
  )
  const { refresh: _, ...refs } = toRefs(shown)
  return { ...refs, refresh: () => shown.refresh() } as UseChannelReturn<T>
}
