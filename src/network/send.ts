/** The one call of `fetch`, and what its failure means. */
import { callbackError } from '../primitives/callback'
import { isMillraceError } from '../primitives/errors'
import { missing, networkError, unsendable } from '../primitives/http'
import { attempt } from '../primitives/platform'
import { throwIfAborted, untilAborted } from '../primitives/until-aborted'
import type { Next, Passing } from './request'
import type { NetworkSettings } from './settings'

/** The platform's, looked up at every call, so that a polyfill or a mock may come later. */
export const platformFetch: typeof fetch = async (input, init) => {
  if (typeof fetch !== 'function') throw missing('fetch')
  try {
    return await fetch(input, init)
  } catch (error) {
    const less = without(init, `${attempt(() => (error as Error).message)}`)
    if (!less) throw error
    return platformFetch(input, less)
  }
}

/**
 * What some runtimes refuse before they send anything, in words of their own, can be done without: a simulated DOM's
 * signal (who waits, and who reads, heeds it too), and a mode of a cache that they have not got.
 */
function without(init: RequestInit | undefined, refusal: string): RequestInit | undefined {
  const { cache, signal, ...rest } = init ?? {}
  if (signal && !signal.aborted && /AbortSignal/.test(refusal)) return { ...rest, ...(cache && { cache }) }
  return cache && /'cache' field|cache mode/i.test(refusal) ? { ...rest, ...(signal && { signal }) } : undefined
}

/** A mock or a wrapper may not heed its signal, and may answer anything. */
export async function answerOf(name: string, of: string, answer: unknown, signal: AbortSignal): Promise<Response> {
  const response = await untilAborted(Promise.resolve(answer as Response), signal)
  if (typeof response?.status !== 'number') throw callbackError(name, of, 'has answered no `Response`')
  return response
}

/** Rejects with the reason why there is no answer; after an abort with the signal's own. */
export const createSend =
  (settings: NetworkSettings): Next<Passing> =>
  async ({ input, headers, signal, at, onSent, ...request }) => {
    throwIfAborted(signal)
    const init = { ...request.init, headers }
    onSent?.()
    try {
      return await answerOf('fetch', at.name, (settings.fetch ?? platformFetch)(input, { ...init, signal }), signal)
    } catch (cause) {
      throwIfAborted(signal)
      if (isMillraceError(cause)) throw cause
      throw unsendable(at.name, input, init) ?? networkError(at.name, 'could not be reached', cause)
    }
  }
