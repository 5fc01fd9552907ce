import { appendFileSync } from 'node:fs'

/** One thing that a run measured; the last one of a name counts. */
export interface Figure {
  /** The heading it stands under in test/RESULTS.md. */
  readonly section: string
  readonly name: string
  /** With its unit. */
  readonly value: string
}

/**
 * Hands what a test measured to the run, for test/RESULTS.md. Without such a run (`npm test`, a single file) it is kept
 * nowhere.
 */
export function figure(section: string, name: string, value: string): void {
  const file = process.env.MILLRACE_FIGURES
  if (file) appendFileSync(file, `${JSON.stringify({ section, name, value } satisfies Figure)}\n`)
}
