import { readdirSync, readFileSync } from 'node:fs'
import { MillraceProvider, useClient } from 'millrace/react'
import { afterEach, expect, test, vi } from 'vitest'
import { closeClients, startClient } from '../channels/watch'
import { render, unmountAll } from './render'

afterEach(unmountAll)
afterEach(closeClients)

test('the entry says that it is for the client, built as well as written', ({ task }) => {
  const files = task.file.projectName === 'dist' ? ['dist/react.js', 'dist/react.cjs'] : ['src/react/index.ts']
  // A directive counts only before all code; another one may come first.
  for (const file of files) expect(readFileSync(file, 'utf8')).toMatch(/^("use strict";\s*)?['"]use client['"]/)
})

test('and brings neither React nor the core along', ({ task }) => {
  const isBuilt = task.file.projectName === 'dist'
  const files = isBuilt ? ['dist/react.js'] : readdirSync('src/react').map((name) => `src/react/${name}`)
  const imported = files
    .flatMap((file) => [...readFileSync(file, 'utf8').matchAll(/^(?:import|\}).* from ["']([^."'][^"']*)["']/gm)])
    .map(([statement, name]) => (statement.startsWith('import type') ? 'a type' : name))
  expect(new Set(imported.filter((name) => name !== 'a type'))).toEqual(new Set(['millrace', 'react']))
})

test('two copies of it, as two bundles of one page have, find one provider', async () => {
  vi.resetModules()
  const other = await import('millrace/react')
  expect(other.useClient).not.toBe(useClient)
  const clients = [startClient().client, startClient().client]
  const seen: unknown[] = []
  const See = ({ use }: { use: typeof useClient }) => {
    seen.push(use())
    return null
  }
  const OtherProvider = other.MillraceProvider
  render(<See use={other.useClient} />, clients[0]!)
  render(
    <OtherProvider client={clients[1]!}>
      <See use={useClient} />
      <MillraceProvider client={clients[0]!}>
        <See use={other.useClient} />
      </MillraceProvider>
    </OtherProvider>,
    startClient().client,
  )
  expect(seen.map((client) => clients.indexOf(client as never))).toEqual([0, 1, 0])
})
