import type { TabLocks } from '../../src/sources/tabs/platform'
import type { ModelledTab } from './modelled-tabs'

interface LockRequest {
  readonly tab: ModelledTab
  readonly callback: (lock: unknown) => unknown
  readonly resolve: (value: unknown) => void
  readonly reject: (reason: unknown) => void
}

export interface ModelledLocks {
  /** What one tab sees as `navigator.locks`. */
  of(tab: ModelledTab): TabLocks
  /** The tab is gone: the browser frees what it held and drops what it waited for. */
  forget(tab: ModelledTab): void
  /** Names that are held or waited for. */
  names(): string[]
  /** Who holds a lock whose name begins so. */
  holders(prefix: string): ModelledTab[]
  /** Takes a lock away, as a script of the same origin might. */
  rob(prefix: string): void
}

/**
 * Web Locks (W3C) as far as they are used: exclusive, queued, `ifAvailable`, `steal`, `signal`. What is granted is granted at
 * once, but a tab's callback runs as a task of that tab: late, and not at all while it is frozen.
 */
export function createModelledLocks(): ModelledLocks {
  const held = new Map<string, LockRequest>()
  const queues = new Map<string, LockRequest[]>()

  return {
    of: (tab) => ({ request: (name, options, callback) => request(tab, name, options, callback) }),
    forget(tab) {
      for (const [name, queue] of queues)
        queues.set(
          name,
          queue.filter((other) => other.tab !== tab),
        )
      for (const [name, holder] of held) if (holder.tab === tab) release(name, holder)
    },
    names: () => [
      ...held.keys(),
      ...[...queues].filter(([, queue]) => queue.length > 0).map(([name]) => `${name} (waiting)`),
    ],
    // But for the guard of who is about to steal one, which a tab that stands still may keep.
    holders: (prefix) =>
      [...held].filter(([name]) => name.startsWith(prefix) && !name.endsWith(' steal')).map(([, { tab }]) => tab),
    rob(prefix) {
      for (const [name, holder] of [...held]) {
        if (!name.startsWith(prefix)) continue
        holder.tab.post('lock', () => holder.reject(new DOMException('The lock was stolen.', 'AbortError')))
        release(name, holder)
      }
    },
  }

  function request(
    tab: ModelledTab,
    name: string,
    { signal, steal = false, ifAvailable = false }: { signal?: AbortSignal; steal?: boolean; ifAvailable?: boolean },
    callback: (lock: unknown) => unknown,
  ): Promise<unknown> {
    if ((signal && (steal || ifAvailable)) || (steal && ifAvailable))
      return Promise.reject(new DOMException('These options exclude each other.', 'NotSupportedError'))
    if (signal?.aborted) return Promise.reject(signal.reason)
    return new Promise((resolve, reject) => {
      const made: LockRequest = { tab, callback, resolve, reject }
      signal?.addEventListener('abort', () => {
        const queue = queues.get(name) ?? []
        if (!queue.includes(made)) return
        queue.splice(queue.indexOf(made), 1)
        reject(signal.reason)
      })
      const holder = held.get(name)
      if (steal) {
        if (holder) holder.tab.post('lock', () => holder.reject(new DOMException('The lock was stolen.', 'AbortError')))
        grant(name, made)
      } else if (holder && ifAvailable) tab.post('lock', () => resolve(Promise.resolve(null).then(callback)))
      else if (holder) queues.set(name, [...(queues.get(name) ?? []), made])
      else grant(name, made)
    })
  }

  function grant(name: string, made: LockRequest): void {
    held.set(name, made)
    made.tab.post('lock', () => {
      const result = Promise.resolve({ name }).then(made.callback)
      const done = () => release(name, made)
      result.then(done, done)
      result.then(made.resolve, made.reject)
    })
  }

  function release(name: string, holder: LockRequest): void {
    if (held.get(name) !== holder) return
    held.delete(name)
    const next = queues.get(name)?.shift()
    if (next) grant(name, next)
  }
}
