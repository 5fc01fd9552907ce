import { createServer } from 'node:http'

const users = ['Ada', 'Bob']
const streams = new Set()

createServer(({ url }, response) => {
  if (url === '/api/users') return response.setHeader('content-type', 'application/json').end(JSON.stringify(users))
  response.writeHead(200, { 'content-type': 'text/event-stream' }).write(':\n\n')
  streams.add(response.on('close', () => streams.delete(response)))
}).listen(3000)

setInterval(() => {
  users.push(`User ${users.length + 1}`)
  for (const stream of streams) stream.write(`event: joined\ndata: ${users.at(-1)}\n\n`)
}, 1_000)
