import { defineConfig } from 'vitest/config'
import { fromSource } from '../../vitest.config'

// Stryker's runner takes one set of tests: no projects, and only the tests that test/mutation/run.ts names.
export default defineConfig({
  resolve: fromSource,
  test: { include: [process.env.MILLRACE_MUTATION_TESTS ?? ''], testTimeout: 15_000 },
})
