import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { createClient, defineChannel, getClient, type StreamEvent } from 'millrace'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { closeClients, startStill } from '../behaviour/channels/watch'
import { closeServers, startServer } from '../support/http-server'
import { activeResources } from '../support/sockets'
import { within } from '../support/until'

afterEach(closeClients)
afterEach(closeServers)
const children = new Set<ChildProcess>()
afterEach(() => {
  for (const child of children) child.kill('SIGKILL')
  children.clear()
})

const root = fileURLToPath(new URL('../../', import.meta.url))
const { exports: entries, peerDependencies } = JSON.parse(readFileSync(`${root}package.json`, 'utf8')) as {
  exports: Record<string, unknown>
  peerDependencies: Record<string, string>
}
/** What a server may import; the script tag is for pages. */
const names = Object.entries(entries)
  .filter(([, target]) => typeof target === 'object')
  .map(([name]) => name.replace(/^\./, 'millrace'))

/** Runs a program in a plain Node, and resolves with what it said once it has ended by itself. */
async function run(project: string, program: string): Promise<{ code: unknown; output: string }> {
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', program], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      NODE_ENV: 'production',
      TSX_TSCONFIG_PATH: `test/tsconfig${project === 'dist' ? '.dist' : ''}.json`,
    },
  })
  children.add(child)
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk) => {
      output += chunk
    })
  const [code] = await within(20_000, once(child, 'close'), `the end of the process, which has said: ${output}`)
  return { code, output: output.trim() }
}

test('the entries of the package are known', () => {
  expect(names).toContain('millrace')
  expect(names).toContain('millrace/vanilla')
  expect(names).toContain('millrace/vue')
})

test.for(names)(
  'importing %s in Node opens nothing, sets no timer and lets the process end',
  async (name, { task }) => {
    const project = task.file.projectName ?? 'public'
    const program = `
      // What a framework does when it is loaded is its own affair.
      for (const peer of ${JSON.stringify(Object.keys(peerDependencies))}) await import(peer)
      const calls = []
      for (const name of ['setTimeout', 'setInterval', 'setImmediate', 'fetch', 'BroadcastChannel', 'queueMicrotask']) {
        const original = globalThis[name]
        globalThis[name] = new Proxy(original, {
          apply: (target, self, args) => (calls.push(name), Reflect.apply(target, self, args)),
          construct: (target, args) => (calls.push(name), Reflect.construct(target, args)),
        })
      }
      const known = new Set(Reflect.ownKeys(globalThis))
      const open = process.getActiveResourcesInfo()
      const entry = await import('${name}')
      const globals = Reflect.ownKeys(globalThis).filter((key) => !known.has(key)).map(String)
      // What the loader itself had open may have been closed by now.
      const opened = process.getActiveResourcesInfo()
      for (const kind of open) if (opened.includes(kind)) opened.splice(opened.indexOf(kind), 1)
      console.log(JSON.stringify({ globals, opened, calls, exports: Object.keys(entry).length > 0 }))
    `
    const { code, output } = await run(project, program)
    expect({ code, ...JSON.parse(output) }).toEqual({ code: 0, globals: [], opened: [], calls: [], exports: true })
  },
)

test('rendering on a server opens nothing, schedules nothing and keeps nothing', async () => {
  const server = await startServer((_, response) => response.end())
  const { client, clock } = startStill()
  const before = activeResources()
  for (let render = 0; render < 100; render += 1) {
    const channel = defineChannel<string[], StreamEvent>({
      key: ['user', render],
      stream: server.url('/stream'),
      snapshot: server.url('/snapshot'),
      initial: ['nobody'],
    })
    const store = client.store(channel)
    expect(store.getServerSnapshot()).toMatchObject({ status: 'idle', data: ['nobody'] })
    expect(store.getServerSnapshot()).toBe(store.getServerSnapshot())
    expect(store.getSnapshot()).toBe(client.getState(channel))
    client.events(channel)
  }
  expect(client.stats()).toMatchObject({
    channels: [],
    timers: [],
    endpoints: [],
    memory: 0,
    subscriptions: { active: 0, total: 0 },
    requests: { asked: 0, sent: 0 },
    cache: { entries: 0 },
  })
  expect(clock.pending()).toEqual([])
  expect(activeResources()).toEqual(before)
  expect(server.requests).toEqual([])
})

test('what one render knows is not there for the next one: a state of a server is the beginning', async () => {
  const server = await startServer((_, response) =>
    response.writeHead(200, { 'content-type': 'application/json' }).end('"somebody else"'),
  )
  const { client } = startStill()
  const channel = defineChannel({ key: 'me', snapshot: server.url() })
  await client.refresh(channel)
  expect(client.getState(channel).data).toBe('somebody else')
  expect(client.store(channel).getServerSnapshot()).toMatchObject({ status: 'idle', data: undefined, isStale: false })
})

describe('making a client', () => {
  test('opens nothing and listens to nothing, until somebody subscribes', () => {
    const listened = vi.fn()
    vi.stubGlobal('addEventListener', listened)
    vi.stubGlobal(
      'document',
      Object.assign(new EventTarget(), { addEventListener: listened, visibilityState: 'visible' }),
    )
    const before = activeResources()
    const client = createClient({ environment: 'production', identity: 'anna' })
    const page = getClient()
    expect(client.stats()).toMatchObject({ channels: [], timers: [], subscriptions: { active: 0 } })
    expect(page.getState(defineChannel({ key: 'k', stream: 'http://127.0.0.1:1/' }))).toMatchObject({ status: 'idle' })
    expect(listened).not.toHaveBeenCalled()
    expect(activeResources()).toEqual(before)
    client.close()
    page.close()
    delete (globalThis as { [key: symbol]: unknown })[Symbol.for('millrace')]
  })

  test('and using it lets a process end once it is closed', async ({ task }) => {
    const server = await startServer((_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write('data: 1\n\n')
    })
    const program = `
      import { createClient } from 'millrace'
      const client = createClient({ environment: 'production' })
      await new Promise((resolve) => client.subscribe('${server.url()}', { next: resolve }))
      client.subscribe('${server.url('/other')}', {}).unsubscribe()
      client.close()
      console.log('closed')
    `
    expect(await run(task.file.projectName ?? 'public', program)).toEqual({ code: 0, output: 'closed' })
  })
})
