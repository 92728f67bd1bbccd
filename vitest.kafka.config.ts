import { defineConfig, mergeConfig } from 'vitest/config'
import { leftOut } from './tests/kafka/left-out.ts'
import base from './vitest.config.ts'

/** The tests of the SDK against Apache Kafka, which needs Java: `npm run sdk:kafka`. */
export default mergeConfig(
  { ...base, test: { ...base.test, include: [] } },
  defineConfig({
    test: {
      include: ['tests/kafka/**/*.spec.ts', 'tests/client/**/*.test.ts'],
      globalSetup: 'tests/kafka/kafka-server.ts',
      maxWorkers: 3,
      reporters: ['default', leftOut],
    },
  }),
)
