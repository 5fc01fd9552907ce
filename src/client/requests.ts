/** `fetch` and `json`: the network, without channels. */
import { createCoordinatedFetch } from '../network/coordinated-fetch'
import { createGate } from '../network/gate'
import { createSender } from '../network/sender'
import type { NetworkContext } from '../network/settings'
import type { Client } from './api'
import { type ClientContext, type Network, throwIfClosed } from './context'

export function requests(context: ClientContext): Pick<Client, 'fetch' | 'json'> {
  const { requests } = networkOf(context)
  return {
    async fetch(input, init, coordination) {
      throwIfClosed(context)
      return requests.fetch(input, init, coordination)
    },
    json: (input, init, coordination) =>
      context.closed ? Promise.reject(context.closed) : requests.json(input, init, coordination),
  }
}

export function networkOf(context: ClientContext): Network {
  context.network ??= createNetwork(context)
  return context.network
}

/** Other tabs are told, once there is something that knows of them. */
function createNetwork(context: ClientContext): Network {
  const { clock, settings, counters, alert, account, emitter } = context
  const network: NetworkContext = {
    clock,
    settings,
    counters,
    alert,
    account,
    onRequest: (record) => emitter.emit('request', () => record),
    onKept: (answer) => context.channels?.tabs?.answered(answer),
    onChanged: (url) => context.channels?.tabs?.changed(url),
    onRefused: (endpoint, ms, who) => context.channels?.tabs?.refused(endpoint, ms, who),
  }
  const gate = createGate(network)
  const sender = createSender(gate, network)
  return { ...network, gate, sender, requests: createCoordinatedFetch(network, gate, sender) }
}
