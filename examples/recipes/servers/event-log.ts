// What the servers beside it stream: a log that remembers, so that a client which names the last id that it has seen is
// told the rest, neither less nor more; and if the log cannot go on from there, the client is told that.

export interface Entry {
  /** Names its place in the log, and the log's epoch. Opaque to clients. */
  readonly id: string
  readonly type: string
  readonly data: unknown
}

/** The rest of the log, for one client. */
export interface Rest {
  /** Nothing more will come: the answer is 204, and clients stay away. */
  readonly isOver: boolean
  /** Of the stream. */
  readonly headers: Record<string, string>
  /** Hands over what the client has missed, at once, and then what comes. Returns how to stop. */
  follow(send: (entry: Entry) => void): () => void
}

export interface EventLog {
  /** Where the log stands: the header `Last-Event-ID` of a snapshot. */
  readonly lastId: string
  append(type: string, data: unknown): void
  /** The last entry is a `closed`, by which clients know that they need not come back. */
  close(): void
  /** What comes after the id of that header, or after the oldest entry that is gone if the log cannot go on from there. */
  after(lastEventId: string | string[] | undefined): Rest
}

export interface EventLogOptions {
  /** How many entries it remembers. */
  keep?: number
  /** Part of each id, another one for each log that begins at 1. A log that is on disk keeps its own. */
  epoch?: string
}

/** In memory. After a restart it begins at 1 again; by its epoch an old id is not taken for a new one. */
export function createEventLog({ keep = 10_000, epoch = Date.now().toString(36) }: EventLogOptions = {}): EventLog {
  const entries: Entry[] = []
  const followers = new Set<(entry: Entry) => void>()
  let count = 0
  let isOver = false

  return {
    get lastId() {
      return idOf(count)
    },
    append,
    close() {
      append('closed', null)
      isOver = true
    },
    after(lastEventId) {
      const place = placeOf(lastEventId) ?? count - entries.length
      return {
        isOver: isOver && place === count,
        headers: {
          // Else nginx keeps the events back until it has some kilobytes of them.
          'x-accel-buffering': 'no',
          // From where it goes on. If that is not what was asked for, something is lost, and the client knows by this.
          ...(lastEventId && { 'last-event-id': idOf(place) }),
        },
        follow(send) {
          // No await between the two, or what comes meanwhile would be lost.
          if (count > place) for (const entry of entries.slice(place - count)) send(entry)
          followers.add(send)
          return () => void followers.delete(send)
        },
      }
    },
  }

  function append(type: string, data: unknown): void {
    count += 1
    const entry = { id: idOf(count), type, data }
    entries.push(entry)
    if (entries.length > keep) entries.shift()
    for (const send of [...followers]) send(entry)
  }

  function idOf(place: number): string {
    return `${epoch}-${place}`
  }

  /** Undefined if it is not an id of this log, or its entry is gone and more with it. */
  function placeOf(id: unknown): number | undefined {
    const place = Number(String(id).slice(epoch.length + 1))
    return id === idOf(place) && place <= count && place >= count - entries.length ? place : undefined
  }
}
