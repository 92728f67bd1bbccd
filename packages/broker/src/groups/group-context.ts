import type { Offset, TopicCatalog } from '@streambus/storage'
import type { CoordinatorRecord } from '../coordinator/coordinator-log.ts'
import type { Scheduled, Scheduler } from '../coordinator/scheduler.ts'
import type { Logger } from '../logger.ts'
import type { Group } from './group.ts'
import type { ResolvedGroupOptions } from './group-options.ts'
import type { MemoryBudget, MemoryUse } from './memory-budget.ts'

/** What a group works with. All groups of one partition of `__consumer_offsets` share it. */
export interface GroupContext {
  readonly scheduler: Scheduler
  readonly options: ResolvedGroupOptions
  readonly log: Logger
  readonly topics: TopicCatalog
  /** Of what members say of themselves and are assigned. */
  readonly memory: MemoryBudget
  /** Of committed offsets. */
  readonly offsetMemory: MemoryUse
  /** For member ids: something no other member ever had. */
  newId(): string
  /** One batch. Resolves when it is durable; throws StorageError, and nothing changed. */
  append(records: readonly CoordinatorRecord[]): Promise<Offset>
  /**
   * Runs once, not before `delayMs` have passed, in the group's turn, and only if the group is still the one
   * with its id. What it throws is logged.
   */
  after(group: Group, delayMs: number, run: () => void | Promise<void>): Scheduled
  /** Forgets the group if nothing of it is left that matters. */
  dropIfDisposable(group: Group): void
}
