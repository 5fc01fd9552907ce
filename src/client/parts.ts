/** A client gets its methods from parts: each is brought by whoever needs it first, whichever copy of the bundle that is. */
import type { Client } from './api'
import type { ClientContext } from './context'

/** Makes methods of a client. */
export type Part = (context: ClientContext) => object

/** By a method that each has. */
export type Parts = Readonly<Record<PropertyKey, Part>>

/**
 * Where a client carries what its parts have in common. The number is that of this protocol: it changes with what a part
 * of another copy could not read.
 */
const inside: unique symbol = Symbol.for('millrace.context 1') as never

export type Carrier = Partial<Client> & { readonly [inside]?: ClientContext }

/** A client without any part. */
export function carrying(context: ClientContext): Carrier {
  return Object.defineProperty({}, inside, { value: context })
}

/** Whether all of these are there, or can be brought. */
export function canHave(client: Carrier, parts: Parts): boolean {
  return inside in client || Reflect.ownKeys(parts).every((name) => name in client)
}

export function bring(client: Carrier, parts: Parts): Carrier {
  for (const name of Reflect.ownKeys(parts))
    if (!(name in client))
      Object.defineProperties(client, Object.getOwnPropertyDescriptors(parts[name]?.(client[inside] as ClientContext)))
  return client
}
