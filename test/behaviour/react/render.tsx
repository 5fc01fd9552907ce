import '../../support/dom'
import { type Client, createClient } from 'millrace'
import { MillraceProvider } from 'millrace/react'
import { type ReactNode, StrictMode } from 'react'
import type { Root } from 'react-dom/client'

// After there is a document: react-dom looks for it when it is loaded.
const { createRoot, hydrateRoot } = await import('react-dom/client')
const { flushSync } = await import('react-dom')

export interface Rendered {
  readonly container: HTMLElement
  readonly text: string
  /** Renders at once, effects included. */
  render(element: ReactNode): void
  unmount(): void
  /** What React has had to complain of: mismatches, errors that nobody caught. */
  readonly complaints: readonly unknown[]
}

const mounted = new Set<Rendered>()

function manage(container: HTMLElement, root: Root, client: Client, strict: boolean, complaints: unknown[]): Rendered {
  const rendered: Rendered = {
    container,
    complaints,
    get text() {
      return container.textContent ?? ''
    },
    render: (element) => flushSync(() => root.render(wrap(element, client, strict))),
    unmount() {
      mounted.delete(rendered)
      flushSync(() => root.unmount())
      container.remove()
    },
  }
  mounted.add(rendered)
  return rendered
}

function place(html = ''): HTMLElement {
  const container = document.createElement('div')
  container.innerHTML = html
  document.body.append(container)
  return container
}

export function wrap(element: ReactNode, client: Client, strict = false): ReactNode {
  const provided = <MillraceProvider client={client}>{element}</MillraceProvider>
  return strict ? <StrictMode>{provided}</StrictMode> : provided
}

/** Renders with this client. */
export function render(element: ReactNode, client: Client, { strict = false } = {}): Rendered {
  const container = place()
  const complaints: unknown[] = []
  const note = (error: unknown) => complaints.push(error)
  const root = createRoot(container, { onUncaughtError: note, onRecoverableError: note })
  const rendered = manage(container, root, client, strict, complaints)
  rendered.render(element)
  return rendered
}

/** Brings the HTML of a server to life. */
export function hydrate(html: string, element: ReactNode, client: Client): Rendered {
  const container = place(html)
  const complaints: unknown[] = []
  const note = (error: unknown) => complaints.push(error)
  const root = hydrateRoot(container, wrap(element, client), { onUncaughtError: note, onRecoverableError: note })
  return manage(container, root, client, false, complaints)
}

/** For `afterEach`. */
export function unmountAll(): void {
  for (const rendered of [...mounted]) rendered.unmount()
}

/** A client as on a server: it must never be asked for anything. */
export function silentClient(): Client {
  return createClient({
    environment: 'test',
    fetch: () => {
      throw new Error('a server render must not fetch')
    },
  })
}
