/**
 * Which tab runs a source: a pure state machine. The shell (link.ts) runs its effects.
 *
 * ```
 *             join                    granted
 *   parked ─────────▶ standby ───────────────────▶ leading
 *    ▲  │              │ ▲ └─ suspect ─▶ standby      │
 *    │  │      refused,│ └────────── lost ────────────┤
 *    │  │     separate ▼                              │
 *    │  └─ alone ──▶ solo ◀───────── separate ────────┤
 *    │                │                               │
 *    └───── park ◀────┴──────────── park ◀────────────┘
 * ```
 *
 * `standby` waits for the lock and follows whoever holds it. `suspect`: whoever holds it is dead though its tab is not,
 * so the lock is taken from it. `parked`: nobody here wants the source, or the page is frozen. `separate`: from now on
 * this page serves itself.
 */
export type ElectionState = 'parked' | 'standby' | 'leading' | 'solo'

export type ElectionEvent = 'join' | 'alone' | 'granted' | 'refused' | 'suspect' | 'lost' | 'separate' | 'park'

/**
 * `open` and `shut` the channel, `request`, `steal` and `drop` the lock (held or waited for), `start` and `stop` the
 * source, `announce` the leader, `greet` whoever leads.
 */
export type ElectionEffect = 'open' | 'shut' | 'request' | 'steal' | 'drop' | 'start' | 'stop' | 'announce' | 'greet'

export interface ElectionStep {
  readonly state: ElectionState
  readonly effects: readonly ElectionEffect[]
}

/** What each event leads to; where none is listed it changes nothing. */
const steps: { readonly [S in ElectionState]: { readonly [E in ElectionEvent]?: ElectionStep } } = {
  parked: {
    join: { state: 'standby', effects: ['open', 'request', 'greet'] },
    alone: { state: 'solo', effects: ['start'] },
  },
  standby: {
    granted: { state: 'leading', effects: ['announce', 'start'] },
    refused: { state: 'solo', effects: ['shut', 'start'] },
    suspect: { state: 'standby', effects: ['drop', 'steal'] },
    separate: { state: 'solo', effects: ['drop', 'shut', 'start'] },
    park: { state: 'parked', effects: ['drop', 'shut'] },
  },
  leading: {
    lost: { state: 'standby', effects: ['stop', 'drop', 'request', 'greet'] },
    separate: { state: 'solo', effects: ['drop', 'shut'] },
    park: { state: 'parked', effects: ['stop', 'drop', 'shut'] },
  },
  solo: {
    park: { state: 'parked', effects: ['stop'] },
  },
}

export function elect(state: ElectionState, event: ElectionEvent): ElectionStep {
  return steps[state][event] ?? { state, effects: [] }
}
