export { type CheckOptions, checkDataFolder } from './inspection/check-data-folder.ts'
export {
  type DumpedBatch,
  type DumpedRecord,
  type DumpItem,
  type DumpOptions,
  dumpDataFolder,
} from './inspection/dump-data-folder.ts'
export type { CheckReport, Finding, Note } from './inspection/finding.ts'
export {
  type RebuiltIndexes,
  rebuildIndexes,
  type Truncated,
  truncateDataFolder,
} from './inspection/repair-data-folder.ts'
export { type LostOffsets, parseCut, type TruncationPlan } from './inspection/truncation-plan.ts'
export { LocalLogStore, type LocalLogStoreOptions } from './local/local-log-store.ts'
export * from './log-store.ts'
export type {
  CompactionWait,
  LogCompaction,
  LogStorage,
  MaintenanceBacklog,
  MaintenanceFailure,
  MaintenanceMetrics,
  RewritingMetrics,
} from './maintenance-metrics.ts'
export { MemoryLogStore, type MemoryLogStoreOptions } from './memory/memory-log-store.ts'
