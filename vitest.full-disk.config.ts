import { defineConfig, mergeConfig } from 'vitest/config'
import base from './vitest.config.ts'

/** A broker on a disk that is full, which is a small one that the tests mount, where they may: `npm run full-disk`. */
export default mergeConfig(
  { ...base, test: { ...base.test, include: [] } },
  defineConfig({ test: { include: ['tests/full-disk/**/*.spec.ts'] } }),
)
