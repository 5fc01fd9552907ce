/**
 * The channels that listen to a source, and whether the source may run for them: it watches the page and the switch from
 * the first of them to the last, and tells the source to look again whenever that may matter.
 */
import type { Clock } from '../primitives/clock'
import type { ConditionChange, Conditions, PauseReason } from './conditions'

export interface AudienceHooks<Sink> {
  whenHidden(sink: Sink): 'keep' | 'pause'
  /** Somebody came or left, or the conditions have changed; `replace`: what was open does not move any more. */
  settle(change: ConditionChange): void
  /** Names the source in timers. */
  endpoint(): string
}

/** Clients that were all stopped at the same moment come back within this many ms, not at once. */
const SPREAD = 1_000

/** A class, since there are thousands: its methods cost each source nothing. */
export class Audience<Sink> {
  readonly sinks: Set<Sink> = new Set()
  readonly #clock: Clock
  readonly #conditions: Conditions
  readonly #hooks: AudienceHooks<Sink>
  #stopWatching: (() => void) | undefined
  #cancelSpread: (() => void) | undefined

  constructor(context: { readonly clock: Clock; readonly conditions: Conditions }, hooks: AudienceHooks<Sink>) {
    this.#clock = context.clock
    this.#conditions = context.conditions
    this.#hooks = hooks
  }

  add(sink: Sink): void {
    this.sinks.add(sink)
    this.#stopWatching ??= this.#conditions.watch((change) => this.#look(change))
    this.#look('now')
  }

  delete(sink: Sink): void {
    this.sinks.delete(sink)
    if (this.sinks.size > 0) return this.#look('now')
    this.#cancelSpread?.()
    this.#stopWatching?.()
    this.#stopWatching = undefined
  }

  /** A sink that left meanwhile is told nothing more. */
  each(run: (sink: Sink) => void): void {
    for (const sink of [...this.sinks]) if (this.sinks.has(sink)) run(sink)
  }

  /** Why the source may not run for them; undefined if it may. */
  reason(): PauseReason | undefined {
    const keeps = [...this.sinks].some((sink) => this.#hooks.whenHidden(sink) === 'keep')
    return this.#conditions.reason(keeps ? 'keep' : 'pause')
  }

  #look(change: ConditionChange): void {
    const { settle, endpoint } = this.#hooks
    this.#cancelSpread?.()
    if (change === 'spread' && !this.reason()) {
      const ms = this.#clock.random() * SPREAD
      this.#cancelSpread = this.#clock.after(ms, () => settle('now'), `resume ${endpoint()}`)
    } else settle(change)
  }
}
