import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { closeServers, startServer, startStream } from '../support/http-server'
import { coreEntriesOf } from './entries'
import { installProject, type Project, packedManifest } from './project'

let project: Project
beforeAll(async () => {
  project = await installProject('node')
})
afterAll(() => project?.remove())
afterEach(closeServers)

const startNumbers = () =>
  startServer(({ url }, response) => {
    if (url !== '/stream') return response.writeHead(404).end()
    startStream(response).write('data: 1\n\ndata: 2\n\ndata: 3\n\n')
  })

describe('the package in Node, with nothing else installed', () => {
  test('brings no dependency along', () => {
    const installed = readdirSync(join(project.folder, 'node_modules')).filter((name) => !name.startsWith('.'))
    expect(installed).toEqual(['millrace'])
  })

  test('loads each entry that is no adapter, as ESM and as CommonJS', async () => {
    const entries = coreEntriesOf(packedManifest())
    expect(entries).toEqual(expect.arrayContaining(['millrace', 'millrace/vanilla']))
    project.write('load.mjs', entries.map((entry) => `console.log(typeof await import('${entry}'))\n`).join(''))
    project.write('load.cjs', entries.map((entry) => `console.log(typeof require('${entry}'))\n`).join(''))
    const all = entries.map(() => 'object\n').join('')
    expect(await project.run('node', ['load.mjs'])).toBe(all)
    expect(await project.run('node', ['load.cjs'])).toBe(all)
  })

  test.each(['use.mjs', 'use.cjs'])('follows a stream to its end, and then the process ends: %s', async (file) => {
    const server = await startNumbers()
    const output = await project.run('node', [file, server.url('/stream')], { within: 30_000 })
    expect(output.trim().split('\n')).toEqual(['event 1', 'event 2', 'event 3', 'state complete'])
    expect(server.requests).toHaveLength(1)
  })

  test('is one client and one connection over its ESM and its CommonJS build', async () => {
    const server = await startNumbers()
    const output = await project.run('node', ['both.mjs', server.url('/stream')], { within: 30_000 })
    expect(JSON.parse(output)).toEqual({
      copies: 2,
      clients: 1,
      heard: [1, 1, 2, 2, 3, 3],
      recognised: [true, true],
    })
    expect(server.requests.map(({ url }) => url)).toEqual(['/stream', '/nowhere'])
  })
})
