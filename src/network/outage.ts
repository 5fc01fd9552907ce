/** What a failure says of the server. */
import { isMillraceError } from '../primitives/errors'
import { isOffline } from '../primitives/platform'
import type { OwnRequest } from './request'

/** It tells of the server, or of the way to it; not of a device that has no network. */
export const isOutage = (error: unknown): boolean =>
  isMillraceError(error) && /^(network|timeout)$/.test(error.code) && !isOffline()

/** Whoever has given up says nothing, unless it did so for want of an answer that was waited for longer than its turn. */
export const saysNothing = (
  error: unknown,
  { signal, since }: Pick<OwnRequest, 'signal' | 'since'>,
  sentAt: number,
  now: number,
): boolean => signal.aborted && (!isOutage(error) || now - sentAt < sentAt - (since ?? sentAt))
