/** The switch: while it is shut nothing passes, and what is under way was broken off. */
import type { MillraceError } from '../primitives/errors'
import { throwIfAborted } from '../primitives/until-aborted'
import type { Next, PolicyRequest } from './request'
import type { RequestCounters } from './settings'

export interface Switch {
  policy<R extends PolicyRequest>(request: R, next: Next<R>): Promise<Response>
  /** Work that `shut` and `abortAll` break off. Throws while it is shut. Returns the way out. */
  enter(breakOff: (reason: unknown) => void): () => void
  /** Breaks off all that has entered, then refuses everything until `open()`. */
  shut(reason: MillraceError): void
  open(): void
  /** Breaks off all that has entered, and goes on. */
  abortAll(reason: MillraceError): void
  isShut(): boolean
}

export function createSwitch(counters: RequestCounters): Switch {
  const inside = new Set<(reason: unknown) => void>()
  let refusal: MillraceError | undefined

  return {
    async policy(request, next) {
      throwIfAborted(request.signal)
      throwIfShut()
      return next(request)
    },
    enter(breakOff) {
      throwIfShut()
      inside.add(breakOff)
      return () => inside.delete(breakOff)
    },
    shut(reason) {
      refusal = reason
      abortAll(reason)
    },
    open() {
      refusal = undefined
    },
    abortAll,
    isShut: () => refusal !== undefined,
  }

  function throwIfShut(): void {
    if (!refusal) return
    counters.refused++
    throw refusal
  }

  function abortAll(reason: MillraceError): void {
    for (const breakOff of [...inside]) breakOff(reason)
  }
}
