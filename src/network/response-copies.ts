/** One answer, several readers: each gets a `Response` of its own. */
import { whenCollected } from '../primitives/platform'

/** Nobody will read this answer: frees its connection. */
export function discard({ body }: Response): void {
  body?.cancel().catch(() => {})
}

/**
 * The same answer, whose body ends with `signal`, and with whoever `enter` tells how to break it off until it is told
 * that the body has ended. Neither of them keeps the new body alive.
 */
export function ownResponse(
  response: Response,
  signal: AbortSignal | undefined,
  enter: (breakOff: (reason: unknown) => void) => () => void,
): Response {
  if (!response.body) return response
  const reader = response.body.getReader()
  let broken: { readonly reason: unknown } | undefined
  const breakOff = (reason: unknown) => {
    broken = { reason }
    letGo()
  }
  const abort = () => breakOff(signal?.reason)
  const leave = enter(breakOff)
  const end = () => {
    leave()
    signal?.removeEventListener('abort', abort)
  }
  const letGo = () => {
    end()
    reader.cancel().catch(() => {})
  }
  signal?.addEventListener('abort', abort)
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
