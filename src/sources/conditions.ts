/** What keeps sources from running, for the whole client: the switch, the identity and the page's life. */
import { type PageSignal, watchPage } from '../primitives/page-signals'
import { isHidden } from '../primitives/platform'

/** Why something waits although it is wanted. */
export type PauseReason = 'hidden' | 'offline' | 'disabled' | 'runaway' | 'stream-limit' | 'pressure' | 'identity'

/** A source that waits although it is wanted. */
export interface HeldBack {
  readonly name: 'held-back'
  readonly by: PauseReason
}

const heldBack: { [by in PauseReason]?: HeldBack } = {}
/** The same one each time: what has not changed is not told. */
export function heldBackState(by: PauseReason): HeldBack {
  heldBack[by] ??= { name: 'held-back', by }
  return heldBack[by]
}

/**
 * How a source should take a change: `spread` when every client changes at the same time, `replace` after a freeze;
 * `online`: what has failed meanwhile may work now.
 */
export type ConditionChange = 'now' | 'spread' | 'replace' | 'online'

export interface Conditions {
  /** Why a source may not run; undefined if it may. That the browser says it is offline is a hint, and no reason. */
  reason(whenHidden: 'keep' | 'pause'): PauseReason | undefined
  /** Settings have changed: every source looks again. */
  refresh(): void
  disable(): void
  enable(): void
  /** Whether it is known who is signed in; it is not once another tab has signed out. */
  identify(isKnown: boolean): void
  readonly enabled: boolean
  readonly isIdentified: boolean
  /** Frozen, or in the back/forward cache: fetch callbacks do not run. */
  readonly isFrozen: boolean
  /** Page signals are listened to while somebody watches. */
  watch(listener: (change: ConditionChange) => void): () => void
}

export function createConditions(): Conditions {
  const listeners = new Set<(change: ConditionChange) => void>()
  let stopPage: (() => void) | undefined
  let disabled = false
  let isIdentified = true
  let frozen = false

  function tell(change: ConditionChange): void {
    for (const listener of [...listeners]) listener(change)
  }

  function onPage(signal: PageSignal): void {
    // Back from the back/forward cache a page is told twice: `resume` and `pageshow`.
    if (signal === 'resume' && !frozen) return
    frozen = signal === 'freeze' || (frozen && signal !== 'resume')
    tell(signal === 'resume' ? 'replace' : signal === 'online' ? 'online' : 'now')
  }

  return {
    reason(whenHidden) {
      if (disabled) return 'disabled'
      if (!isIdentified) return 'identity'
      return frozen || (whenHidden === 'pause' && isHidden()) ? 'hidden' : undefined
    },
    refresh: () => tell('now'),
    disable() {
      disabled = true
      tell('now')
    },
    enable() {
      disabled = false
      tell('spread')
    },
    identify(isKnown) {
      if (isIdentified === isKnown) return
      isIdentified = isKnown
      tell('now')
    },
    get enabled() {
      return !disabled
    },
    get isIdentified() {
      return isIdentified
    },
    get isFrozen() {
      return frozen
    },
    watch(listener) {
      stopPage ??= watchPage(onPage)
      listeners.add(listener)
      return () => {
        listeners.delete(listener)
        if (listeners.size > 0) return
        stopPage?.()
        stopPage = undefined
        frozen = false
      }
    },
  }
}
