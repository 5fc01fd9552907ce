/** One answer, several readers: each gets a `Response` of its own. */
import type { Timers } from '../primitives/clock'
import { attempt, whenCollected } from '../primitives/platform'
import { offAbort, onAbort, reasonOf } from '../primitives/until-aborted'
import { isReadable } from './body'
import { type BodyReader, splitBody } from './split-body'

/** Nobody will read this answer: frees its connection. */
export function discard({ body }: Response): void {
  if (isReadable(body)) body.cancel().catch(() => {})
}

type Enter = (breakOff: (reason: unknown) => void) => () => void

/** Hands an answer to one caller, whose body ends with the signal; undefined if there is no more of it. */
export type Take = (signal: AbortSignal | undefined) => Response | undefined

/** The answer for so many callers; `begun`: what was read of it already. One that cannot be read in pieces, or copied, is handed on as it is. */
export function copiesOf(
  response: Response,
  count: number,
  endpoint: string,
  enter: Enter,
  clock: Pick<Timers, 'after'>,
  account: (bytes: number) => void,
  begun?: BodyReader,
): Take {
  const { body } = response
  if (!isReadable(body) || !attempt(() => new ReadableStream())) {
    let left = count
    return () => {
      if (left === 0) return undefined
      return --left > 0 ? (attempt(() => response.clone()) ?? handOver()) : response
    }
    function handOver() {
      left = 0
      return response
    }
  }
  const source: BodyReader = begun ?? body.getReader()
  const readers = count > 1 ? splitBody(source, count, endpoint, clock, account) : [source]
  return (signal) => {
    const reader = readers.shift()
    return reader && ownResponse(response, reader, signal, enter)
  }
}

/**
 * The same answer, whose body ends with `signal`, and with whoever `enter` tells how to break it off until it is told
 * that the body has ended. Neither of them keeps the new body alive.
 */
function ownResponse(response: Response, reader: BodyReader, signal: AbortSignal | undefined, enter: Enter): Response {
  let broken: { readonly reason: unknown } | undefined
  const breakOff = (reason: unknown) => {
    broken = { reason }
    letGo()
  }
  const abort = () => breakOff(signal && reasonOf(signal))
  const leave = enter(breakOff)
  const end = () => {
    leave()
    if (signal) offAbort(signal, abort)
  }
  const letGo = () => {
    end()
    reader.cancel().catch(() => {})
  }
  if (signal) onAbort(signal, abort)
  if (signal?.aborted) abort()
  const source: UnderlyingDefaultSource<Uint8Array> = {
    async pull(controller) {
      try {
        const { done, value } = await reader.read()
        if (broken) throw broken.reason
        if (!done) return controller.enqueue(value)
        end()
        controller.close()
      } catch (error) {
        end()
        throw error
      }
    },
    cancel: letGo,
  }
  // A body that was dropped unread would hold a connection and listeners for ever.
  whenCollected(source, letGo)
  return rebuild(response, new ReadableStream(source, { highWaterMark: 0 }))
}

/** A body of which so much was read already. */
export function restOf(read: Uint8Array[], reader: BodyReader): BodyReader {
  return {
    read: async () => (read.length > 0 ? { done: false, value: read.shift() } : reader.read()),
    cancel: () => reader.cancel(),
  }
}

/** The same answer with another body. */
export function rebuild(response: Response, body: BodyInit | null): Response {
  return disguise(new Response(body, response), response)
}

/** A constructed response has no URL; a drop-in for `fetch` must not lose it, nor must a copy of it. */
function disguise(response: Response, { url, redirected, type }: Response): Response {
  const clone = () => disguise(Response.prototype.clone.call(response), response)
  for (const [name, value] of Object.entries({ url, redirected, type, clone }))
    Object.defineProperty(response, name, { value })
  return response
}
