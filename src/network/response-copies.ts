/** One answer, several readers: each gets a `Response` of its own that its own abort ends. */

/** An answer that was read to its end and can be handed out any number of times. */
export interface StoredResponse {
  readonly status: number
  readonly statusText: string
  readonly headers: Headers
  readonly url: string
  readonly redirected: boolean
  readonly type: ResponseType
  readonly body: Uint8Array<ArrayBuffer>
}

/** Hands out a response to so many takers: copies to all but the last, who gets the original. */
export function shareResponse(response: Response, takers: number): (signal: AbortSignal | undefined) => Response {
  let left = takers
  return (signal) => {
    left--
    const own = left > 0 ? response.clone() : response
    return signal ? ownResponse(own, signal) : own
  }
}

/** The same answer, whose body ends with `signal`. `owner` lives for as long as the body is being read. */
export function ownResponse(response: Response, signal: AbortSignal, owner?: object): Response {
  // An opaque answer cannot be built again, and one without a body has nothing to end.
  if (!response.body || response.type === 'opaque' || response.type === 'opaqueredirect') return response
  const reader = response.body.getReader()
  let stop = () => {}
  const leave = (reason: unknown) => {
    stop()
    reader.cancel(reason).catch(() => {})
  }
  const source: UnderlyingDefaultSource<Uint8Array> & { owner: object | undefined } = {
    owner,
    start(controller) {
      const abort = () => {
        controller.error(signal.reason)
        leave(signal.reason)
      }
      signal.addEventListener('abort', abort)
      stop = () => signal.removeEventListener('abort', abort)
      if (signal.aborted) abort()
    },
    async pull(controller) {
      const { done, value } = await reader.read()
      if (!done) return controller.enqueue(value)
      stop()
      controller.close()
    },
    cancel: leave,
  }
  const body = new ReadableStream(source, { highWaterMark: 0 })
  return disguise(new Response(body, headOf(response)), response)
}

export function describeResponse(response: Response, body: Uint8Array<ArrayBuffer>): StoredResponse {
  const { status, statusText, headers, url, redirected, type } = response
  return { status, statusText, headers: new Headers(headers), url, redirected, type, body }
}

export function restoreResponse(stored: StoredResponse): Response {
  const nullBody = stored.status === 204 || stored.status === 205 || stored.status === 304
  return disguise(new Response(nullBody ? null : stored.body.slice(), headOf(stored)), stored)
}

function headOf({ status, statusText, headers }: Pick<Response, 'status' | 'statusText' | 'headers'>): ResponseInit {
  return { status, statusText, headers }
}

/** A constructed response has no URL; a drop-in for `fetch` must not lose it. */
function disguise(
  response: Response,
  { url, redirected, type }: Pick<Response, 'url' | 'redirected' | 'type'>,
): Response {
  return Object.defineProperties(response, {
    url: { value: url },
    redirected: { value: redirected },
    type: { value: type },
  })
}
