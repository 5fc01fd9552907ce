import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { closeServers, startServer, startStream, type TestServer } from '../support/http-server'
import { until } from '../support/until'
import { installProject, type Project } from './project'

let project: Project
let server: TestServer
beforeAll(async () => {
  project = await installProject('platforms')
})
afterAll(() => project?.remove())
beforeEach(async () => {
  server = await startServer(({ url, headers }, response) => {
    // A simulated page has an origin of its own.
    if (headers.origin) response.setHeader('access-control-allow-origin', '*')
    // React Native's `fetch` keeps a cache out by a query of its own.
    const [path] = url.split('?')
    if (path === '/json') response.setHeader('content-type', 'application/json').end('{"city":"Zürich"}')
    else if (path === '/stream') startStream(response).write('id: 1\ndata: {"city":"Zürich"}\n\n')
    else if (path === '/ended') startStream(response).end('data: 1\n\n')
    // `/slow` is not answered.
  })
  return closeServers
})

const city = { city: 'Zürich' }

describe('a component in jest', () => {
  async function seenIn(environment: string): Promise<unknown> {
    const env = { ORIGIN: server.origin, SEEN: join(project.folder, `${environment}.json`) }
    await project.run('node_modules/.bin/jest', ['--env', environment, '--ci'], { env })
    return JSON.parse(readFileSync(env.SEEN, 'utf8'))
  }

  test('with jest-fixed-jsdom: its DOM, and the rest of Node', async () => {
    expect(await seenIn('jest-fixed-jsdom')).toEqual({ asked: city, polled: city, streamed: city, source: city })
  })

  test('with plain jsdom, which has no `fetch`: says so at once', async () => {
    const lack = ['failed', 'config', expect.stringContaining('`fetch`')]
    expect(await seenIn('jsdom')).toEqual({ asked: lack, polled: lack, streamed: lack, source: lack })
    expect(server.requests).toEqual([])
  })
})

test('workerd of the oldest compatibility date', async () => {
  // Not the command of its package: that starts this one, and would be ended without it.
  const built = `workerd-${process.platform}-${process.arch === 'x64' ? '64' : process.arch}`
  const workerd = `node_modules/@cloudflare/${built}/bin/workerd`
  const dist = 'node_modules/millrace/dist'
  const chunks = readdirSync(join(project.folder, dist))
    .filter((name) => /^(chunk-.*|tabs)\.js$/.test(name))
    .map((name) => `(name = "${name}", esModule = embed "${dist}/${name}"),`)
  expect(chunks.length).toBeGreaterThan(0)
  const config = readFileSync(join(project.folder, 'workerd.capnp'), 'utf8')
  project.write('workerd.capnp', config.replace(/# And its chunks.*/, chunks.join('\n')))
  const running = project.start(workerd, ['serve', 'workerd.capnp', '--control-fd=1'])
  const port = await until(() => /"socket":"http","port":(\d+)/.exec(running.output)?.[1], {
    within: 60_000,
  })
  const answer = await fetch(`http://127.0.0.1:${port}/?origin=${server.origin}`)
  expect(JSON.parse(await answer.text())).toEqual({ asked: city, fetched: city, streamed: city, source: city })
})

test('React Native: what is whole can be had, a stream says why it cannot', async () => {
  const output = await project.run('node', ['react-native.cjs', server.origin], { within: 60_000 })
  const told = Object.fromEntries(
    output
      .trim()
      .split('\n')
      // Beside what is warned of.
      .filter((line) => line.startsWith('["'))
      .map((line) => JSON.parse(line)),
  )
  expect(told).toMatchObject({
    asked: city,
    fetched: city,
    polled: city,
    left: 'AbortError',
    late: { code: 'timeout' },
    streamed: { code: 'config', retryable: false, message: expect.stringContaining('in pieces') },
    source: { code: 'config', message: expect.stringContaining('`EventTarget`') },
  })
})
