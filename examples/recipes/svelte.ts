import type { Channel, ChannelState, Client } from 'millrace'
import type { Readable } from 'svelte/store'

// When components are Svelte's: `const board = channelStore(client, orders)`, and `$board.data` in the markup. The first
// `$board` opens the connection, the last one closes it.

export function channelStore<S, E>(client: Client, channel: Channel<S, E>): Readable<ChannelState<S>> {
  const store = client.store(channel, { label: 'a Svelte store' })
  return {
    subscribe(run) {
      // A server render subscribes too, and must open nothing.
      if (typeof document === 'undefined') {
        run(store.getServerSnapshot())
        return () => {}
      }
      run(store.getSnapshot())
      return store.subscribe(() => run(store.getSnapshot()))
    },
  }
}
