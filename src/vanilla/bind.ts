import { type Channel, type ChannelState, type Client, getClient, type SubscribeOptions } from 'millrace'

/**
 * Renders a channel into an element: `render` is called with the state now and at every change, at most once a frame,
 * and the status is shown in `data-millrace-status` for CSS. Returns the unbind, which leaves what was rendered.
 *
 * @example
 * ```ts
 * import { defineChannel } from 'millrace'
 * import { bind } from 'millrace/vanilla'
 *
 * const users = defineChannel<string[]>({ key: 'users', snapshot: '/api/users' })
 * const unbind = bind(document.body, users, ({ data }, element) => {
 *   element.textContent = `${data?.length ?? 0} online`
 * })
 * ```
 */
export function bind<T extends Element, S, E>(
  element: T,
  channel: Channel<S, E>,
  render: (state: ChannelState<S>, element: T) => void,
  options: SubscribeOptions & { client?: Client } = {},
): () => void {
  const { client = getClient(), ...subscribeOptions } = options
  const { unsubscribe } = client.subscribe(
    channel,
    {
      state(state) {
        element.setAttribute('data-millrace-status', state.status)
        render(state, element)
      },
    },
    { delivery: 'frame', ...subscribeOptions },
  )
  return () => {
    unsubscribe()
    element.removeAttribute('data-millrace-status')
  }
}
