import { type Client, getClient } from 'millrace'
import { hasInjectionContext, type InjectionKey, inject, type Plugin } from 'vue'

/** Registered, so that the plugin of one copy of the bundle serves the composables of another. */
const place: InjectionKey<Client> = Symbol.for('millrace.vue')

/**
 * A plugin that gives the components of an app a client of their own. Without it they use the page's, `getClient()`.
 * Unmounting the app does not close the client: that is for whoever made it.
 *
 * @example
 * ```ts
 * import { createClient } from 'millrace'
 * import { createMillrace } from 'millrace/vue'
 * import { createApp } from 'vue'
 *
 * const client = createClient({ baseUrl: 'https://example.com' })
 * createApp({}).use(createMillrace({ client })).mount('#app')
 * ```
 */
export function createMillrace({ client }: { client: Client }): Plugin<[]> {
  return (app) => {
    app.provide(place, client)
  }
}

/** The client of the app, if it has one. */
export const useProvided = (): Client | undefined =>
  hasInjectionContext() ? inject<Client | undefined>(place, undefined) : undefined

/**
 * The client of the app, or the page's one if it has none. Works wherever Vue's `inject` does; elsewhere it is the
 * page's.
 *
 * @example
 * ```ts
 * import { useClient } from 'millrace/vue'
 *
 * const client = useClient()
 * const signOut = () => client.setIdentity(null)
 * ```
 */
export function useClient(): Client {
  return useProvided() ?? getClient()
}
