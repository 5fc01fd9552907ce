import { server } from './channels.js'

/** What the server has counted itself, told to whoever shows a part of it. */
export function createCounters(client) {
  const listeners = []
  client.subscribe(server, { state: ({ data }) => data && tell(data) }, { label: 'server counters' })
  client.on('switch', ({ enabled }) => {
    // With the SDK off nothing polls. That all connections are gone is worth a look.
    if (!enabled) for (const ms of [200, 1_000]) setTimeout(look, ms)
  })

  return { onCount: (listener) => void listeners.push(listener), tell, look }

  function tell(counted) {
    for (const listener of listeners) listener(counted)
  }

  /** Now, and past the SDK: by plain fetch. A server that is gone has nothing to tell. */
  async function look() {
    try {
      const answer = await fetch('/api/server')
      tell(await answer.json())
    } catch {}
  }
}
