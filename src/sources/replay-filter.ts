/**
 * Remembers recent messages, so that what a server replays too much after a reconnect is dropped (law 3). Known is what
 * has the same id, type and data; what stands before it in the same chunk is older still. The first unknown message
 * after that ends the filtering. A known id with other data means that the server began anew.
 */
import { charactersOf, type Message } from '../stream/messages'

/** A power of two, so that a message's slot is a mask away. */
const MOST_MESSAGES = 1_024
const MOST_CHARACTERS = 4 * 2 ** 20

export interface ReplayFilter {
  /** After a reconnect or a change of leader: what comes next may be known. */
  expectReplay(): void
  /** The messages that are news, and whether the server began anew before the first of them. */
  sift(messages: readonly Message[]): { readonly fresh: readonly Message[]; readonly restarted: boolean }
  /** What came after the last message with this id; undefined if the id is not known. */
  since(id: string): readonly Message[] | undefined
  clear(): void
}

export function createReplayFilter(account: (bytes: number) => void): ReplayFilter {
  /** A ring: the message number n is in slot n modulo its size. */
  let ring: Message[] = []
  let oldest = 0
  let next = 0
  let characters = 0
  /** While a replay is expected: the known messages by id. */
  let known: Map<string, Message[]> | undefined

  return {
    clear: forget,
    expectReplay() {
      known = new Map()
      for (const message of all()) {
        const same = known.get(message.lastEventId)
        if (same) same.push(message)
        else known.set(message.lastEventId, [message])
      }
    },
    sift(messages) {
      if (!known) return { fresh: remembered(messages), restarted: false }
      let from = 0
      let restarted = false
      for (const [index, message] of messages.entries()) {
        const same = known.get(message.lastEventId)
        if (same?.some(({ event, data }) => event === message.event && data === message.data)) from = index + 1
        else if (same && message.id !== undefined) {
          restarted = true
          break
        }
      }
      if (from < messages.length) known = undefined
      if (restarted) forget()
      return { fresh: remembered(messages.slice(from)), restarted }
    },
    since(id) {
      const messages = all()
      const index = messages.findLastIndex((message) => message.lastEventId === id)
      return index < 0 ? undefined : messages.slice(index + 1)
    },
  }

  function all(): Message[] {
    return Array.from({ length: next - oldest }, (_, n) => at(oldest + n))
  }

  function at(n: number): Message {
    return ring[n & (MOST_MESSAGES - 1)] as Message
  }

  function forget(): void {
    account(-2 * characters)
    ring = []
    oldest = next = characters = 0
  }

  function remembered(messages: readonly Message[]): readonly Message[] {
    const before = characters
    for (let i = Math.max(0, messages.length - MOST_MESSAGES); i < messages.length; i++) {
      const message = messages[i] as Message
      if (message.lastEventId === '') continue
      characters += charactersOf(message)
      if (next - oldest === MOST_MESSAGES) characters -= charactersOf(at(oldest++))
      ring[next++ & (MOST_MESSAGES - 1)] = message
      while (characters > MOST_CHARACTERS) {
        characters -= charactersOf(at(oldest))
        ring[oldest++ & (MOST_MESSAGES - 1)] = undefined as never
      }
    }
    account(2 * (characters - before))
    return messages
  }
}
