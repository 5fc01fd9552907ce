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

interface Sight<S, T> {
  seen?: ChannelState<S>
  selector?: Lens<S, T>['select']
  /** Selected of `seen`; the fields of `result` may be older, where nobody reads them. */
  selected?: T | undefined
  fields?: ChannelResult<T>
  result?: ChannelResult<T>
}

/** What one render sees. It begins with what the last committed one saw, and leaves no trace unless it is committed too. */
export interface View<S, T> {
  /** The state of the channel, of this key if it is wanted; `refresh` is another one for another channel or client. */
  see(state: ChannelState<S>, key: string | undefined, refresh: () => Promise<void>, lens: Lens<S, T>): ChannelResult<T>
  commit(): void
}

/** For one component: opens a view for each of its renders. */
export function createViews<S, T>(): () => View<S, T> {
  // Whoever calls `refresh` later on means the channel of now.
  const read = new Set(['refresh'] as (keyof ChannelResult<T>)[])
  let committed: Sight<S, T> = {}

  return () => {
    const own = { ...committed }
    return {
      see(state, key, refresh, { select, isEqual = Object.is }) {
        const { seen, selector, selected, fields, result } = own
        if (result && state === seen && select === selector && refresh === fields?.refresh) return result
        if (!fields || select !== selector || !Object.is(state.data, seen?.data)) {
          const data = (select && state.data !== undefined ? select(state.data) : state.data) as T | undefined
          if (selected === undefined || data === undefined || !isEqual(selected, data)) own.selected = data
        }
        own.seen = state
        own.selector = select
        const next = fieldsOf(state, own.selected, key !== undefined, refresh)
        if (result && fields && [...read].every((name) => Object.is(next[name], fields[name]))) return result
        own.fields = next
        own.result = new Proxy(next, {
          get(_, name: keyof ChannelResult<T>) {
            read.add(name)
            return next[name]
          },
        })
        return own.result
      },
      commit() {
        committed = own
      },
    }
  }
}

/** Who does not want the channel is shown what was known of it. */
function fieldsOf<S, T>(
  state: ChannelState<S>,
  data: T | undefined,
  isWanted: boolean,
  refresh: () => Promise<void>,
): ChannelResult<T> {
  const { status } = state
  return {
    ...state,
    data,
    status: !isWanted ? 'idle' : status === 'idle' ? 'connecting' : status,
    isLive: isWanted && status === 'live',
    isStale: isWanted ? state.isStale : state.updatedAt !== undefined,
    refresh,
  }
}
