/**
 * How long one caller waits: until its own signal aborts, its own time is over, or the switch breaks it off, whatever it
 * waits for.
 */
import type { Timers } from '../primitives/clock'
import type { MillraceError } from '../primitives/errors'
import { abortFor, offAbort, onAbort, reasonOf, throwIfAborted, untilAborted } from '../primitives/until-aborted'
import type { Switch } from './switch'

/** ms that an answer is waited for. */
export const DEFAULT_TIMEOUT = 15_000

/** Waits, or rejects with the reason of the abort. */
export function wait(clock: Pick<Timers, 'after'>, ms: number, label: string, signal: AbortSignal): Promise<void> {
  let cancel: (() => void) | undefined
  const timer = new Promise<void>((resolve) => {
    cancel = clock.after(ms, resolve, label)
  })
  return untilAborted(timer, signal, cancel)
}

export interface Patience {
  readonly signal: AbortSignal
  /** ms that are left. */
  left(): number
  end(): void
}

export function createPatience(
  clock: Pick<Timers, 'after' | 'elapsed'>,
  enter: Switch['enter'],
  timeout: number,
  signal: AbortSignal | undefined,
  label: string,
  late: () => MillraceError,
): Patience {
  throwIfAborted(signal)
  const controller = new AbortController()
  const until = clock.elapsed() + timeout
  const breakOff = (reason: unknown) => abortFor(controller, reason)
  const abort = () => breakOff(signal && reasonOf(signal))
  const cancelTimer = timeout < Infinity ? clock.after(timeout, () => breakOff(late()), label) : undefined
  let leave: (() => void) | undefined
  try {
    leave = enter(breakOff)
  } catch (refusal) {
    // What is cached can be had all the same.
    breakOff(refusal)
  }
  if (signal) onAbort(signal, abort)
  return {
    signal: controller.signal,
    left: () => until - clock.elapsed(),
    end() {
      cancelTimer?.()
      leave?.()
      if (signal) offAbort(signal, abort)
    },
  }
}
