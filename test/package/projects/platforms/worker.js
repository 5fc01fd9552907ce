import { createClient, defineChannel, ReconnectingEventSource } from './millrace.js'

// Answers what comes of the origin in its query: one line, or the error.
export default {
  async fetch(request) {
    const origin = new URL(request.url).searchParams.get('origin')
    const client = createClient({ baseUrl: origin })
    try {
      const asked = await client.json('/json')
      const fetched = await (await client.fetch('/json')).json()
      const streamed = await new Promise((resolve, reject) => {
        client.subscribe(defineChannel({ key: 'streamed', stream: '/stream' }), {
          next: ({ data }) => resolve(data),
          state: ({ error }) => error && reject(error),
        })
      })
      const source = new ReconnectingEventSource(`${origin}/stream`)
      const message = await new Promise((resolve, reject) => {
        source.onmessage = ({ data }) => resolve(JSON.parse(data))
        source.onerror = ({ error }) => reject(error)
      })
      source.close()
      return new Response(JSON.stringify({ asked, fetched, streamed, source: message }))
    } catch (error) {
      return new Response(`${error.stack} ${error.cause ?? ''}`, { status: 500 })
    } finally {
      client.close()
    }
  },
}
