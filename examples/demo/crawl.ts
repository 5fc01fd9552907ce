import { createJournal } from './journal.ts'
import { type Condition, createStream, type Stream } from './stream.ts'

/** One walk through a site by several workers, told from its plan to its end. */
export interface Crawl {
  readonly id: number
  readonly stream: Stream
  close(): void
}

/** The crawls of this run of the server: the newest few, so that a button pressed for ever costs nothing. */
export interface Crawls {
  start(): Crawl
  find(id: number): Crawl | undefined
  readonly newest: Crawl
  readonly streams: readonly Stream[]
  close(): void
}

const pages = 180
const workers = 4
const mostKept = 4

export function createCrawls(condition: () => Condition): Crawls {
  const kept: Crawl[] = []
  let started = 0
  start()

  return {
    start,
    find: (id) => kept.find((crawl) => crawl.id === id),
    get newest() {
      return kept.at(-1)!
    },
    get streams() {
      return kept.map(({ stream }) => stream)
    },
    close: () => {
      for (const crawl of kept) crawl.close()
    },
  }

  function start(): Crawl {
    started += 1
    const crawl = createCrawl(started, condition)
    kept.push(crawl)
    if (kept.length > mostKept) kept.shift()!.close()
    return crawl
  }
}

function createCrawl(id: number, condition: () => Condition): Crawl {
  const journal = createJournal(pages + 2)
  // Whoever comes late hears the story from its beginning: the journal holds all of it.
  const stream = createStream({ journal, condition, welcome: journal.all })
  const queue = Array.from({ length: pages }, (_, n) => pathOf(n))
  const timers = new Set<NodeJS.Timeout>()
  const startedAt = Date.now()
  let fetched = 0
  let failed = 0
  let bytes = 0

  journal.publish(['plan', { n: 0, total: pages }])
  for (let worker = 0; worker < workers; worker++) work()

  return {
    id,
    stream,
    close() {
      for (const timer of timers) clearTimeout(timer)
      stream.close()
    },
  }

  function work(): void {
    const path = queue.shift()
    if (path === undefined) return
    const ms = Math.round(120 + Math.random() ** 2 * 700)
    const timer = setTimeout(() => {
      timers.delete(timer)
      record(path, ms)
      work()
    }, ms)
    timers.add(timer)
  }

  /**
   * Counting, telling and ending are one step, which no other worker can come between: no count goes backwards, and
   * of all the workers that finish, one finds the count full.
   */
  function record(path: string, ms: number): void {
    const ok = Math.random() > 0.04
    fetched += 1
    if (!ok) failed += 1
    bytes += ok ? 2_000 + Math.floor(Math.random() * 60_000) : 0
    journal.publish(['page', { n: fetched, path, ok, ms, failed, bytes }])
    if (fetched === pages) {
      journal.publish(['done', { n: fetched + 1, ms: Date.now() - startedAt }])
      stream.end()
    }
  }
}

const parts = ['guide', 'reference', 'recipes', 'notes', 'history']
const subjects = [
  ...['sluices', 'headwater', 'tailrace', 'penstock', 'millstones', 'gearing', 'weirs', 'flood-gates', 'bearings'],
  ...['overshot-wheels', 'undershot-wheels', 'breastshot-wheels', 'bolting', 'hoppers', 'governors', 'silt'],
]

function pathOf(n: number): string {
  const page = Math.floor(n / (parts.length * subjects.length)) + 1
  const path = `/${parts[n % parts.length]}/${subjects[Math.floor(n / parts.length) % subjects.length]}`
  return page > 1 ? `${path}/${page}` : path
}
