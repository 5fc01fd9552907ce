import { type Client, createView, type MaybeChannel, type Seen, type ViewOptions } from 'millrace'

/** How {@link bind} takes part in a channel. */
export interface BindOptions<S, E, D = S> extends ViewOptions<S, E, D> {
  /** @defaultValue the page's, `getClient()` */
  client?: Client | undefined
}

/**
 * Renders a channel into an element: `render` is called with what is known now and whenever a field that it reads is
 * another, at most once a frame for data, and the status is shown in `data-millrace-status` for CSS. What cannot be had is
 * 'failed', and reported. Returns the unbind, which leaves what was rendered.
 *
 * @param channel anything falsy: nothing is wanted, the status is 'idle'
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
export function bind<T extends Element, S, E, D = S>(
  element: T,
  channel: MaybeChannel<S, E>,
  render: (seen: Seen<D>, element: T) => void,
  { client, ...options }: BindOptions<S, E, D> = {},
): () => void {
  const look = createView<S, E, D>().look(client, channel, options)
  look.commit()
  let isBound = true
  let shown: Seen<D> | undefined
  const show = () => {
    const seen = look.see(look.known())
    if (!isBound || seen === shown) return
    shown = seen
    element.setAttribute('data-millrace-status', seen.status)
    render(seen, element)
  }
  const close = look.open(show)
  // Not before this returns: `render` may unbind.
  void Promise.resolve().then(show)
  return () => {
    isBound = false
    close()
    element.removeAttribute('data-millrace-status')
  }
}
