/** A channel's events as an async iterable, with a bounded buffer between a fast stream and a slow loop. */

import { check } from '../primitives/check'
import { MillraceError } from '../primitives/errors'
import { iteratorOptions } from '../primitives/options'
import { offAbort, onAbort } from '../primitives/until-aborted'
import { answered } from './callbacks'
import type { Observer } from './subscriber'

/** How events are buffered for a `for await` loop. */
export interface EventsOptions<E> {
  /** Ends the iteration, which rejects with its reason. */
  signal?: AbortSignal | undefined
  /** How many events may wait. @defaultValue 1_024 */
  buffer?: number | undefined
  /**
   * What to do with one too many: drop the oldest or the newest (and count it), reject with `overflow`, or a function
   * that makes fewer of them. @defaultValue 'drop-oldest'
   */
  overflow?: 'drop-oldest' | 'drop-newest' | 'error' | ((buffered: E[]) => E[]) | undefined
}

export function createEventIterator<E>(
  key: string,
  options: EventsOptions<E>,
  subscribe: (observer: Observer<unknown, E>) => () => void,
  onOverflow: () => void,
  onThrow: (cause: unknown) => void,
): AsyncIterableIterator<E> {
  check(iteratorOptions, options)
  const { signal, buffer = 1_024, overflow = 'drop-oldest' } = options
  let waiting: E[] = []
  const asking: { resolve: (result: IteratorResult<E>) => void; reject: (reason: unknown) => void }[] = []
  let ended: { readonly error?: unknown } | undefined
  let leave: (() => void) | undefined

  const done = { done: true, value: undefined } as const
  const abort = () => end({ error: signal?.reason })

  function end(how: { readonly error?: unknown }): void {
    if (ended) return
    ended = how
    if (signal) offAbort(signal, abort)
    leave?.()
    for (const { resolve, reject } of asking.splice(0)) settleEnd(resolve, reject)
  }

  /** The error is told once; after that the iteration is over. */
  function settleEnd(resolve: (result: IteratorResult<E>) => void, reject: (reason: unknown) => void): void {
    const { error } = ended ?? {}
    ended = {}
    if (error === undefined) resolve(done)
    else reject(error)
  }

  function next(event: E): void {
    const asker = asking.shift()
    if (asker) return asker.resolve({ done: false, value: event })
    waiting.push(event)
    if (waiting.length <= buffer) return
    if (overflow === 'error') {
      const message = `${key}: over ${buffer} events wait for the loop that takes them. Take them faster, or choose another \`overflow\`.`
      waiting.pop()
      end({ error: new MillraceError('overflow', message) })
    } else if (overflow === 'drop-oldest') waiting.shift()
    else if (overflow === 'drop-newest') waiting.pop()
    else waiting = fewer(overflow)
    onOverflow()
  }

  /** What the function leaves; if it fails, the oldest goes. */
  function fewer(choose: (buffered: E[]) => E[]): E[] {
    const before = waiting
    try {
      const left = answered(choose([...before]), 'a list of events')
      if (!Array.isArray(left)) throw new TypeError('It did not answer a list of events.')
      return left.slice(-buffer)
    } catch (cause) {
      onThrow(cause)
      return before.slice(-buffer)
    }
  }

  /** Subscribes with the first call, so that an iterator that nobody uses costs nothing. */
  function start(): void {
    if (leave || ended) return
    if (signal?.aborted) return abort()
    if (signal) onAbort(signal, abort)
    leave = subscribe({ next, error: (error) => end({ error }), complete: () => end({}) })
  }

  return {
    [Symbol.asyncIterator]() {
      return this
    },
    async next() {
      start()
      const event = waiting.shift()
      if (event !== undefined) return { done: false, value: event }
      return new Promise((resolve, reject) => {
        if (ended) settleEnd(resolve, reject)
        else asking.push({ resolve, reject })
      })
    },
    return() {
      waiting = []
      end({})
      return Promise.resolve(done)
    },
  }
}
