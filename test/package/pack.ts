import { execSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'

declare module 'vitest' {
  interface ProvidedContext {
    /** Path of what `npm publish` would send. */
    tarball: string
  }
}

/** Packs dist once for all files of the project, and takes the tarball away when they are done. */
export default function setup({ provide }: TestProject): () => void {
  execSync('tsx test/tools/build-if-stale.ts', { stdio: ['ignore', 'inherit', 'inherit'] })
  const folder = mkdtempSync(join(tmpdir(), 'millrace-tarball-'))
  const command = `npm pack --json --ignore-scripts --pack-destination "${folder}"`
  const packed = JSON.parse(execSync(command, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }))
  provide('tarball', join(folder, packed[0].filename))
  return () => rmSync(folder, { recursive: true, force: true })
}
