/** What one component sees of its channel: another object only when a field that the component has read is another. */
import type { ChannelState, ChannelStatus, MillraceError } from 'millrace'

/** A channel, as a component sees it. Only the fields that a component reads make it render. */
export interface ChannelResult<T> {
  /** What `select` made of the channel's data. */
  readonly data: T | undefined
  /** `idle`: not wanted (no channel, or `enabled: false`). A wanted one is `connecting` from its first render on. */
  readonly status: ChannelStatus
  /** The last error; gone after the next success. */
  readonly error: MillraceError | undefined
  /** The stream is open: `status` is `live`. */
  readonly isLive: boolean
  /** Data is from before: kept, or the source is not live at the moment. */
  readonly isStale: boolean
  /** Failed attempts in a row. */
  readonly attempt: number
  /** ms since the epoch of the next attempt, or of the one in flight. */
  readonly retryAt: number | undefined
  /** ms since the epoch, when the channel's data last changed. */
  readonly updatedAt: number | undefined
  /** Asks for the snapshot now; starts a failed or complete channel again. The same function while the channel is the same. */
  readonly refresh: () => Promise<void>
}

interface Lens<S, T> {
  select?: ((data: S) => T) | undefined
  isEqual?: ((a: T, b: T) => boolean) | undefined
}

/**
 * Shows one component the state of its channel, of this key if it is wanted. `refresh` is another function for another
 * channel or client.
 */
export type View<S, T> = (
  state: ChannelState<S>,
  key: string | undefined,
  refresh: () => Promise<void>,
  lens: Lens<S, T>,
) => ChannelResult<T>

/**
 * The memory of one component. It is no more than that: a render that is thrown away may cost the next one an object, and
 * does not show in it.
 */
export function createView<S, T>(): View<S, T> {
  // Whoever calls `refresh` later on means the channel of now.
  const read = new Set(['refresh'] as (keyof ChannelResult<T>)[])
  let seen: ChannelState<S> | undefined
  let selector: Lens<S, T>['select']
  /** Selected of `seen`; the fields of `result` may be older, where nobody reads them. */
  let selected: T | undefined
  let fields: ChannelResult<T> | undefined
  let result: ChannelResult<T>

  return (state, key, refresh, { select, isEqual = Object.is }) => {
    if (state === seen && select === selector && refresh === fields?.refresh) return result
    if (select !== selector || !Object.is(state.data, seen?.data)) {
      const data = (select && state.data !== undefined ? select(state.data) : state.data) as T | undefined
      if (selected === undefined || data === undefined || !isEqual(selected, data)) selected = data
    }
    seen = state
    selector = select

    const { status } = state
    const isWanted = key !== undefined
    const next: ChannelResult<T> = {
      ...state,
      data: selected,
      status: !isWanted ? 'idle' : status === 'idle' ? 'connecting' : status,
      isLive: isWanted && status === 'live',
      isStale: isWanted ? state.isStale : selected !== undefined,
      refresh,
    }
    const shown = fields
    if (!shown || [...read].some((name) => !Object.is(next[name], shown[name]))) {
      fields = next
      result = new Proxy(next, {
        get(_, name: keyof ChannelResult<T>) {
          read.add(name)
          return next[name]
        },
      })
    }
    return result
  }
}
