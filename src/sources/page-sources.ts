/**
 * Which streams are open in this page, over all clients and all copies of the bundle: two clients with the same source
 * are two connections, which law 1 promises not to happen by accident. Pages only: a server may well have many clients.
 */
const place = Symbol.for('millrace.streams')
const holder = globalThis as { [place]?: Map<string, number> }

/** Enters a stream; `isDuplicate` if another client has it too. `leave` takes it out again. */
export function enterPage(identity: string): { readonly isDuplicate: boolean; leave(): void } {
  if (typeof document === 'undefined') return { isDuplicate: false, leave() {} }
  holder[place] ??= new Map()
  const open = holder[place]
  const before = open.get(identity) ?? 0
  open.set(identity, before + 1)
  return {
    isDuplicate: before > 0,
    leave() {
      const left = (open.get(identity) ?? 1) - 1
      if (left > 0) open.set(identity, left)
      else open.delete(identity)
    },
  }
}
