/** Something that happened, as the stream tells it. */
export interface Entry {
  /** Names the entry for `Last-Event-ID`. Opaque to clients. */
  readonly id: string
  readonly type: string
  /** JSON, on one line. */
  readonly data: string
}

export type Message = readonly [type: string, data: unknown]

/** What happened of late: a bounded ring of entries with ids, told to everyone who follows. */
export interface Journal {
  /** Where the journal stands: the id of its newest entry, or of the place before its first. */
  readonly lastId: string
  /** Several messages at once reach the followers as one batch. */
  publish(...messages: readonly Message[]): void
  /** What came after that entry; `undefined` if the ring cannot tell (too old, or from another run of the server). */
  since(id: string): readonly Entry[] | undefined
  /** All that the ring still holds, oldest first. */
  all(): readonly Entry[]
  follow(follower: (entries: readonly Entry[]) => void): void
}

export function createJournal(capacity: number): Journal {
  // Part of each id, so that an id from before a restart is never taken for one of ours.
  const run = Date.now().toString(36)
  const ring: Entry[] = []
  const followers: ((entries: readonly Entry[]) => void)[] = []
  let count = 0

  return {
    get lastId() {
      return idOf(count)
    },
    publish,
    since,
    all: () => [...ring],
    follow: (follower) => void followers.push(follower),
  }

  function publish(...messages: readonly Message[]): void {
    const entries = messages.map(([type, data]) => {
      count += 1
      return { id: idOf(count), type, data: JSON.stringify(data) }
    })
    for (const entry of entries) ring.push(entry)
    ring.splice(0, Math.max(0, ring.length - capacity))
    for (const follower of followers) follower(entries)
  }

  function since(id: string): readonly Entry[] | undefined {
    const number = Number(id.slice(run.length + 1))
    if (id !== idOf(number)) return undefined
    const missed = count - number
    if (missed < 0 || missed > ring.length) return undefined
    return ring.slice(ring.length - missed)
  }

  function idOf(number: number): string {
    return `${run}-${number}`
  }
}
