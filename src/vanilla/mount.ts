import { type Client, getClient, type StreamEvent } from 'millrace'

const URL_OF = 'data-millrace'
const EVENT = 'data-millrace-event'
const TEXT = 'data-millrace-text'
const ATTRIBUTES = [URL_OF, EVENT, TEXT]
const SELECTOR = ATTRIBUTES.map((name) => `[${name}]`).join()

/**
 * Brings to life what the page declares below `root`, and keeps up with nodes that come, go, move and change:
 *
 * - `data-millrace`: the URL of a stream; elements with the same URL share one connection
 * - `data-millrace-event`: the type of the events to show; without it, any
 * - `data-millrace-text`: where in the event's data the text is, as names with dots between them; without it, all of it
 *
 * The text is set as text, never as HTML. The status is shown in `data-millrace-status` for CSS. A declaration that makes
 * no sense is told of by `console.error`, and the rest is shown. Returns the unmount.
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
  /** What is declared there, as it was understood, and the end of it. */
  const alive = new Map<Element, { readonly declared: string; readonly sleep: () => void }>()

  const observer = new MutationObserver((records) => {
    // Once for each, however often it was touched: what counts is how it is now.
    const touched = new Set<Element>()
    for (const { type, target, addedNodes, removedNodes } of records) {
      if (type === 'attributes') touched.add(target as Element)
      for (const node of [...addedNodes, ...removedNodes]) for (const element of declaredIn(node)) touched.add(element)
    }
    for (const element of touched) settle(element)
  })
  observer.observe(root, { childList: true, subtree: true, attributeFilter: ATTRIBUTES })
  for (const element of declaredIn(root)) settle(element)

  return () => {
    observer.disconnect()
    for (const { sleep } of alive.values()) sleep()
    alive.clear()
  }

  function settle(element: Element): void {
    const values = ATTRIBUTES.map((name) => element.getAttribute(name))
    // Removed, moved elsewhere, or no longer declared.
    const isOurs = root.contains(element) && values.some((value) => value !== null)
    const declared = isOurs ? JSON.stringify(values) : ''
    const before = alive.get(element)
    if (before?.declared === declared) return
    before?.sleep()
    alive.delete(element)
    if (isOurs) alive.set(element, { declared, sleep: wake(element, values) })
  }

  function wake(element: Element, [url, type, text]: (string | null | undefined)[]): () => void {
    const path = text?.split('.') ?? []
    const wrong = !url
      ? [URL_OF, 'the URL of a stream', url]
      : type === ''
        ? [EVENT, 'the type of an event', type]
        : path.includes('')
          ? [TEXT, 'names with dots between them', text]
          : undefined
    const name = `<${element.localName}${element.id && `#${element.id}`}>`
    try {
      if (wrong) throw new TypeError(`expected \`${wrong[0]}\` to be ${wrong[1]}, got ${JSON.stringify(wrong[2])}`)
      const { unsubscribe } = client.subscribe(
        url as string,
        { batch: show, state: ({ status }) => element.setAttribute('data-millrace-status', status) },
        { delivery: 'frame', label: `${name} data-millrace` },
      )
      return () => {
        unsubscribe()
        element.removeAttribute('data-millrace-status')
      }
    } catch (error) {
      console.error(`[millrace] ${name}: ${(error as Error).message}`, element)
      return () => {}
    }

    function show(events: readonly StreamEvent[]): void {
      const last = events.filter((event) => type === null || event.type === type).at(-1)
      if (last) element.textContent = textOf(last.data, path)
    }
  }
}

function declaredIn(node: Node): Element[] {
  if (!('querySelectorAll' in node)) return []
  const below = [...(node as ParentNode).querySelectorAll(SELECTOR)]
  // Of a frame's window, too.
  return 'matches' in node && (node as Element).matches(SELECTOR) ? [node as Element, ...below] : below
}

function textOf(data: unknown, path: readonly string[]): string {
  let value = data
  for (const name of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return ''
    value = (value as Record<string, unknown>)[name]
  }
  try {
    return typeof value === 'object' ? JSON.stringify(value) : String(value)
  } catch {
    // So deep that it cannot be written out: nobody could read it.
    return ''
  }
}
