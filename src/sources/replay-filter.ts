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
  readonly doubled: boolean
}

export interface ReplayFilter {
  /** After a reconnect or a change of leader: what comes next may be known. */
  expectReplay(): void
  sift(messages: readonly Message[]): Sifted
  /** What came after the last message with this id; undefined if the id is not known. */
  since(id: string): readonly Message[] | undefined
  clear(): void
}

interface Known {
  readonly at: number
  /** Of those that are longer ago the number of the whole is left. */
  readonly message: Message | undefined
  readonly whole: number
  /** Another that is remembered, with the same id. */
  readonly earlier: Known | undefined
}

export function createReplayFilter(account: (bytes: number) => void, elapsed: () => number): ReplayFilter {
  /** A ring: the message number n is in slot n modulo its size. */
  let ring: Message[] = []
  let oldest = 0
  let next = 0
  let characters = 0
  /** Of the messages before those, number by number, two for each. */
  let numbers: number[] = []
  /** Told of each message while a replay is expected. */
  let watch: ((messages: readonly Message[]) => Sifted) | undefined
  /** After a new beginning: the id that would show that it was none. */
  let suspect: { readonly id: string; readonly until: number } | undefined
  let isStamped = false

  return {
    clear: forget,
    expectReplay() {
      watch = createWatch()
    },
    sift(messages) {
      const sifted = watch?.(messages) ?? { fresh: messages, restarted: false, doubled: false }
      if (suspect && sifted.fresh.some(({ id }) => id === suspect?.id)) {
        isStamped = elapsed() < suspect.until
        suspect = undefined
      }
      if (sifted.restarted) forget()
      remember(sifted.fresh)
      return sifted
    },
    since(id) {
      for (let at = next; at-- > oldest; )
        if (messageAt(at).lastEventId === id)
          return Array.from({ length: next - at - 1 }, (_, n) => messageAt(at + 1 + n))
      return undefined
    },
  }

  function createWatch(): (messages: readonly Message[]) => Sifted {
    const known = knownNow()
    const lastId = next > oldest ? messageAt(next - 1).lastEventId : ''
    const until = elapsed() + REPLAYED
    /** Until it has sent as many as there were, it may still be replaying. */
    let left = next
    /** Something unknown has come: from here on only what is surely a replay counts as one. */
    let hasNews = false
    /** How many known ones in a row have come since, and where the last of them stands. */
    let run = 0
    let at = 0
    /** Messages were dropped by their id alone. */
    let isTrusting = false

    return (messages) => {
      let from = 0
      let restarted = false
      let doubled = false
      let firstNews: number | undefined
      for (const [index, message] of messages.entries()) {
        if (!message.id) continue
        const found = known.get(numberOf(message.id))
        run = hasNews && found?.at === at + 1 && !found.earlier ? run + 1 : 0
        at = found?.at ?? at
        const isSame = isAmong(found, message)
        if (hasNews) {
          // What comes after news is news, were it not for a server that has replayed more than is remembered.
          if (!isSame || run < SURELY) continue
          doubled ||= run === SURELY
          from = index + 1
        } else if (!found) firstNews ??= index
        else if (isSame || isStamped) {
          if (!isSame) isTrusting = message.id !== lastId
          // Ids that come again and again tell nothing of what stands before them.
          if (firstNews !== undefined && found.earlier) continue
          from = index + 1
          firstNews = undefined
        } else {
          restarted = true
          break
        }
      }
      hasNews ||= firstNews !== undefined
      left -= messages.length
      if (isTrusting && (firstNews !== undefined || elapsed() > until)) {
        restarted = true
        from = 0
      }
      if (restarted) {
        suspect = { id: lastId, until }
        isStamped = false
      }
      if (restarted || (left <= 0 && hasNews)) watch = undefined
      const fresh = from === 0 ? messages : messages.filter(({ id }, index) => index >= from || !id)
      return { fresh, restarted, doubled }
    }
  }

  /** All that is remembered, by the number of its id. */
  function knownNow(): ReadonlyMap<number, Known> {
    const known = new Map<number, Known>()
    for (let at = Math.max(0, oldest - MOST_NUMBERS); at < next; at++) {
      const message = at < oldest ? undefined : messageAt(at)
      const slot = slotOf(at)
      const id = message ? numberOf(message.id) : (numbers[slot] as number)
      const same = message && known.get(id)
      known.set(id, {
        at,
        message,
        whole: message ? 0 : (numbers[slot + 1] as number),
        earlier: same && same.at >= oldest ? same : undefined,
      })
    }
    return known
  }

  function messageAt(n: number): Message {
    return ring[n & (MOST_MESSAGES - 1)] as Message
  }

  function forget(): void {
    account(-size())
    ring = []
    numbers = []
    oldest = next = characters = 0
  }

  function size(): number {
    return 2 * characters + 8 * numbers.length
  }

  function remember(messages: readonly Message[]): void {
    const before = size()
    for (const message of messages) {
      if (message.lastEventId === '') continue
      if (next - oldest === MOST_MESSAGES) dropOldest()
      characters += charactersOf(message)
      ring[next++ & (MOST_MESSAGES - 1)] = message
      while (characters > MOST_CHARACTERS) dropOldest()
    }
    account(size() - before)
  }

  function dropOldest(): void {
    const message = messageAt(oldest)
    const slot = slotOf(oldest)
    numbers[slot] = numberOf(message.id)
    numbers[slot + 1] = numberOfWhole(message)
    characters -= charactersOf(message)
    ring[oldest++ & (MOST_MESSAGES - 1)] = undefined as never
  }
}

function slotOf(at: number): number {
  return 2 * (at & (MOST_NUMBERS - 1))
}

function isAmong(known: Known | undefined, message: Message): boolean {
  for (let each = known; each; each = each.earlier) {
    const { message: same, whole } = each
    if (same ? same.event === message.event && same.data === message.data : whole === numberOfWhole(message))
      return true
  }
  return false
}

/** 53 bits: among so many none is taken for another. */
function numberOf(text = ''): number {
  return fnv(text) * 2 ** 21 + (fnv(text, 0x1b873593) >>> 11)
}

/** Of a long text so many characters, over all of it: it is to be told from other data under the same id, and quickly. */
const SAMPLES = 32

function numberOfWhole({ event, data }: Message): number {
  const step = Math.max(1, Math.ceil(data.length / SAMPLES))
  let hash = fnv(event, data.length)
  for (let i = data.length - 1; i >= 0; i -= step) hash = Math.imul(hash ^ data.charCodeAt(i), 0x01000193)
  return hash >>> 0
}
