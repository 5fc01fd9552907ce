import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

test('the entry says that it is for the client, built as well as written', ({ task }) => {
  const files = task.file.projectName === 'dist' ? ['dist/react.js', 'dist/react.cjs'] : ['src/react/index.ts']
  // A directive counts only before all code; another one may come first.
  for (const file of files) expect(readFileSync(file, 'utf8')).toMatch(/^("use strict";\s*)?['"]use client['"]/)
})

test('and brings neither React nor the core along', ({ task }) => {
  if (task.file.projectName !== 'dist') return
  const imported = [...readFileSync('dist/react.js', 'utf8').matchAll(/from "([^"]+)"/g)].map(([, name]) => name)
  expect(new Set(imported)).toEqual(new Set(['millrace', 'react']))
})
