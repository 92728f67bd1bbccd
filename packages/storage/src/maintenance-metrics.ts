/** What background work did since a store was opened, and what of a log it sees. Plain numbers for whoever shows them. */

export interface MaintenanceMetrics {
  /** Gauges: log files, the one being written included, and segments; none in memory. */
  readonly logFiles: number
  readonly segments: number
  /** A gauge: bytes written to these files. */
  readonly fileBytes: number
  /** A gauge: bytes of record batches from the starts of all logs to their ends. */
  readonly liveBytes: number
  readonly compaction: RewritingMetrics
  readonly merging: RewritingMetrics
  /** A gauge: what there was to do when the store last looked for work, the job it then took included. */
  readonly backlog: MaintenanceBacklog
  /** Work that failed and has no caller to be told. Nothing is lost by it. */
  readonly failures: number
  readonly lastFailure: MaintenanceFailure | null
}

export interface RewritingMetrics {
  /** Passes over a log, or merges of files, that came to their end. */
  readonly passes: number
  /** Bytes written in the place of others. */
  readonly writtenBytes: number
}

export interface MaintenanceBacklog {
  readonly logsToCompact: number
  /** Bytes in them that no pass has seen. */
  readonly bytesToCompact: number
  /** Those of the next merge. */
  readonly filesToMerge: number
  readonly bytesToMerge: number
}

export interface MaintenanceFailure {
  /** Milliseconds since the Unix epoch. */
  readonly atMs: number
  readonly message: string
}

/** How an engine keeps one log. */
export interface LogStorage {
  /** Files that have something of it, which other logs may share; none in memory. */
  readonly files: number
  /** Of these, segments. */
  readonly segments: number
  /** Bytes of its batches in them, those included that lie before its start. */
  readonly heldBytes: number
  /** Null where its records are not compacted. */
  readonly compaction: LogCompaction | null
}

export interface LogCompaction {
  /** Bytes of batches that no pass has seen. */
  readonly dirtyBytes: number
  /** Share, 0 to 1, of the bytes that a pass would go over now that no pass has seen: `minDirtyRatio` is for it. */
  readonly dirtyRatio: number
  /** When the last pass ended, in milliseconds since the Unix epoch; null where none did since the store was opened. */
  readonly lastPassAtMs: number | null
  readonly waitsFor: CompactionWait
}

/**
 * What a log's next pass waits for: `turn`, that its turn comes; `ratio`, a larger share that no pass has seen; `lag`,
 * that records are old enough; `transaction`, the end of one that is open; `file`, that the file being written is full;
 * `repair`, for something in it cannot be read; `records`, for all is compacted but the newest batch, which never is.
 */
export type CompactionWait = 'turn' | 'ratio' | 'lag' | 'transaction' | 'file' | 'repair' | 'records'

/** What an engine counts as it goes. */
export class MaintenanceCounters {
  compactionPasses = 0
  compactionWrittenBytes = 0
  #mergePasses = 0
  #mergeWrittenBytes = 0
  backlog: MaintenanceBacklog = { logsToCompact: 0, bytesToCompact: 0, filesToMerge: 0, bytesToMerge: 0 }
  #failures = 0
  #lastFailure: MaintenanceFailure | null = null

  /** A pass of compaction writes several, a merge one. */
  segmentAdded(byteLength: number, by: 'merge' | 'compaction'): void {
    if (by === 'compaction') this.compactionWrittenBytes += byteLength
    else {
      this.#mergePasses++
      this.#mergeWrittenBytes += byteLength
    }
  }

  failed(atMs: number, message: string): void {
    this.#failures++
    this.#lastFailure = { atMs, message }
  }

  snapshot(
    files: Pick<MaintenanceMetrics, 'logFiles' | 'segments' | 'fileBytes' | 'liveBytes'>,
  ): MaintenanceMetrics {
    return {
      ...files,
      compaction: { passes: this.compactionPasses, writtenBytes: this.compactionWrittenBytes },
      merging: { passes: this.#mergePasses, writtenBytes: this.#mergeWrittenBytes },
      backlog: this.backlog,
      failures: this.#failures,
      lastFailure: this.#lastFailure,
    }
  }
}
