import { type Client, getClient, type StreamEvent } from 'millrace'

/**
 * Brings to life what the page declares below `root`, and keeps up with nodes that come, go and change:
 *
 * - `data-millrace`: the URL of a stream; elements with the same URL share one connection
 * - `data-millrace-event`: the type of the events to show; without it, any
 * - `data-millrace-text`: where in the event's data the text is, as names with dots between them; without it, all of it
 *
 * The text is set as text, never as HTML. The status is shown in `data-millrace-status` for CSS. Returns the unmount.
 *
 * @example
 * ```ts
 * import { mount } from 'millrace/vanilla'
 *
 * document.body.innerHTML = '<output data-millrace="/api/prices" data-millrace-event="price" data-millrace-text="last"></output>'
 * const unmount = mount()
 * ```
 */
export function mount(root: Document | Element = document, client: Client = getClient()): () => void {
  const alive = new Map<Element, () => void>()

  const observer = new MutationObserver((records) => {
    for (const { type, target, addedNodes, removedNodes } of records) {
      if (type === 'attributes') {
        sleep(target as Element)
        wake(target as Element)
      }
      for (const node of removedNodes) for (const element of declaredIn(node)) if (!element.isConnected) sleep(element)
      for (const node of addedNodes) for (const element of declaredIn(node)) wake(element)
    }
  })
  observer.observe(root, {
    childList: true,
    subtree: true,
    attributeFilter: ['data-millrace', 'data-millrace-event', 'data-millrace-text'],
  })
  for (const element of declaredIn(root)) wake(element)

  return () => {
    observer.disconnect()
    for (const element of [...alive.keys()]) sleep(element)
  }

  function wake(element: Element): void {
    const url = element.getAttribute('data-millrace')
    if (url === null || alive.has(element)) return
    const type = element.getAttribute('data-millrace-event')
    const path = element.getAttribute('data-millrace-text')?.split('.') ?? []
    if (url === '' || path.includes('')) {
      const wrong =
        url === '' ? '`data-millrace` to be a URL' : '`data-millrace-text` to be names with dots between them'
      console.error(`[millrace] Expected ${wrong}, got "${url && path.join('.')}".`, element)
      return
    }
    const show = (events: readonly StreamEvent[]) => {
      const last = events.findLast((event) => type === null || event.type === type)
      if (last) element.textContent = textOf(last.data, path)
    }
    try {
      const { unsubscribe } = client.subscribe(
        url,
        { batch: show, state: ({ status }) => element.setAttribute('data-millrace-status', status) },
        { delivery: 'frame', label: `<${element.localName} data-millrace>` },
      )
      alive.set(element, unsubscribe)
    } catch (error) {
      console.error('[millrace] Could not subscribe to `data-millrace`.', element, error)
    }
  }

  function sleep(element: Element): void {
    alive.get(element)?.()
    alive.delete(element)
  }
}

function declaredIn(node: Node): Element[] {
  if (!('querySelectorAll' in node)) return []
  const below = [...(node as ParentNode).querySelectorAll('[data-millrace]')]
  return node instanceof Element && node.hasAttribute('data-millrace') ? [node, ...below] : below
}

function textOf(data: unknown, path: readonly string[]): string {
  let value = data
  for (const name of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return ''
    value = (value as Record<string, unknown>)[name]
  }
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}
