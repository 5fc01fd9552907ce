import { tell } from './callback'

/** A fan-out by event name. One listener that throws is reported and starves nobody. */
export interface Emitter<Events> {
  on<K extends keyof Events>(type: K, listener: (event: Events[K]) => void): () => void
  /** `make` runs only if somebody listens. */
  emit<K extends keyof Events>(type: K, make: () => Events[K]): void
  has(type: keyof Events): boolean
  clear(): void
}

export function createEmitter<Events>(): Emitter<Events> {
  const listeners = new Map<keyof Events, Set<(event: never) => void>>()
  return {
    on(type, listener) {
      const own = (event: Parameters<typeof listener>[0]) => listener(event)
      const set = listeners.get(type) ?? new Set()
      listeners.set(type, set.add(own))
      return () => {
        set.delete(own)
      }
    },
    emit(type, make) {
      const set = listeners.get(type)
      if (!set?.size) return
      const event = make()
      for (const listener of [...set]) tell(`on('${String(type)}')`, 'the client', () => listener(event as never))
    },
    has: (type) => (listeners.get(type)?.size ?? 0) > 0,
    clear: () => listeners.clear(),
  }
}
