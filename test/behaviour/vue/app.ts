import '../../support/dom'
import type { Client } from 'millrace'
import { createMillrace } from 'millrace/vue'
import { type App, type Component, createApp, createSSRApp, nextTick } from 'vue'

export interface Mounted {
  readonly app: App
  readonly element: HTMLElement
  /** What is shown. */
  readonly text: string
  /** What Vue warned of, and errors that came to the app's handler. */
  readonly warnings: readonly string[]
  readonly errors: readonly unknown[]
  unmount(): void
}

const mounted = new Set<Mounted>()

/** Mounts a component into the page, or hydrates what a server has rendered. Without a client it uses the page's. */
export function mount(root: Component, client?: Client, html?: string): Mounted {
  const element = document.createElement('div')
  document.body.append(element)
  if (html !== undefined) element.innerHTML = html
  const app = html === undefined ? createApp(root) : createSSRApp(root)
  const warnings: string[] = []
  const errors: unknown[] = []
  app.config.warnHandler = (message) => warnings.push(message)
  app.config.errorHandler = (error) => errors.push(error)
  if (client) app.use(createMillrace({ client }))
  app.mount(element)
  const shown: Mounted = {
    app,
    element,
    get text() {
      return element.textContent ?? ''
    },
    warnings,
    errors,
    unmount() {
      if (!mounted.delete(shown)) return
      app.unmount()
      element.remove()
    },
  }
  mounted.add(shown)
  return shown
}

/** For `afterEach`. */
export function unmountAll(): void {
  for (const each of mounted) each.unmount()
}

/** So many renders, one after the other. */
export async function turns(count: number, turn: (n: number) => void): Promise<void> {
  for (let n = 0; n < count; n += 1) {
    turn(n)
    await nextTick()
  }
}
