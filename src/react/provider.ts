import { type Client, getClient } from 'millrace'
import { type Context, createContext, createElement, type ReactNode, useContext } from 'react'

type Provided = Context<Client | undefined>

/** Registered, so that the provider of one copy of the adapter serves the hooks of another; each React has its own. */
const place = Symbol.for('millrace.react')
const holder = globalThis as { [place]?: WeakMap<typeof createContext, Provided> }

/** Made with its first use: an import leaves nothing behind. */
function contextOfThisReact(): Provided {
  holder[place] ??= new WeakMap()
  let context = holder[place].get(createContext)
  if (!context) {
    context = createContext<Client | undefined>(undefined)
    holder[place].set(createContext, context)
  }
  return context
}

export interface MillraceProviderProps {
  /** The client of all components below. Make it once, outside of them. */
  client: Client
  children?: ReactNode
}

/**
 * Gives the components below it a client of your own. Optional: without it they share the page's one, `getClient()`.
 *
 * @example
 * ```tsx
 * import { createClient } from 'millrace'
 * import { MillraceProvider } from 'millrace/react'
 *
 * const client = createClient({ baseUrl: 'https://example.com' })
 * const App = () => <MillraceProvider client={client}>…</MillraceProvider>
 * ```
 */
export function MillraceProvider({ client, children }: MillraceProviderProps): ReactNode {
  return createElement(contextOfThisReact().Provider, { value: client }, children)
}

/** The client of the nearest provider, if there is one. */
export const useProvided = (): Client | undefined => useContext(contextOfThisReact())

/**
 * The client of the nearest {@link MillraceProvider}, else the page's one.
 *
 * @example
 * ```tsx
 * import { useClient } from 'millrace/react'
 *
 * function SignOut() {
 *   const client = useClient()
 *   return <button onClick={() => client.setIdentity(null)}>Sign out</button>
 * }
 * ```
 */
export function useClient(): Client {
  return useProvided() ?? getClient()
}
