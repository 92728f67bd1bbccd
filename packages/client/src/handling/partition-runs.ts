import type { FetchedRecords } from '../consumer/fetcher.ts'
import type { ReadingRange } from '../consumer/start-position.ts'
import type { StreamBusError } from '../errors.ts'
import type { TopicPartition } from '../list-offsets.ts'

/** What is done with the records of partitions that may be paused, sought in, given up and lost meanwhile. */
export interface PartitionRuns {
  /** True when nothing more is wanted. */
  readonly isFull: boolean
  /** True when more may be added. */
  readonly hasRoom: boolean
  /** True when nothing runs, and nothing that was added is still to be done. */
  readonly isDrained: boolean
  /** Resolves when something has changed, or after `wake`. */
  change(): Promise<void>
  /** Lets whoever waits look around. */
  wake(): void
  add(fetched: FetchedRecords): void
  /** Starts nothing of these until they are resumed. What is not decoded is dropped. */
  pause(partitions: readonly TopicPartition[]): void
  /** @param range what is read from now on */
  resume(range: ReadingRange): void
  /** Where the reading of the partition goes on after a pause; undefined where none of it was read. */
  readTo(partition: TopicPartition): number | undefined
  /** True when nothing of the partition is here. */
  isIdle(partition: TopicPartition): boolean
  /** What is read of a partition counts no more, and what comes next is started when what runs has ended. */
  restart(partition: TopicPartition): void
  /** Resolves when nothing runs of these any more, and nothing is left out before what was started. */
  finish(partitions: readonly TopicPartition[]): Promise<void>
  /** They belong to others: what becomes of what runs does not count. */
  drop(partitions: readonly TopicPartition[], reason: StreamBusError): void
  /**
   * Waits for what runs for a time; then that is given up. Starts nothing more but, where the end is clean, what lies
   * before something that was started.
   */
  stop(reason: StreamBusError, isClean: boolean): Promise<void>
}
