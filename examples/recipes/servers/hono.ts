import { Hono } from 'hono'
import { streamSSE } from 'hono/streaming'
import type { EventLog } from './event-log'

// Hono's `streamSSE`, which has neither heartbeats nor replay: both are here. On Node: `serve({ fetch: app.fetch })` of
// @hono/node-server.

export function createHonoApp(log: EventLog, heartbeat = 15_000): Hono {
  const app = new Hono()
  app.get('/', (context) => {
    const { isOver, headers, follow } = log.after(context.req.header('last-event-id'))
    if (isOver) return context.body(null, 204)
    for (const [name, value] of Object.entries(headers)) context.header(name, value)
    return streamSSE(context, async (stream) => {
      // The answer is open for as long as this function is not done.
      await new Promise<void>((done) => {
        stream.onAbort(done)
        const timer = setInterval(() => void stream.write(':\n\n'), heartbeat)
        const stop = follow(({ id, type, data }) => {
          const written = stream.writeSSE({ id, event: type, data: JSON.stringify(data) })
          if (type === 'closed') void written.then(done)
        })
        stream.onAbort(() => {
          clearInterval(timer)
          stop()
        })
      })
    })
  })
  return app
}
