import sse from '@fastify/sse'
import { type FastifyInstance, fastify } from 'fastify'
import type { EventLog } from './event-log'

// Fastify with its own plugin @fastify/sse, which has the heartbeats; the replay is here.

export async function createFastifyApp(log: EventLog, heartbeat = 15_000): Promise<FastifyInstance> {
  // Streams do not end by themselves: `close` would wait for them.
  const app = fastify({ forceCloseConnections: true })
  await app.register(sse, { heartbeatInterval: heartbeat })
  app.get('/', { sse: 'manual' }, async (request, reply) => {
    const { isOver, headers, follow } = log.after(request.headers['last-event-id'])
    if (isOver) return reply.code(204).send()
    reply.headers(headers)
    reply.sse.keepAlive()
    reply.sse.sendHeaders()
    // Else the head waits for the first event, and clients take the silence for a server that does not answer.
    reply.raw.flushHeaders()
    const stop = follow(({ id, type, data }) => {
      const sent = reply.sse.send({ id, event: type, data })
      // Who has gone meanwhile comes back and asks for it again.
      void sent.then(() => type === 'closed' && reply.sse.close()).catch(() => {})
    })
    reply.sse.onClose(stop)
  })
  return app
}
