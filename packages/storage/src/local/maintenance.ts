import { setImmediate as turn } from 'node:timers/promises'
import { type KeepingPolicy, type MaintenanceProgress, StorageError, type Topic } from '../log-store.ts'
import type { StoreState } from '../store-state.ts'
import { isNoRoom } from './file-system.ts'
import type { LogFile } from './log-files.ts'
import { merge } from './merging.ts'
import type { Rewriting, RewritingSteps } from './rewriting.ts'

/**
 * What is rewritten next, and how far it has come: one job at a time, in steps, so that whoever calls decides how
 * much of the disk it may take. A job that was not finished when the store closes begins anew.
 *
 * Merging pays where reading does not go well or space is held for nothing, and where what is rewritten stays
 * (ADR 0007):
 * - a log file is scattered if no log has half of what is live in it;
 * - a file is sparse if less than half of it is live;
 * - what retention takes within an hour is left to it.
 */
const MIN_REMAINING_MS = 3_600_000
/** Log files that are merged at once: so many times more lies together. */
const MERGED_FILES = 4

export interface MaintenanceOptions {
  readonly rewriting: Rewriting
  readonly state: StoreState
  /** Bytes of a full log file. */
  readonly fileBytes: number
  /** Full log files and segments. */
  readonly files: readonly LogFile[]
}

/** What of a file is live. */
interface Content {
  liveBytes: number
  /** Of the log that has most of them. */
  largestBytes: number
  /** What will be there for a while. */
  lastingBytes: number
}

interface Job {
  readonly inputs: readonly LogFile[]
  readonly steps: RewritingSteps
}

export class Maintenance {
  readonly #options: MaintenanceOptions
  #job: Job | null = null
  #stepping: Promise<unknown> = Promise.resolve()
  /** Files in which something is damaged: what is intact in them stays where it is. */
  readonly #damaged = new Set<LogFile>()
  /** What there was when there was nothing to merge. */
  #restingState = ''
  #isStopped = false

  constructor(options: MaintenanceOptions) {
    this.#options = options
  }

  /** Works for about `maxBytes` of I/O. Rejects with what ended the job; the next call begins another one. */
  step(maxBytes: number, policyOf: (topic: Topic) => KeepingPolicy): Promise<MaintenanceProgress> {
    const step = this.#stepping.then(() => this.#step(maxBytes, policyOf))
    this.#stepping = step.catch(() => undefined)
    return step
  }

  /** Gives up the job under way. */
  async stop(): Promise<void> {
    this.#isStopped = true
    await this.#stepping
    await this.#job?.steps.return()
    this.#job = null
  }

  async #step(maxBytes: number, policyOf: (topic: Topic) => KeepingPolicy): Promise<MaintenanceProgress> {
    let bytes = 0
    while (!this.#isStopped) {
      if (bytes >= maxBytes) return { bytes, isMore: true }
      this.#job ??= this.#nextJob(policyOf)
      if (this.#job === null) break
      const { inputs, steps } = this.#job
      try {
        const { done, value } = await steps.next()
        if (done) this.#job = null
        else bytes += value
      } catch (cause) {
        this.#job = null
        const error = asStorageError(cause)
        if (error.code === 'READ_FAILED') for (const file of inputs) this.#damaged.add(file)
        throw error
      }
      await turn()
    }
    return { bytes, isMore: false }
  }

  #nextJob(policyOf: (topic: Topic) => KeepingPolicy): Job | null {
    const inputs = this.#filesToMerge(policyOf)
    return inputs === null ? null : { inputs, steps: merge(inputs, this.#options.rewriting) }
  }

  #filesToMerge(policyOf: (topic: Topic) => KeepingPolicy): LogFile[] | null {
    const { files, fileBytes } = this.#options
    // Only what was added, deleted or cut can make a file worth it; time alone makes it less so.
    const state = `${files.length} ${files.reduce((logs, { liveLogs }) => logs + liveLogs, 0)}`
    if (state === this.#restingState) return null
    const contents = this.#contents(policyOf)
    const isWorthIt = (file: LogFile): boolean => {
      const content = contents.get(file)
      if (content === undefined || this.#damaged.has(file)) return false
      return (
        content.lastingBytes * 2 >= content.liveBytes &&
        (isScattered(file, content) || isSparse(file, content))
      )
    }
    const sparse = files.find((file) => file.isSegment && isWorthIt(file))
    if (sparse !== undefined) return [sparse]
    const run: LogFile[] = []
    const logFiles = files.filter(({ isSegment }) => !isSegment).sort((a, b) => a.number - b.number)
    for (const file of logFiles) {
      const continues = run.length === 0 || file.number === run.at(-1)!.number + 1
      const isTaken = isWorthIt(file)
      // Nothing more can be added to the run: it is merged as long as it is.
      if (run.length > 0 && !(continues && isTaken)) return run
      if (!isTaken) continue
      run.push(file)
      const bytes = run.reduce((sum, { endPosition }) => sum + endPosition, 0)
      if (bytes >= (MERGED_FILES - 0.5) * fileBytes) return run
    }
    const hasSparse = run.some((file) => isSparse(file, contents.get(file)!))
    if (hasSparse) return run
    this.#restingState = state
    return null
  }

  #contents(policyOf: (topic: Topic) => KeepingPolicy): Map<LogFile, Content> {
    const { rewriting, state } = this.#options
    const { index, clock } = rewriting
    const nowMs = clock()
    const contents = new Map<LogFile, Content>()
    for (const logId of index.sealedLogs()) {
      const log = state.logs.get(logId)
      const topic = log === undefined ? undefined : state.topics.byId(log.topicId)
      if (topic === undefined) continue
      const { retentionMs } = policyOf(topic)
      for (const { file, directory } of index.rangesOf(logId)) {
        const { sizeBytes, maxTimestampMs } = directory
        const content = contents.get(file) ?? { liveBytes: 0, largestBytes: 0, lastingBytes: 0 }
        contents.set(file, content)
        content.liveBytes += sizeBytes
        content.largestBytes = Math.max(content.largestBytes, sizeBytes)
        const ageMs = Number.isFinite(maxTimestampMs) ? nowMs - maxTimestampMs : 0
        if (retentionMs - ageMs >= MIN_REMAINING_MS) content.lastingBytes += sizeBytes
      }
    }
    return contents
  }
}

/** Segments have each log's batches together. */
function isScattered(file: LogFile, { largestBytes, liveBytes }: Content): boolean {
  return !file.isSegment && largestBytes * 2 < liveBytes
}

/** Of a segment its batches count, so that a small one is not sparse for its header and its padding. */
function isSparse(file: LogFile, { liveBytes }: Content): boolean {
  return liveBytes * 2 < (file.batchBytes ?? file.endPosition)
}

/** A job that fails leaves everything as it was. */
function asStorageError(cause: unknown): StorageError {
  if (cause instanceof StorageError) return cause
  const reason = cause instanceof Error ? cause.message : String(cause)
  return isNoRoom(cause)
    ? new StorageError('DISK_FULL', `no room to rewrite files: ${reason}`, { cause })
    : new StorageError('MAINTENANCE_FAILED', `rewriting files failed, they stay as they are: ${reason}`, {
        cause,
      })
}
