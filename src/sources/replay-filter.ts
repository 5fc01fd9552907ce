/**
 * Remembers recent messages, so that what a server replays too much after a reconnect is dropped (law 3). Only a message
 * with an id of its own can be a replay; the others are news whenever they come. Known is what has the same id, type and
 * data; what stands before it in the same chunk is older still. The first unknown message after that ends the filtering.
 *
 * Of what is longer ago two numbers are kept, of the id and of the whole. A server that replays even more than that is
 * found out when it comes to what is known, and told of.
 *
 * A known id with other data means that the server began anew: told, and all of it is news. Unless the same connection
 * soon comes to the id that was the last one before: then the server stamps its data each time that it is sent, and from
 * now on the id alone decides, as long as it leads to the last one again.
 */

import { fnv } from '../primitives/fingerprint'
import { lastIndexOf } from '../primitives/plain'
import { charactersOf, type Message } from '../stream/messages'

/** A power of two, so that a message's slot is a mask away. */
const MOST_MESSAGES = 1_024
const MOST_CHARACTERS = 4 * 2 ** 20
/** Of messages that only numbers are left of. A power of two. */
const MOST_NUMBERS = 2 ** 15
/** So many known messages in a row, in their order, after an unknown one: no accident. */
const SURELY = 8
/** ms after a connection opens within which a replay comes. */
const REPLAYED = 2_000

export interface Sifted {
  /** The messages that are news. */
  readonly fresh: readonly Message[]
  /** The server began anew: what came before the first of them no longer counts. */
  readonly restarted: boolean
  /** Some that were handed out as news had come before: longer ago than is remembered. */
  readonly doubled?: boolean
}

export interface ReplayFilter {
  /** After a reconnect or a change of leader: what comes next may be known. */
  expectReplay(): void
  sift(messages: readonly Message[]): Sifted
  /** What came after the last message with this id; undefined if the id is not known. */
  since(id: string): readonly Message[] | undefined
  clear(): void
}

/** What a replay is told by, while one is expected. */
interface Watch {
  readonly recent: ReadonlyMap<string, { readonly messages: readonly Message[]; readonly at: number }>
  /** By the number of an id: that of the whole, and when it came. */
  readonly older: ReadonlyMap<number, { readonly whole: number; readonly at: number }>
  /** The last id before. */
  readonly last: string
  readonly since: number
  /** Until it has sent as many as there were, it may still be replaying. */
  left: number
  /** Something unknown has come: from here on only what is surely a replay counts as one. */
  hasNews: boolean
  /** How many known ones in a row have come since, and which was the last. */
  run: number
  at: number
  /** Messages were dropped by their id alone. */
  isTrusting: boolean
}

export function createReplayFilter(account: (bytes: number) => void, elapsed: () => number): ReplayFilter {
  /** A ring: the message number n is in slot n modulo its size. */
  let ring: Message[] = []
  let oldest = 0
  let next = 0
  let characters = 0
  /** Of the messages before those, number by number, two for each. */
  let numbers: number[] = []
  let watch: Watch | undefined
  /** After a new beginning: the id that would show that it was none. */
  let suspect: { readonly id: string; readonly until: number } | undefined
  let isStamped = false

  return {
    clear: forget,
    expectReplay() {
      const recent = new Map<string, { messages: Message[]; at: number }>()
      const messages = all()
      for (const [index, message] of messages.entries()) {
        if (!message.id) continue
        const same = recent.get(message.id)
        if (same) same.messages.push(message)
        else recent.set(message.id, { messages: [message], at: oldest + index })
      }
      const older = new Map<number, { whole: number; at: number }>()
      for (let at = Math.max(0, oldest - MOST_NUMBERS); at < oldest; at++) {
        const slot = 2 * (at & (MOST_NUMBERS - 1))
        older.set(numbers[slot] as number, { whole: numbers[slot + 1] as number, at })
      }
      const last = messages.at(-1)?.lastEventId ?? ''
      watch = { recent, older, last, since: elapsed(), left: next, hasNews: false, run: 0, at: 0, isTrusting: false }
    },
    sift(messages) {
      if (!watch && !suspect) return { fresh: remembered(messages), restarted: false }
      const { fresh, ...told } = watch ? sifted(messages, watch) : { fresh: messages, restarted: false }
      if (suspect && fresh.some(({ id }) => id === suspect?.id)) {
        isStamped = elapsed() < suspect.until
        suspect = undefined
      }
      return { fresh: remembered(fresh), ...told }
    },
    since(id) {
      const messages = all()
      const index = lastIndexOf(messages, (message) => message.lastEventId === id)
      return index < 0 ? undefined : messages.slice(index + 1)
    },
  }

  function sifted(messages: readonly Message[], expected: Watch): Sifted {
    let from = 0
    let restarted = false
    let doubled = false
    let firstNews: number | undefined
    for (const [index, message] of messages.entries()) {
      if (!message.id) continue
      let verdict = judged(message, expected)
      if (expected.hasNews) {
        // What comes after news is news, were it not for a server that has replayed more than is remembered.
        const surely: boolean = verdict === 'replay' && expected.run >= SURELY
        doubled ||= surely && expected.run === SURELY
        if (surely) from = index + 1
        continue
      }
      if (verdict === 'other' && isStamped) {
        expected.isTrusting = message.id !== expected.last
        verdict = 'replay'
      }
      // Ids that come again and again tell nothing of what stands before them.
      if (verdict === 'replay' && firstNews !== undefined && isRepeated(message.id, expected)) continue
      if (verdict === 'replay') {
        from = index + 1
        firstNews = undefined
      } else if (verdict === 'other') {
        beginAnew(expected)
        restarted = true
        break
      } else firstNews ??= index
    }
    const isLate = elapsed() - expected.since > REPLAYED
    if (expected.isTrusting && (firstNews !== undefined || isLate)) {
      beginAnew(expected)
      restarted = true
      from = 0
    }
    expected.hasNews ||= firstNews !== undefined
    expected.left -= messages.length
    if (expected.left <= 0 && expected.hasNews) watch = undefined
    const fresh = from === 0 ? messages : messages.filter(({ id }, index) => index >= from || !id)
    return { fresh, restarted, ...(doubled && { doubled }) }
  }

  function judged(message: Message, expected: Watch): 'replay' | 'other' | 'unknown' {
    const id = message.id as string
    const same = expected.recent.get(id)
    const known = same ?? expected.older.get(numberOf(id))
    const follows = known !== undefined && known.at === expected.at + 1 && !isRepeated(id, expected)
    expected.run = expected.hasNews && follows ? expected.run + 1 : 0
    if (!known) return 'unknown'
    expected.at = known.at
    const isSame = same
      ? same.messages.some(({ event, data }) => event === message.event && data === message.data)
      : 'whole' in known && known.whole === numberOfWhole(message)
    return isSame ? 'replay' : 'other'
  }

  /** What is remembered is of another time. */
  function beginAnew({ last, since }: Watch): void {
    suspect = { id: last, until: since + REPLAYED }
    isStamped = false
    watch = undefined
    forget()
  }

  function all(): Message[] {
    return Array.from({ length: next - oldest }, (_, n) => at(oldest + n))
  }

  function at(n: number): Message {
    return ring[n & (MOST_MESSAGES - 1)] as Message
  }

  function forget(): void {
    account(-2 * characters - 8 * numbers.length)
    ring = []
    numbers = []
    oldest = next = characters = 0
  }

  function remembered(messages: readonly Message[]): readonly Message[] {
    const before = 2 * characters + 8 * numbers.length
    for (const message of messages) {
      if (message.lastEventId === '') continue
      if (next - oldest === MOST_MESSAGES) dropOldest()
      characters += charactersOf(message)
      ring[next++ & (MOST_MESSAGES - 1)] = message
      while (characters > MOST_CHARACTERS) dropOldest()
    }
    account(2 * characters + 8 * numbers.length - before)
    return messages
  }

  function dropOldest(): void {
    const message = at(oldest)
    const slot = 2 * (oldest & (MOST_NUMBERS - 1))
    numbers[slot] = numberOf(message.id ?? '')
    numbers[slot + 1] = numberOfWhole(message)
    characters -= charactersOf(message)
    ring[oldest++ & (MOST_MESSAGES - 1)] = undefined as never
  }
}

function isRepeated(id: string, { recent }: Watch): boolean {
  return (recent.get(id)?.messages.length ?? 0) > 1
}

/** 53 bits: among so many none is taken for another. */
function numberOf(text: string): number {
  return fnv(text) * 2 ** 21 + (fnv(text, 0x1b873593) >>> 11)
}

/** Of a long text so many characters, over all of it: it is to be told from other data under the same id, and quickly. */
const SAMPLES = 32

function numberOfWhole({ event, data }: Message): number {
  const step = Math.max(1, Math.floor(data.length / SAMPLES))
  let hash = fnv(event, data.length)
  for (let i = data.length - 1; i >= 0; i -= step) hash = Math.imul(hash ^ data.charCodeAt(i), 0x01000193)
  return hash >>> 0
}
