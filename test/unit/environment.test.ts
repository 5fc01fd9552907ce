import { existsSync } from 'node:fs'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { detectEnvironment } from '../../src/primitives/environment'

afterEach(() => vi.unstubAllEnvs())

function detect(env: Record<string, string | undefined>): string {
  for (const name of ['NODE_ENV', 'DOCKER_ENV', 'RUNNING_IN_DOCKER']) vi.stubEnv(name, env[name])
  return detectEnvironment()
}

/** What production and nothing at all become on this machine: a container shows itself by a file. */
const quiet = existsSync('/.dockerenv') ? 'docker' : 'production'

describe('the environment', () => {
  test.each([
    [{ NODE_ENV: 'test' }, 'test'],
    [{ NODE_ENV: 'development' }, 'development'],
    [{ NODE_ENV: 'production' }, quiet],
    [{}, quiet],
    [{ NODE_ENV: 'staging' }, quiet],
    [{ NODE_ENV: 'production', DOCKER_ENV: 'true' }, 'docker'],
    [{ NODE_ENV: 'development', RUNNING_IN_DOCKER: '1' }, 'docker'],
    [{ NODE_ENV: 'test', RUNNING_IN_DOCKER: '1' }, 'test'],
  ])('%o is %s', (env, expected) => {
    expect(detect(env)).toBe(expected)
  })

  test('of a page without a bundler is production', () => {
    vi.stubGlobal('process', undefined)
    try {
      expect(detectEnvironment()).toBe('production')
    } finally {
      vi.unstubAllGlobals()
    }
  })
})
