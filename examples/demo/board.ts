import { createJournal } from './journal.ts'
import { type Condition, createStream, type Stream } from './stream.ts'

interface User {
  readonly id: string
  readonly name: string
  /** ms since epoch */
  readonly joinedAt: number
}

/** A board that people join and leave, as a snapshot and as a stream of what changes. */
export interface Board {
  readonly stream: Stream
  snapshot(): Snapshot
  close(): void
}

export interface Snapshot {
  readonly users: readonly User[]
  /** Where in the stream this is true: what came up to here is in it, what comes after is not. */
  readonly lastEventId: string
}

const fewest = 6
const most = 14

export function createBoard(condition: () => Condition): Board {
  const users = new Map<string, User>()
  const journal = createJournal(100)
  // A page that shows who joined last need not wait for the next one. Who has the snapshot drops what is in it already.
  const stream = createStream({ journal, condition, welcome: journal.all, lost: tellEverybody })
  let timer: NodeJS.Timeout

  while (users.size < 9) somebodyJoins()
  live()

  return {
    stream,
    snapshot: () => ({ users: [...users.values()], lastEventId: journal.lastId }),
    close() {
      clearTimeout(timer)
      stream.close()
    },
  }

  function live(): void {
    timer = setTimeout(
      () => {
        const joins = users.size <= fewest || (users.size < most && Math.random() < 0.5)
        if (joins) somebodyJoins()
        else somebodyLeaves()
        live()
      },
      300 + Math.random() * 900,
    )
  }

  function somebodyJoins(): void {
    const [index, name] = pick([...people.entries()].filter(([n]) => !users.has(userId(n))))
    const user = { id: userId(index), name, joinedAt: Date.now() }
    users.set(user.id, user)
    journal.publish(['join', user])
  }

  function somebodyLeaves(): void {
    const { id } = pick([...users.values()])
    users.delete(id)
    journal.publish(['leave', { id }])
  }

  /** For a client that missed more than the journal holds: the whole list, as one more event. */
  function tellEverybody() {
    const before = journal.lastId
    journal.publish(['roster', { users: [...users.values()] }])
    return journal.since(before) ?? []
  }
}

const people = [
  ...['Amara', 'Bruno', 'Chiara', 'Dmitri', 'Elif', 'Farid', 'Greta', 'Hanna', 'Iker', 'Jun', 'Kofi', 'Leila'],
  ...['Mateo', 'Nadia', 'Oskar', 'Priya', 'Quim', 'Rosa', 'Sami', 'Tuva', 'Uma', 'Vera', 'Wen', 'Yusuf'],
]

function userId(index: number): string {
  return `user-${index}`
}

function pick<T>(from: readonly T[]): T {
  return from[Math.floor(Math.random() * from.length)]!
}
