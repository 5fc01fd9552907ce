/** `fetch` and `json`: the network, without channels. */
import { createCoordinatedFetch } from '../network/coordinated-fetch'
import { createGate } from '../network/gate'
import { createSender } from '../network/sender'
import type { Client } from './api'
import { type ClientContext, type Network, throwIfClosed } from './context'

export function requests(context: ClientContext): Pick<Client, 'fetch' | 'json' | 'use'> {
  const { gate, requests } = withNetwork(context)
  return {
    async fetch(input, init, coordination) {
      throwIfClosed(context)
      return requests.fetch(input, init, coordination)
    },
    json: (input, init, coordination) =>
      context.closed ? Promise.reject(context.closed) : requests.json(input, init, coordination),
    use: gate.use,
  }
}

/** The network is there from now on. */
export function withNetwork<C extends ClientContext>(context: C): C & Network {
  if (!context.requests) {
    const gate = createGate(context)
    const sender = createSender(gate, context)
    Object.assign(context, { gate, sender, requests: createCoordinatedFetch(context, gate, sender) })
  }
  return context as C & Network
}
