import { defineConfig } from 'vitest/config'

export default defineConfig({
  resolve: { conditions: ['streambus-source'] },
  ssr: { resolve: { conditions: ['streambus-source'], externalConditions: ['streambus-source'] } },
  test: {
    include: ['packages/*/src/**/*.test.ts', 'tests/**/*.test.ts'],
    pool: 'forks',
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})
