import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

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
