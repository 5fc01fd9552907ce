import { attempt } from './platform'

/** Where the code runs, as its defaults care about it. */
export type Environment = 'development' | 'production' | 'docker' | 'test'

/** Bundlers replace `process.env.NODE_ENV` as it stands here; in a page without one, there is no `process`. */
declare const process: {
  env: { NODE_ENV?: string; DOCKER_ENV?: string; RUNNING_IN_DOCKER?: string }
  getBuiltinModule?: (name: 'node:fs') => { existsSync(path: string): boolean }
}

/**
 * Firefox hands out an answer's head with the first byte of its body: a stream that is open and quiet looks as if it was
 * not answered, to `fetch`, XMLHttpRequest and EventSource alike. Other browsers say "like Gecko", without a slash.
 */
export const tellsHeadsLate = (): boolean => attempt(() => /Gecko\//.test(navigator.userAgent)) === true

/** Never guessed from host names. Unknown is production: it is the quietest. */
export function detectEnvironment(): Environment {
  let mode: string | undefined
  try {
    mode = process.env.NODE_ENV
  } catch {}
  if (mode === 'test') return 'test'
  try {
    if (process.env.DOCKER_ENV || process.env.RUNNING_IN_DOCKER) return 'docker'
    if (mode !== 'development' && process.getBuiltinModule?.('node:fs').existsSync('/.dockerenv')) return 'docker'
  } catch {}
  return mode === 'development' ? 'development' : 'production'
}
