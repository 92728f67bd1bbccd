import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  resolve: { conditions: ['streambus-source'] },
  ssr: { resolve: { conditions: ['streambus-source'], externalConditions: ['streambus-source'] } },
  test: {
    include: ['packages/*/src/**/*.test.ts', 'tests/**/*.test.ts', 'bench/**/*.test.ts', 'sim/**/*.test.ts'],
    pool: 'forks',
    // Most of a test's time is waiting for a socket or a disk: two share a small machine well.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})
