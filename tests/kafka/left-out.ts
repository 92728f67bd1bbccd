import type { Reporter, TestModule } from 'vitest/node'

/** Tells which tests were left out against Apache Kafka, and why: see `needsStreamBus`. */
export const leftOut: Reporter = {
  onTestRunEnd(modules: readonly TestModule[]) {
    for (const module of modules) {
      for (const test of module.children.allTests('skipped')) {
        const result = test.result()
        const reason = result.state === 'skipped' ? result.note : undefined
        process.stdout.write(`left out: ${test.fullName}: ${reason ?? 'for no reason given'}\n`)
      }
    }
  },
}
