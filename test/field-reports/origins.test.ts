import { type Alert, type Client, type ClientOptions, createClient, defineChannel } from 'millrace'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { closeServers, startServer, startStream } from '../support/http-server'
import { until } from '../support/until'

const clients: Client[] = []
const secrets = { authorization: 'Bearer secret', 'x-api-key': 'secret' }

function makeClient(options: ClientOptions): { client: Client; alerts: Alert[] } {
  const client = createClient({ environment: 'production', headers: secrets, ...options })
  const alerts: Alert[] = []
  client.on('alert', (alert) => alerts.push(alert))
  clients.push(client)
  return { client, alerts }
}

const start = () =>
  startServer(({ url }, response) => {
    if (url === '/stream') startStream(response).write('data: 1\n\n')
    else if (url === '/401') response.writeHead(401).end()
    else response.end('{}')
  })
type Server = Awaited<ReturnType<typeof start>>
const leaked = (server: Server) =>
  server.requests.filter(({ headers }) => headers.authorization ?? headers['x-api-key'])

beforeEach(() => {
  vi.spyOn(console, 'warn').mockImplementation(() => {})
})
afterEach(async () => {
  for (const client of clients.splice(0)) client.close()
  vi.restoreAllMocks()
  await closeServers()
})

test('the client’s headers are for the origin of `baseUrl`; another is asked without, which is told once', async () => {
  const [ours, theirs] = [await start(), await start()]
  const refreshes: unknown[] = []
  const { client, alerts } = makeClient({
    baseUrl: ours.origin,
    onUnauthorized(error) {
      refreshes.push(error)
      return false
    },
  })
  await client.json('/me')
  await client.json(theirs.url('/profile'))
  await client.fetch(theirs.url('/401'))
  await client.fetch(theirs.url('/post'), { method: 'POST', body: 'x', headers: { 'x-mine': '1' } })
  for (const part of ['snapshot', 'stream'])
    client.subscribe(defineChannel({ key: part, [part as 'stream']: theirs.url(`/${part}`) }), {})
  await until(() => theirs.requests.length === 5)
  expect(ours.requests[0]!.headers).toMatchObject(secrets)
  expect(leaked(theirs)).toEqual([])
  expect(theirs.requests.find(({ url }) => url === '/post')!.headers['x-mine']).toBe('1')
  expect(refreshes).toEqual([])
  expect(alerts).toMatchObject([{ code: 'config', endpoint: theirs.origin }])
  expect(alerts[0]!.message).toMatch(/`origins`/)
})

test('`origins` names what is the client’s own, too', async () => {
  const [ours, too] = [await start(), await start()]
  const { client, alerts } = makeClient({ baseUrl: ours.origin, origins: [`${too.origin}/any/path`] })
  await client.json(too.url('/me'))
  expect(leaked(too)).toHaveLength(1)
  expect(alerts).toEqual([])
  expect(() => makeClient({ origins: ['example.com'] })).toThrow(/`origins`/)
})

test('without a page and a `baseUrl` the first origin is the client’s own', async () => {
  const [first, second] = [await start(), await start()]
  const { client, alerts } = makeClient({})
  await client.json(first.url('/me'))
  await client.json(second.url('/me'))
  expect([leaked(first).length, leaked(second).length]).toEqual([1, 0])
  expect(alerts).toMatchObject([{ code: 'config', endpoint: second.origin }])
})

test('what a redirect takes along to another origin is told', async () => {
  const theirs = await start()
  const ours = await startServer((_, response) => response.writeHead(302, { location: theirs.url('/there') }).end())
  const { client, alerts } = makeClient({ baseUrl: ours.origin })
  await client.fetch('/away')
  expect(theirs.requests[0]!.headers.authorization).toBeUndefined()
  expect(alerts).toMatchObject([{ code: 'config', message: expect.stringMatching(/by a redirect/) }])
})

test('headers that are changed in place after the client was made change nothing', async () => {
  const ours = await start()
  const headers: Record<string, string> = { authorization: 'Bearer ada' }
  const { client } = makeClient({ baseUrl: ours.origin, headers })
  await client.json('/me')
  headers.authorization = 'Bearer bob'
  await client.json('/me')
  await client.json('/you')
  expect(ours.requests.map((request) => request.headers.authorization)).toEqual(['Bearer ada', 'Bearer ada'])
})
