import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { closeServers } from '../support/http-server'
import { startJournal } from '../support/journal-server'
import { until, within } from '../support/until'
import { installProject, type Project } from './project'

/** What Node calls this machine, in the packages that have its binaries. */
const machine = `${process.platform === 'win32' ? 'win' : process.platform}-${process.arch}`
const node = (version: string) => `npm:node-${machine}@${version}`

let project: Project
beforeAll(async () => {
  // The oldest that `engines` allows, and what is maintained.
  const nodes = { 'node-20': node('20.0.0'), 'node-22': node('22.23.3'), 'node-24': node('24.21.0') }
  project = await installProject('runtimes', { ...nodes, bun: '1.4.5', deno: '2.9.6' })
})
afterAll(() => project?.remove())
afterEach(closeServers)

describe('the core', () => {
  test.each([
    ['this Node', process.execPath, []],
    ['Node 20.0.0', 'node_modules/node-20/bin/node', []],
    ['Node 22', 'node_modules/node-22/bin/node', []],
    ['Node 24', 'node_modules/node-24/bin/node', []],
    ['Bun', 'node_modules/.bin/bun', ['run']],
    // Without a look at the environment or at files: it may not ask for what it can do without.
    ['Deno', 'node_modules/.bin/deno', ['run', '--no-prompt', '--allow-net']],
  ])('follows, resumes, polls and lets the process end: %s', async (_, runtime, args) => {
    const journal = await startJournal()
    const running = project.start(runtime, [...args, 'smoke.js', journal.server.origin], { within: 50_000 })
    const told = () => running.output.split('\n').flatMap((line) => (line.startsWith('[') ? [JSON.parse(line)] : []))
    const of = (what: string) => told().flatMap(([kind, value]) => (kind === what ? [value] : []))
    const isOver = running.ended.then((code) => {
      if (code !== 0) throw new Error(`It ended with ${code}:\n${running.output}`)
    })
    const orOver = <T>(wait: Promise<T>) => Promise.race([wait, isOver.then(() => wait)])

    await orOver(until(() => journal.open === 1, { within: 30_000 }))
    for (let n = 0; n < 3; n += 1) journal.append()
    await orOver(until(() => of('event').length === 3))
    journal.drop()
    await orOver(until(() => journal.connections === 2 && journal.open === 1))
    for (let n = 0; n < 3; n += 1) journal.append()
    await orOver(until(() => of('timers').length === 1, { within: 20_000 }))
    await within(10_000, isOver, 'the process to end by itself')

    expect(of('event')).toEqual([1, 2, 3, 4, 5, 6].map((n) => [`${n}`, n]))
    expect(of('status')).toEqual(expect.arrayContaining(['live 0', 'reconnecting 1']))
    expect(of('polled')).toEqual([6])
    expect(of('error')).toEqual([[true, true, 'http', 404]])
    expect(of('timers')).toEqual([0])
    const streams = journal.server.requests.filter(({ url }) => url === '/stream')
    expect(streams.map(({ headers }) => headers['last-event-id'])).toEqual([undefined, '3'])
    expect(journal.server.requests.filter(({ url }) => url === '/snapshot').length).toBeGreaterThanOrEqual(2)
  })
})
