/**
 * One source's tie to the other tabs: runs the election, names the leader, and notices one that has died in its sleep.
 * What is said about the source itself is its own business: the link carries it.
 */
import type { AlertCode } from '../../primitives/alerts'
import type { Timers } from '../../primitives/clock'
import { attempt, soon } from '../../primitives/platform'
import { type ElectionEvent, type ElectionState, elect } from './election'
import type { TabChannel, TabPlatform } from './platform'
import { MOST_TABS, malformed } from './wire'

/** What every message says; the rest depends on its type. */
export interface TabMessage {
  readonly type: string
  /** The tab that it comes from. */
  readonly from: string
  /** For one tab alone. */
  readonly to?: string
  /** The leader's epoch, if the leader speaks. */
  readonly e?: number
  readonly [field: string]: unknown
}

export interface LinkHooks {
  /** From now on this tab runs the source. */
  start(): void
  stop(): void
  /** What a tab says of itself to whoever leads. */
  greeting(): object
  /** The leader's answer to that. */
  welcome(greeting: TabMessage): object
  /** What its signs of life say of a leader. */
  sign(): object
  /** Another leader than before: what it relays is a count of its own. */
  onLeader(epoch: number): void
  /** Anything else, from the leader of the highest epoch, or to the leader. */
  onMessage(message: TabMessage): void
  /** What the leader before has sent, and comes after the next one is known. */
  onLate?(message: TabMessage): void
  /** The role may be another. */
  onRole(): void
}

export interface Link {
  readonly id: string
  state(): ElectionState
  /** This tab runs the source: for all, or for itself. */
  leads(): boolean
  /** A tab that waits for the lock follows nobody before it has heard from a leader. */
  role(): 'leader' | 'follower' | 'solo' | undefined
  join(): void
  /** Leaves: the lock is free and the channel closed before it returns. */
  park(): void
  /** From now on this page serves itself; what runs goes on. */
  separate(): void
  post(type: string, fields?: object): void
  /** As a leader: says it if anybody follows. */
  relay(type: string, fields?: object): void
  hasFollowers(): boolean
  /** Tells the leader who is here, and asks where it stands; once however often it is called in one go. */
  greet(): void
}

/** ms without a word from the leader before it is asked whether it lives. */
const SILENCE = 15_000
/** ms that it has to answer, twice. */
const ANSWER = 2_000
/** ms: a hidden tab's timers run once a minute; one whose timers are older than this is frozen. */
const FROZEN = 90_000
/** ms between the timers that show that this tab is not. */
const PULSE = 30_000
/** Of a tab: ours have 11 characters, and they are remembered. */
const LONGEST_NAME = 50
/** ms: an epoch further in the future is nobody's clock. */
const SKEW = 60_000

export function createLink(
  { locks, open }: TabPlatform,
  name: string,
  clock: Timers,
  alert: (told: { code: AlertCode; message: string }) => void,
  hooks: LinkHooks,
): Link {
  const id = clock.random().toString(36).slice(2)
  let state: ElectionState = 'parked'
  let channel: TabChannel | undefined
  /** Ends the request for the lock, or frees it. */
  let dropLock = () => {}
  /** The highest that was heard of, or this tab's own. */
  let epoch = 0
  let epochBefore = 0
  let heardAt = 0
  let unanswered = 0
  /** How often in a row another tab was about to take the lock, and nothing came of it. */
  let forestalled = 0
  let pulseAt = 0
  let stopTimer = () => {}
  let isGreeting = false
  /** As a leader: who was heard of, and has not left. */
  const followers = new Set<string>()

  const effects = {
    open: openChannel,
    shut: shutChannel,
    request: () => request({}),
    steal,
    drop() {
      dropLock()
      dropLock = () => {}
    },
    start: hooks.start,
    stop: hooks.stop,
    announce() {
      moveTo(Math.max(epoch + 1, Math.floor(clock.now())))
      post('leader')
      pulse()
    },
    greet() {
      heardAt = clock.elapsed()
      watch(SILENCE)
      greet()
    },
  }

  return {
    id,
    state: () => state,
    leads: () => state === 'leading' || state === 'solo',
    role: () =>
      state === 'leading'
        ? 'leader'
        : state === 'solo'
          ? state
          : state === 'standby' && epoch > 0
            ? 'follower'
            : undefined,
    join() {
      if (state !== 'parked') return
      // A browser may have channels, and refuse to open one: then this page serves itself.
      channel = attempt(() => open(name))
      send(channel ? 'join' : 'alone')
    },
    park: () => send('park'),
    separate: () => send('separate'),
    post,
    relay(type, fields) {
      if (followers.size > 0) post(type, fields)
    },
    hasFollowers: () => followers.size > 0,
    greet,
  }

  function moveTo(next: number): void {
    epochBefore = epoch
    epoch = next
  }

  function send(event: ElectionEvent): void {
    const before = state
    const next = elect(state, event)
    if (next.effects.length === 0) return
    stopTimer()
    if (next.state !== before) followers.clear()
    state = next.state
    for (const effect of next.effects) effects[effect]()
    if (state !== before) hooks.onRole()
  }

  // The lock.

  /** Resolves when this tab has the lock and has said so, or will not have it. */
  function request(options: { steal?: boolean }): Promise<void> {
    const waiting = new AbortController()
    const { signal } = waiting
    let free = () => {}
    dropLock = () => {
      waiting.abort()
      free()
    }
    // A stolen lock cannot be waited for, nor a wait for it be ended.
    const asked = options.steal ? options : { signal }
    return new Promise((resolve) => {
      const onLock = () => {
        if (signal.aborted) return undefined
        const held = new Promise<void>((resolve) => {
          free = resolve
        })
        send('granted')
        resolve()
        return held
      }
      promised(() => locks.request(name, asked, onLock))
        .catch(() => {
          if (!signal.aborted) send(state === 'leading' ? 'lost' : 'refused')
        })
        .then(() => resolve())
    })
  }

  /** Of all the tabs that have noticed, one takes the lock; the others wait for it again. */
  function steal(): void {
    const before = dropLock
    const heardBefore = heardAt
    promised(() =>
      locks.request(`${name} steal`, { ifAvailable: true }, (guard) => {
        if (state !== 'standby' || dropLock !== before) return undefined
        // Whoever was faster has said so before it let go of the guard; or stands still itself, with the guard in its hand.
        const isOurs = (guard !== null || forestalled > 0) && heardAt === heardBefore
        forestalled = isOurs ? 0 : forestalled + 1
        const granted = request(isOurs ? { steal: true } : {})
        heardAt = clock.elapsed()
        watch(SILENCE)
        return isOurs ? granted : undefined
      }),
    ).catch(() => send('refused'))
  }

  /** What is thrown at once is a refusal, too. */
  async function promised(run: () => Promise<unknown>): Promise<unknown> {
    return run()
  }

  // The channel.

  function openChannel(): void {
    if (!channel) return
    channel.onmessage = ({ data }) => {
      if (isMessage(data)) receive(data)
      else alert(malformed)
    }
  }

  function shutChannel(): void {
    post('bye')
    channel?.close()
    channel = undefined
  }

  function post(type: string, fields: object = {}): void {
    forgetFuture()
    try {
      channel?.postMessage({ ...fields, type, from: id, ...(state === 'leading' && { e: epoch }) })
    } catch (error) {
      alert({ code: 'tab-protocol', message: `Other tabs cannot be told: ${error}` })
    }
  }

  function greet(): void {
    if (isGreeting) return
    isGreeting = true
    soon(() => {
      if (isGreeting && state === 'standby') post('hello', hooks.greeting())
      isGreeting = false
    })
  }

  function receive(message: TabMessage): void {
    const { type, from, to, e } = message
    if (from === id || (to !== undefined && to !== id)) return
    forgetFuture()
    if (e !== undefined) {
      if (e < epoch) return e === epochBefore ? hooks.onLate?.(message) : undefined
      if (e > clock.now() + SKEW) return
      if (state === 'leading') {
        // Two leaders for a moment: the later one stays, and of two at once the one with the larger id.
        if (e === epoch && from < id) return post('leader')
        moveTo(e)
        return send('lost')
      }
      heardAt = clock.elapsed()
      unanswered = forestalled = 0
      if (e > epoch) {
        moveTo(e)
        hooks.onLeader(e)
      }
    } else if (state !== 'leading') return
    else if (type === 'bye') followers.delete(from)
    else if (followers.size < MOST_TABS) followers.add(from)
    // It answers what this tab was about to ask because of its epoch.
    if (type === 'welcome') isGreeting = false
    if (type === 'hello') post('welcome', { to: from, ...hooks.welcome(message) })
    else if (type === 'ping') post('pong', { to: from, age: clock.elapsed() - pulseAt, ...hooks.sign() })
    else if (type === 'pong' && typeof message.age === 'number' && message.age > FROZEN) send('suspect')
    else hooks.onMessage(message)
  }

  /** The clock was set back: an epoch of the time before is refused by new tabs, and would outrank every new leader. */
  function forgetFuture(): void {
    if (epoch <= clock.now() + SKEW) return
    moveTo(0)
    if (state !== 'leading') return
    stopTimer()
    effects.announce()
  }

  // Signs of life.

  /** A leader's timers run: a frozen page answers, but its timers stand still. */
  function pulse(): void {
    pulseAt = clock.elapsed()
    stopTimer = clock.after(PULSE, pulse, `pulse of ${name}`, true)
  }

  function watch(ms: number): void {
    stopTimer()
    stopTimer = clock.after(ms, look, `watch over ${name}`, true)
  }

  function look(): void {
    const left = heardAt + SILENCE - clock.elapsed()
    if (left > 0) return watch(left)
    if (unanswered++ < 2) {
      post('ping')
      watch(ANSWER)
    } else {
      unanswered = 0
      send('suspect')
    }
  }
}

function isMessage(data: unknown): data is TabMessage {
  if (typeof data !== 'object' || data === null) return false
  const { type, from, to, e } = data as TabMessage
  return (
    typeof type === 'string' &&
    typeof from === 'string' &&
    from.length <= LONGEST_NAME &&
    (to === undefined || typeof to === 'string') &&
    (e === undefined || Number.isSafeInteger(e))
  )
}
