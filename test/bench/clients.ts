import type { Client, ClientOptions } from 'millrace'

/** A client that nothing holds back: what is measured here is what it costs, not what it refuses. */
export async function unlimitedClient(options: ClientOptions = {}): Promise<Client> {
  const { createClient } = await import('millrace')
  const none = Number.POSITIVE_INFINITY
  const limits = { backgroundPerMinute: none, burst: none, fetchesPer10s: none, concurrency: none, streams: none }
  return createClient({ environment: 'production', limits, ...options })
}

/** A `fetch` without a network: each stream that is asked for is told to `onStream`, which may write to it. */
export function memoryFetch(onStream: (write: (text: string) => void) => void = () => {}): typeof fetch {
  const encoder = new TextEncoder()
  return async () => {
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        onStream((text) => controller.enqueue(encoder.encode(text)))
      },
    })
    return new Response(body, { headers: { 'content-type': 'text/event-stream' } })
  }
}
