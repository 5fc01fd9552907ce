/** The switch: while it is shut nothing passes, and what is under way was broken off. */
import type { MillraceError } from '../primitives/errors'
import { throwIfAborted } from '../primitives/until-aborted'
import type { Next, PolicyRequest } from './request'
import type { RequestCounters } from './settings'

export interface Switch {
  pass<R extends PolicyRequest>(request: R, next: Next<R>): Promise<Response>
  /** Work that `shut` and `abortAll` break off. Throws while it is shut. Returns the way out. */
  enter(breakOff: (reason: unknown) => void): () => void
  /** Breaks off all that has entered, then refuses everything until `open()`. */
  shut(reason: MillraceError): void
  open(): void
  /** Breaks off all that has entered, and goes on. */
  abortAll(reason: MillraceError): void
}

/** `onChange` is told whether it is open. */
export function createSwitch(counters: RequestCounters, onChange: (isOpen: boolean) => void): Switch {
  const inside = new Set<(reason: unknown) => void>()
  let refusal: MillraceError | undefined

  return {
    async pass(request, next) {
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
      onChange(false)
    },
    open() {
      refusal = undefined
      onChange(true)
    },
    abortAll,
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
