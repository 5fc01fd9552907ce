// What the servers beside it stream: a log that remembers, so that a client which names the last id that it has seen is
// told the rest, neither less nor more.

export interface Entry {
  /** Its place in the log, from 1. */
  readonly id: number
  readonly type: string
  readonly data: unknown
}

export interface EventLog {
  /** Whether nothing more will come after that id: the answer is 204, and clients stay away. */
  isOver(after: number): boolean
  append(type: string, data: unknown): void
  /** The last entry is a `closed`, by which clients know that they need not come back. */
  close(): void
  /** Hands over what came after that id, at once, and then what comes. Returns how to stop. */
  follow(after: number, send: (entry: Entry) => void): () => void
}

/** Keeps all of it in memory; yours keeps what is young enough, and answers older ids with what it has. */
export function createEventLog(): EventLog {
  const entries: Entry[] = []
  const followers = new Set<(entry: Entry) => void>()
  let isOver = false

  return {
    isOver: (after) => isOver && after >= entries.length,
    append,
    close() {
      append('closed', null)
      isOver = true
    },
    follow(after, send) {
      // No await between the two, or what comes meanwhile would be lost.
      for (const entry of entries.slice(after)) send(entry)
      followers.add(send)
      return () => void followers.delete(send)
    },
  }

  function append(type: string, data: unknown): void {
    const entry = { id: entries.length + 1, type, data }
    entries.push(entry)
    for (const send of [...followers]) send(entry)
  }
}

/** Of a `Last-Event-ID` header: 0, which is everything, if there is none or it is not ours. */
export function positionOf(lastEventId: unknown): number {
  return typeof lastEventId === 'string' && /^\d{1,15}$/.test(lastEventId) ? Number(lastEventId) : 0
}
