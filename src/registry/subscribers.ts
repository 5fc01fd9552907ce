/**
 * Who listens to a channel, and how each is told: every event, per frame, or the latest only. One that throws is
 * reported and starves nobody; one that leaves is told nothing more, not even the rest of a chunk.
 */
import type { Clock } from '../primitives/clock'
import type { MillraceError } from '../primitives/errors'
import { mayReject, type Report } from './callbacks'
import type { ChannelState } from './channel-state'
import type { StreamEvent } from './define-channel'
import type { Subscriber } from './subscriber'

/** Whose subscribers they are. */
interface Owner {
  readonly key: string
  state(): ChannelState<unknown>
  onOverflow(subscriber: Subscriber, silently: boolean): void
}

interface Context {
  readonly clock: Clock
  readonly report: Report
}

/** What may wait for a frame per subscriber. */
const LARGEST_BATCH = 10_000

export class Subscribers {
  readonly #context: Context
  readonly #owner: Owner
  readonly #members = new Set<Subscriber>()
  /** A copy to iterate over while members come and go, made anew only after they did. */
  #list: readonly Subscriber[] | undefined
  /** Those of them who want the state: most events change it, and often nobody asks. */
  #watchers: readonly Subscriber[] = []
  #cancelFrame: (() => void) | undefined

  constructor(context: Context, owner: Owner) {
    this.#context = context
    this.#owner = owner
  }

  /** Live: for who iterates at once and calls nobody. */
  all(): ReadonlySet<Subscriber> {
    return this.#members
  }

  add(subscriber: Subscriber): void {
    subscriber.active = true
    this.#members.add(subscriber)
    this.#list = undefined
  }

  remove(subscriber: Subscriber): void {
    subscriber.active = false
    this.#members.delete(subscriber)
    this.#list = undefined
    if (this.#members.size === 0) this.#stopFrame()
  }

  #everybody(): readonly Subscriber[] {
    if (!this.#list) {
      this.#list = [...this.#members]
      this.#watchers = this.#list.filter(({ observer }) => observer.state)
    }
    return this.#list
  }

  publish(event: StreamEvent): void {
    const list = this.#everybody()
    for (let i = 0; i < list.length; i++) {
      const subscriber = list[i] as Subscriber
      if (!subscriber.active) continue
      const { observer, options } = subscriber
      if (options.delivery && options.delivery !== 'each') {
        this.#buffer(subscriber, event)
        continue
      }
      try {
        // Without a closure, and with a look at what few answer: this is done for each event and subscriber.
        const answer: unknown = observer.next ? observer.next(event) : observer.batch?.([event])
        if (answer !== undefined && mayReject(answer)) this.#watch(observer.next ? 'next' : 'batch', answer)
      } catch (error) {
        this.#report(observer.next ? 'next' : 'batch', error)
      }
    }
  }

  #buffer(subscriber: Subscriber, event: StreamEvent): void {
    const { observer, options } = subscriber
    if (!observer.next && !observer.batch) return
    subscriber.buffer ??= []
    const waiting = subscriber.buffer
    const latestOnly = options.delivery === 'latest'
    if (waiting.length >= (latestOnly ? 1 : LARGEST_BATCH)) {
      waiting.shift()
      this.#owner.onOverflow(subscriber, latestOnly)
    }
    waiting.push(event)
    this.#armFrame()
  }

  #armFrame(): void {
    this.#cancelFrame ??= this.#context.clock.frame(() => this.flush(), `frame ${this.#owner.key}`)
  }

  #stopFrame(): void {
    this.#cancelFrame?.()
    this.#cancelFrame = undefined
  }

  /** Hands out what waits for a frame. */
  flush(): void {
    this.#stopFrame()
    for (const subscriber of this.#everybody()) {
      const { observer, options, buffer: events } = subscriber
      subscriber.buffer = undefined
      if (events && observer.batch && options.delivery === 'frame')
        this.#call('batch', subscriber, () => observer.batch?.(events))
      else for (const event of events ?? []) this.#call('next', subscriber, () => observer.next?.(event))
      if (subscriber.owedState) this.tell(subscriber)
    }
  }

  /** The state has changed: with `now`, everybody is told; else those who take every event are. */
  stateChanged(now: boolean): void {
    this.#everybody()
    for (const subscriber of this.#watchers) {
      const { options } = subscriber
      if (now || !options.delivery || options.delivery === 'each') this.tell(subscriber)
      else if (!subscriber.owedState) {
        subscriber.owedState = true
        this.#armFrame()
      }
    }
  }

  /** Tells everybody of the end. */
  end(error: MillraceError | undefined): void {
    this.flush()
    for (const subscriber of this.#everybody()) this.tellEnd(subscriber, error)
  }

  /** Tells one of the state, and of the end: who comes late hears it too. */
  tell(subscriber: Subscriber): void {
    subscriber.owedState = false
    this.#call('state', subscriber, () => subscriber.observer.state?.(this.#owner.state()))
  }

  tellEnd(subscriber: Subscriber, error: MillraceError | undefined): void {
    const { observer } = subscriber
    if (error) this.#call('error', subscriber, () => observer.error?.(error))
    else this.#call('complete', subscriber, () => observer.complete?.())
  }

  #call(name: string, { active }: Subscriber, tell: () => unknown): void {
    if (!active) return
    try {
      const answer = tell()
      if (mayReject(answer)) this.#watch(name, answer)
    } catch (error) {
      this.#report(name, error)
    }
  }

  /** A handler that is asynchronous fails later. */
  #watch(name: string, answer: PromiseLike<unknown>): void {
    answer.then(undefined, (error) => this.#report(name, error))
  }

  #report(name: string, error: unknown): void {
    this.#context.report(name, this.#owner.key, error)
  }
}
