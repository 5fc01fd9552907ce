/**
 * Who listens to a source, and whether it may run for them: it watches the page and the switch from the first of them to
 * the last, and tells the source to look again whenever that may matter.
 */
import type { Clock } from '../primitives/clock'
import type { ConditionChange, Conditions, PauseReason } from './conditions'

export interface Source {
  /** Somebody came or left, or the conditions have changed; `replace`: what was open does not move any more. */
  settle(change: ConditionChange): void
  /** Names it in timers. */
  endpoint(): string
}

/** Clients that were all stopped at the same moment come back within this many ms, not at once. */
const SPREAD = 1_000

/** A class, since there are thousands: its methods cost each source nothing. */
export class Listeners<Sink> {
  readonly all: Set<Sink> = new Set()
  readonly #context: { readonly clock: Clock; readonly conditions: Conditions }
  readonly #whenHidden: (sink: Sink) => 'keep' | 'pause'
  readonly #source: Source
  #stopWatching: (() => void) | undefined
  #cancelSpread: (() => void) | undefined

  constructor(
    context: { readonly clock: Clock; readonly conditions: Conditions },
    whenHidden: (sink: Sink) => 'keep' | 'pause',
    source: Source,
  ) {
    this.#context = context
    this.#whenHidden = whenHidden
    this.#source = source
  }

  add(sink: Sink): void {
    this.all.add(sink)
    this.#stopWatching ??= this.#context.conditions.watch((change) => this.#look(change))
    this.#look('now')
  }

  /** Whether there is nobody left. */
  delete(sink: Sink): boolean {
    if (!this.all.delete(sink)) return false
    if (this.all.size > 0) this.#look('now')
    else {
      this.#cancelSpread?.()
      this.#stopWatching?.()
      this.#stopWatching = undefined
    }
    return this.all.size === 0
  }

  /** Who left meanwhile is told nothing more. */
  each(run: (sink: Sink) => void): void {
    for (const sink of [...this.all]) if (this.all.has(sink)) run(sink)
  }

  map<T>(run: (sink: Sink) => T): T[] {
    return [...this.all].map(run)
  }

  /** Why the source may not run for them; undefined if it may. */
  reason(): PauseReason | undefined {
    const keeps = this.map(this.#whenHidden).includes('keep')
    return this.#context.conditions.reason(keeps ? 'keep' : 'pause')
  }

  #look(change: ConditionChange): void {
    const { clock } = this.#context
    const source = this.#source
    this.#cancelSpread?.()
    if (change === 'spread' && !this.reason())
      this.#cancelSpread = clock.after(
        clock.random() * SPREAD,
        () => source.settle('now'),
        `resume ${source.endpoint()}`,
      )
    else source.settle(change)
  }
}

/** Of what they ask, where they ask anything. */
export function least(given: readonly (number | undefined)[]): number | undefined {
  const ms = given.filter((each) => each !== undefined)
  return ms.length > 0 ? Math.min(...ms) : undefined
}
