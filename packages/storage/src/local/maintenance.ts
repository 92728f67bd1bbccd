import { hasTimestamp } from '../batch-timestamp.ts'
import type { LogHead } from '../log-head.ts'
import {
  type CompactionPolicy,
  type KeepingPolicy,
  type LogId,
  type MaintenanceProgress,
  type Offset,
  StorageError,
  type Topic,
} from '../log-store.ts'
import type { LogCompaction, MaintenanceCounters } from '../maintenance-metrics.ts'
import type { StoreState } from '../store-state.ts'
import { type CompactionOutcome, type CompactionSteps, compact } from './compacting.ts'
import { type CompactionPlan, compactionWait, isDue, planCompaction } from './compaction-plan.ts'
import { isNoRoom } from './file-system.ts'
import type { FullFiles } from './full-files.ts'
import type { DirectoryEntry } from './index-file.ts'
import type { LogFile } from './log-files.ts'
import { merge } from './merging.ts'
import type { Rewriting, RewritingSteps } from './rewriting.ts'
import { fitting, Stretches } from './stretches.ts'

/**
 * What is rewritten next, and how far it has come: one job at a time, in steps, so that whoever calls decides how
 * much of the disk it may take. A job that was not finished when the store closes begins anew.
 *
 * Of compactions that of the log with the largest share no pass has seen comes first. A log also has a pass when the
 * time of the last of the tombstones has come that a pass before has left: so one that is no longer written loses
 * them, and one that is has no more passes than it had else. What a start finds is not known to have tombstones: there
 * they go with the next pass that is worth it.
 *
 * Merging pays where reading does not go well or space is held for nothing, and where what is rewritten stays
 * (ADR 0007):
 * - a log file is scattered if no log has half of what is live in it;
 * - a file is sparse if less than half of it is live;
 * - small segments become one, so that they do not pile up where little is left of each file, or of each log;
 * - what retention takes within an hour is left to it.
 */
const MIN_REMAINING_MS = 3_600_000
/** Files that are merged at once, where all of them is live: so many times more lies together. */
const MERGED_FILES = 4
/** Where little of them is live, more of them. */
const MAX_MERGED_FILES = 64
/** Of a log file's bytes: a segment up to it is small. */
const SMALL_SHARE = 1 / 8
/** Small segments of which some are chosen, and what logs have in them: what is kept of them meanwhile is bounded. */
const MAX_SMALL_SEGMENTS = 256
const MAX_SMALL_STRETCHES = 65_536
/** So many bytes of a file are looked at in the time in which a stretch of offsets is compared. */
const STRETCH_BYTES = 16
/**
 * Bytes after which a step ends, if something is appended meanwhile: about a millisecond. A thread that the
 * disk wakes may have to wait until this one lets go of the processor, where there are only two, up to 4 ms (ADR 0007).
 */
const SHARED_STEP_BYTES = 256 * 1024

export interface MaintenanceOptions {
  readonly rewriting: Rewriting
  readonly state: StoreState
  /** Bytes of a full log file. */
  readonly fileBytes: number
  readonly files: FullFiles
  readonly counters: MaintenanceCounters
  /** Ends the file being written. */
  leaveFile(): Promise<void>
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
  /** The log that is compacted; null where files are merged. */
  readonly log: LogHead | null
  readonly steps: RewritingSteps | CompactionSteps
}

/** The last pass over a log that came to its end. */
interface DonePass extends CompactionOutcome {
  readonly atMs: number
}

export class Maintenance {
  readonly #options: MaintenanceOptions
  #job: Job | null = null
  #stepping: Promise<unknown> = Promise.resolve()
  /** Files in which something is damaged: what is intact in them stays where it is. */
  readonly #damaged = new Set<LogFile>()
  /** Logs that cannot be compacted, for they have a part in such a file, or a batch that cannot be read. */
  readonly #damagedLogs = new Set<LogId>()
  readonly #passes = new WeakMap<LogHead, DonePass>()
  /** What there was when nothing of a log was to be compacted: most logs need not be looked at again and again. */
  readonly #restingLogs = new WeakMap<
    LogHead,
    { readonly files: number; readonly lastStableOffset: Offset }
  >()
  /** What of a file was live when it was not worth merging, and which topics there were, if that mattered. */
  readonly #restingFiles = new WeakMap<
    LogFile,
    { readonly liveLogs: number; readonly catalogVersion: number }
  >()
  /** What there was when there was nothing to merge. */
  #restingState = ''
  /** The small segments of which none fit together, and which topics there were. */
  #restingSegments = ''
  #isStopped = false
  #lastJobMerged = true

  constructor(options: MaintenanceOptions) {
    this.#options = options
  }

  /**
   * Works on about `maxBytes`; on less where something is appended meanwhile. Rejects with what ended the job; the next
   * call begins another one.
   */
  step(maxBytes: number, policyOf: (topic: Topic) => KeepingPolicy): Promise<MaintenanceProgress> {
    const step = this.#stepping.then(() => this.#step(maxBytes, policyOf))
    this.#stepping = step.catch(() => undefined)
    return step
  }

  /** Gives up the job under way. */
  async stop(): Promise<void> {
    this.#isStopped = true
    await this.#stepping
    await this.#job?.steps.return(undefined)
    this.#job = null
  }

  async #step(maxBytes: number, policyOf: (topic: Topic) => KeepingPolicy): Promise<MaintenanceProgress> {
    const { share } = this.#options.rewriting
    const { appends } = share
    let bytes = 0
    while (!this.#isStopped) {
      const isShared = share.appends > appends
      const enough = isShared ? Math.max(SHARED_STEP_BYTES, share.allowedBytes) : maxBytes
      if (bytes >= Math.min(enough, maxBytes)) return { bytes, isMore: true }
      let stepBytes = 0
      try {
        this.#job ??= await this.#nextJob(policyOf)
        if (this.#job === null) break
        const { done, value } = await this.#job.steps.next()
        if (!done) stepBytes = value
        else {
          this.#finished(this.#job, value ?? undefined)
          this.#job = null
        }
      } catch (cause) {
        const { inputs = [], log = null } = this.#job ?? {}
        this.#job = null
        const error = maintenanceError(cause)
        if (error.code === 'READ_FAILED' || error.code === 'CORRUPT_BATCH') {
          if (log !== null) this.#damagedLogs.add(log.id)
          else for (const file of inputs) this.#damaged.add(file)
        }
        throw error
      }
      bytes += stepBytes
      await share.worked(stepBytes)
    }
    return { bytes, isMore: false }
  }

  #finished({ log }: Job, outcome: CompactionOutcome | undefined): void {
    if (log === null || outcome === undefined) return
    const { counters, rewriting } = this.#options
    counters.compactionPasses++
    this.#passes.set(log, { ...outcome, atMs: rewriting.clock() })
  }

  /** How far compaction of a log has come, and what its next pass waits for. */
  async compactionOf(log: LogHead, policy: CompactionPolicy): Promise<LogCompaction> {
    const { index, clock } = this.#options.rewriting
    const nowMs = clock()
    const plan = await planCompaction(log, policy, index, nowMs, this.#hasDueTombstones(log, nowMs))
    return {
      dirtyBytes: log.sizeBytes - (await index.bytesBefore(log, log.cleanedTo)),
      dirtyRatio: plan === null ? 0 : plan.dirtyRatio,
      lastPassAtMs: this.#passes.get(log)?.atMs ?? null,
      waitsFor: this.#damagedLogs.has(log.id)
        ? 'repair'
        : await compactionWait(log, plan, policy, index, nowMs),
    }
  }

  #hasDueTombstones(log: LogHead, nowMs: number): boolean {
    const { lastHorizonMs = Number.NEGATIVE_INFINITY } = this.#passes.get(log) ?? {}
    return Number.isFinite(lastHorizonMs) && lastHorizonMs <= nowMs
  }

  /** Compaction and merging take turns where both have something to do, so that neither waits for ever. */
  async #nextJob(policyOf: (topic: Topic) => KeepingPolicy): Promise<Job | null> {
    if (this.#shouldLeaveFile(policyOf)) await this.#options.leaveFile()
    const compaction = () => this.#nextCompaction(policyOf)
    const merge = () => this.#nextMerge(policyOf)
    const [first, second] = this.#lastJobMerged ? [compaction, merge] : [merge, compaction]
    const job = (await first()) ?? (await second())
    if (job !== null) this.#lastJobMerged = job.log === null
    return job
  }

  async #nextCompaction(policyOf: (topic: Topic) => KeepingPolicy): Promise<Job | null> {
    const compaction = await this.#logToCompact(policyOf)
    if (compaction === null) return null
    const { log, plan, segmentBytes } = compaction
    return { inputs: [], log, steps: compact(plan, segmentBytes, this.#options.rewriting) }
  }

  async #nextMerge(policyOf: (topic: Topic) => KeepingPolicy): Promise<Job | null> {
    const { rewriting, counters } = this.#options
    const inputs = await this.#filesToMerge(policyOf)
    const bytesToMerge = (inputs ?? []).reduce((sum, { endPosition }) => sum + endPosition, 0)
    counters.backlog = { ...counters.backlog, filesToMerge: inputs?.length ?? 0, bytesToMerge }
    return inputs === null ? null : { inputs, log: null, steps: merge(inputs, rewriting) }
  }

  /** What is in the file being written cannot be compacted before the file is full. */
  #shouldLeaveFile(policyOf: (topic: Topic) => KeepingPolicy): boolean {
    const { rewriting, state } = this.#options
    const nowMs = rewriting.clock()
    for (const topic of state.topics.all()) {
      const { compaction, segmentBytes, segmentMs } = policyOf(topic)
      if (compaction === null) continue
      const maxAgeMs = Math.min(segmentMs, compaction.maxLagMs)
      for (const logId of topic.logs) {
        const active = rewriting.index.activeOf(logId)
        if (active === null) continue
        if (active.sizeBytes >= segmentBytes || ageMs(active.sinceMs, nowMs) >= maxAgeMs) return true
      }
    }
    return false
  }

  async #logToCompact(
    policyOf: (topic: Topic) => KeepingPolicy,
  ): Promise<{ log: LogHead; plan: CompactionPlan; segmentBytes: number } | null> {
    const { rewriting, state, counters } = this.#options
    const nowMs = rewriting.clock()
    let best: { log: LogHead; plan: CompactionPlan; segmentBytes: number } | null = null
    let highestUrgency = -1
    let logsToCompact = 0
    let bytesToCompact = 0
    for (const topic of [...state.topics.all()]) {
      const { compaction: policy, segmentBytes } = policyOf(topic)
      if (policy === null) continue
      for (const logId of topic.logs) {
        const log = state.logs.get(logId)
        if (log === undefined || this.#damagedLogs.has(logId)) continue
        const files = this.#options.files.all.length
        const resting = this.#restingLogs.get(log)
        const hasDueTombstones = this.#hasDueTombstones(log, nowMs)
        const rests = resting?.files === files && resting.lastStableOffset === log.lastStableOffset
        if (rests && !hasDueTombstones) continue
        const plan = await planCompaction(log, policy, rewriting.index, nowMs, hasDueTombstones)
        // Where nothing may wait for its time, only what is added can change that.
        if (plan === null && policy.minLagMs === 0) {
          const { lastStableOffset } = log
          this.#restingLogs.set(log, { files, lastStableOffset })
        }
        if (plan === null || !isDue(plan)) continue
        logsToCompact++
        bytesToCompact += plan.dirtyBytes
        // What may not wait comes before what is worth most.
        const urgency = plan.isLate ? 1 + plan.dirtyRatio : plan.dirtyRatio
        if (urgency <= highestUrgency) continue
        highestUrgency = urgency
        best = { log, plan, segmentBytes }
      }
    }
    counters.backlog = { ...counters.backlog, logsToCompact, bytesToCompact }
    return best
  }

  async #filesToMerge(policyOf: (topic: Topic) => KeepingPolicy): Promise<LogFile[] | null> {
    const { fileBytes } = this.#options
    const files = [...this.#options.files.all]
    // Only what was added, deleted or cut can make a file worth it; time alone makes it less so.
    const state = `${files.length} ${files.reduce((logs, { liveLogs }) => logs + liveLogs, 0)}`
    if (state === this.#restingState) return null
    for (const file of files) {
      if (file.isSegment && (await this.#worth(file, policyOf)) !== null) return [file]
    }
    // Before log files: at full load there is always one of which little is left, and each leaves a small segment.
    const small = await this.#smallSegments(files, policyOf)
    if (small !== null) return small
    const run: LogFile[] = []
    const stretches = new Stretches()
    let hasSparse = false
    let liveBytes = 0
    const logFiles = files.filter(({ isSegment, liveLogs }) => !isSegment && liveLogs > 0)
    for (const file of logFiles.sort((a, b) => a.number - b.number)) {
      const ranges: DirectoryEntry[] = []
      const content = await this.#worth(file, policyOf, ranges)
      // Nothing more can be added to the run: it is merged as long as it is.
      if (run.length > 0 && (content === null || !stretches.fit(ranges))) return run
      if (content === null) continue
      run.push(file)
      stretches.add(ranges)
      hasSparse ||= isSparse(file, content)
      liveBytes += content.liveBytes
      if (liveBytes >= (MERGED_FILES - 0.5) * fileBytes || run.length === MAX_MERGED_FILES) return run
    }
    if (hasSparse) return run
    this.#restingState = state
    return null
  }

  /** Segments that one can take the place of: of each log it covers one stretch. */
  async #smallSegments(
    files: readonly LogFile[],
    policyOf: (topic: Topic) => KeepingPolicy,
  ): Promise<LogFile[] | null> {
    const maxBytes = this.#options.fileBytes * SMALL_SHARE
    const small = files
      .filter((file) => file.isSegment && file.liveLogs > 0 && !this.#damaged.has(file))
      .filter(({ batchBytes }) => batchBytes! <= maxBytes)
      .sort((a, b) => b.number - a.number)
      .slice(0, MAX_SMALL_SEGMENTS)
    if (small.length < MERGED_FILES) return null
    const { rewriting, state } = this.#options
    const parts = small.map(({ number, liveLogs }) => `${number}:${liveLogs}`)
    const segments = `${state.topics.version} ${parts.join(' ')}`
    if (segments === this.#restingSegments) return null
    const candidates: { readonly file: LogFile; readonly stretches: readonly DirectoryEntry[] }[] = []
    let stretchCount = 0
    for (const file of small) {
      if (this.#isStopped) return null
      const stretches: DirectoryEntry[] = []
      if (!isLasting(await this.#contentOf(file, policyOf, stretches))) continue
      candidates.push({ file, stretches })
      stretchCount += stretches.length
      if (stretchCount >= MAX_SMALL_STRETCHES && candidates.length >= MERGED_FILES) break
    }
    for (const first of candidates) {
      const taken = fitting(first, candidates, MERGED_FILES)
      if (taken !== null) return taken.map(({ file }) => file)
      await rewriting.share.worked(stretchCount * STRETCH_BYTES)
      if (this.#isStopped) return null
    }
    this.#restingSegments = segments
    return null
  }

  /** What is in a file that is worth being merged, or null. @param found is given each live log's part of it */
  async #worth(
    file: LogFile,
    policyOf: (topic: Topic) => KeepingPolicy,
    found: DirectoryEntry[] = [],
  ): Promise<Content | null> {
    const { rewriting, state } = this.#options
    const { liveLogs } = file
    if (liveLogs === 0 || this.#damaged.has(file) || this.#isStopped) return null
    // Nothing of such a segment is gone, and it lies together.
    if (file.isSegment && rewriting.index.isWhole(file)) return null
    const resting = this.#restingFiles.get(file)
    const isResting = resting?.liveLogs === liveLogs && resting.catalogVersion >= state.topics.version
    if (isResting) return null
    const content = await this.#contentOf(file, policyOf, found)
    const isInTheWay = isScattered(file, content) || isSparse(file, content)
    if (isInTheWay && isLasting(content)) return content
    // How long something lasts may be set anew with its topic; that it lies well does not change.
    const catalogVersion = isInTheWay ? state.topics.version : Number.POSITIVE_INFINITY
    this.#restingFiles.set(file, { liveLogs, catalogVersion })
    return null
  }

  /** @param found is given each live log's part of the file */
  async #contentOf(
    file: LogFile,
    policyOf: (topic: Topic) => KeepingPolicy,
    found: DirectoryEntry[],
  ): Promise<Content> {
    const { rewriting, state } = this.#options
    const { index, clock } = rewriting
    const nowMs = clock()
    const content = { liveBytes: 0, largestBytes: 0, lastingBytes: 0 }
    for await (const ranges of index.rangesIn(file)) {
      for (const { directory } of ranges) {
        found.push(directory)
        const { logId, sizeBytes, maxTimestampMs } = directory
        const log = state.logs.get(logId)
        const topic = log === undefined ? undefined : state.topics.byId(log.topicId)
        if (topic === undefined) continue
        const { retentionMs, retentionBytes } = policyOf(topic)
        content.liveBytes += sizeBytes
        content.largestBytes = Math.max(content.largestBytes, sizeBytes)
        const age = ageMs(maxTimestampMs, nowMs)
        if (retentionMs - age < MIN_REMAINING_MS) continue
        if (Number.isFinite(retentionBytes)) {
          // As much as came after it in its time comes in the time that is left.
          const laterBytes = log!.sizeBytes - (await index.bytesBefore(log!, directory.endOffset))
          const remainingMs =
            laterBytes === 0 ? Number.POSITIVE_INFINITY : ((retentionBytes - laterBytes) * age) / laterBytes
          if (remainingMs < MIN_REMAINING_MS) continue
        }
        content.lastingBytes += sizeBytes
      }
    }
    return content
  }
}

/** Records without a timestamp are never old. */
function ageMs(timestampMs: number, nowMs: number): number {
  return hasTimestamp(timestampMs) ? nowMs - timestampMs : 0
}

/** Segments have each log's batches together. */
function isScattered(file: LogFile, { largestBytes, liveBytes }: Content): boolean {
  return !file.isSegment && largestBytes * 2 < liveBytes
}

/** Half of what is live in it, at least, is there for a while. */
function isLasting({ liveBytes, lastingBytes }: Content): boolean {
  return lastingBytes * 2 >= liveBytes
}

/** Of a segment its batches count, so that a small one is not sparse for its header and its padding. */
function isSparse(file: LogFile, { liveBytes }: Content): boolean {
  return liveBytes * 2 < (file.batchBytes ?? file.endPosition)
}

/** A job that fails leaves everything as it was. */
export function maintenanceError(cause: unknown): StorageError {
  if (cause instanceof StorageError) return cause
  const reason = cause instanceof Error ? cause.message : String(cause)
  return isNoRoom(cause)
    ? new StorageError('DISK_FULL', `no room to rewrite files: ${reason}`, { cause })
    : new StorageError('MAINTENANCE_FAILED', `rewriting files failed, they stay as they are: ${reason}`, {
        cause,
      })
}
